package web

import "time"

// Endpoints is a page of the list of endpoints.
type Endpoints struct {
	Filters  []Input
	Filtered bool
	Rows     []EndpointRow
	Paging   Paging
	Offered  bool // that one can be made
}

// EndpointRow is an endpoint of a list.
type EndpointRow struct {
	ID, URL, UID, Tenant, Description string

	State Mark
	Since *time.Time // it is in this state
	Note  string     // what is wrong, in a few words
	Types []string   // empty: all
	Lane  string     // "": everybody's
}

// Endpoint is one, with how it does.
type Endpoint struct {
	EndpointRow

	Created, Updated time.Time
	StatusReason     string
	Health           Health
	LaneReason       string
	Settings         []Header
	Headers          []Header
	Metadata         []Header
	Deliveries       []DeliveryRow
	Actions          []Action
	Tested           *Attempt // of the test that was just made; nil: none
	Secrets          []Secret // that were asked for; nil: none
	SecretsNote      string   // of them; "": that they were asked for is in the audit trail
	EditHref         string   // "": it may not be changed
}

// Health is how an endpoint does.
type Health struct {
	Failures                           int
	LastSuccess, LastFailure           *time.Time
	FailingSince, ProbeAt, StatusSince *time.Time
	LastError                          string
}

// Secret is a live one.
type Secret struct {
	Text    string
	Created time.Time
	Expires *time.Time // nil: it is the current one
}
