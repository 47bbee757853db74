package web

import (
	"net/url"
	"time"
)

// Deliveries is a page of the list of deliveries.
type Deliveries struct {
	Filters  []Input
	Filtered bool
	Rows     []DeliveryRow
	Paging   Paging
	Partial  bool // the page may have fewer rows than match
}

// DeliveryRow is a delivery of a list.
type DeliveryRow struct {
	EventID, EndpointID, Type, Tenant string

	Endpoint string // its URL without the query; "": not known
	State    Mark
	Reason   string
	Attempts int
	At       time.Time  // of the event
	Next     *time.Time // attempt
	Why      string     // in words; "": not asked
	Actions  []Action
}

// Href returns the path of the delivery's page.
func (r DeliveryRow) Href() string { return "/console/deliveries/" + r.EventID + "/" + r.EndpointID }

// Delivery is one, with its attempts.
type Delivery struct {
	DeliveryRow

	TenantName  string // "": not known
	CompletedAt *time.Time
	Attempts    []Attempt
	Older       string // the next page of attempts; "": there is none

	WhyNotice, AttemptsNotice string // why something is missing; "": it is not
}

// Attempt is one request.
type Attempt struct {
	Number     int
	EndpointID string
	Endpoint   string // its URL without the query; "": not known
	Href       string // of its delivery
	Outcome    Mark
	Status     string // the HTTP status in words; "": no answer came
	At         time.Time
	Duration   string
	Manual     bool
	Error      string
	Advice     string // what cures such an error; "": nothing is known
	Address    string

	RequestHeaders, ResponseHeaders []Header

	Body      string // of the answer
	Truncated bool
}

// Query escapes a text for a query.
func Query(text string) string { return url.QueryEscape(text) }
