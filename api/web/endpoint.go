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
	Day   Spark      // its last 24 hours
}

// Endpoint is one, with how it does.
type Endpoint struct {
	EndpointRow

	TenantName       string // "": not known
	Created, Updated time.Time
	StatusReason     string
	Health           Health
	LaneReason       string
	Settings         []Header
	Headers          []Header
	Metadata         []Header
	Charts           *Activity // nil: not known
	Deliveries       []DeliveryRow
	Actions, More    []Action // those that are wanted often, and the others
	Tested           *Attempt // of the test that was just made; nil: none
	Secrets          []Secret // that were asked for; nil: none
	SecretsNote      string   // of them; "": that they were asked for is in the audit trail

	ChartsNotice, DeliveriesNotice string // why something is missing; "": it is not
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

// History is what an endpoint has been.
type History struct {
	ID, URL   string
	Revisions []Revision
	Paging    Paging
	AuditHref string // "": it may not be read
}

// Revision is a change of an endpoint.
type Revision struct {
	At      time.Time
	Who     string // "": nobody ordered it
	Action  string // the order, as the audit trail names it
	Note    string // what it was, if it changed nothing that there was before
	Reason  string // of the status that it set
	Changes []Change
}

// Change is a property that has another value since.
type Change struct{ Name, Before, After string }
