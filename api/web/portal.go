package web

import (
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"
)

// PortalShell is what every page of the portal has around it.
type PortalShell struct {
	Shell

	Items     []NavItem
	Origins   string // of the page that it may be framed by, with spaces: who hears how high it is
	ReturnURL string // "": it leads nowhere
	Leaves    bool   // whether it can be logged out of
}

// PortalEndpoints is a page of a customer's endpoints.
type PortalEndpoints struct {
	Rows    []EndpointRow
	Paging  Paging
	NewHref string // "": none can be made
}

// PortalEndpoint is one, with how it does.
type PortalEndpoint struct {
	EndpointRow

	Filter      string // "": none
	LastSuccess *time.Time
	LastFailure *time.Time
	LastError   string
	Waiting     string // what it waits for until it is used, in words; "": it is used
	Advice      string // what a person can do about its health; "": nothing is to be done

	Actions     []Action
	EditHref    string // "": it may not be changed
	RecoverHref string // "": nothing may be delivered again
	Recovering  string // how far that is, in words; "": nothing is under way

	Charts     *Activity // nil: not known
	Deliveries []PortalDelivery

	Tested     *Attempt // of the test that was just made; nil: none
	TestPassed bool
	TestFault  string   // why no test came about; ""
	Secrets    []Secret // that were asked for; nil: none
	SecretNote string
}

// PortalActivity is a page of the list of deliveries.
type PortalActivity struct {
	Filters  []Input
	Filtered bool
	Rows     []PortalDelivery
	Paging   Paging
	Partial  bool // the page may have fewer rows than match
}

// PortalDelivery is a delivery of a list.
type PortalDelivery struct {
	Href, Type, EventID string

	Endpoint string // its URL without the query; "": not known
	State    Mark
	Attempts int
	At       time.Time // of the event
}

// PortalEvent is an event, with what became of it at each endpoint.
type PortalEvent struct {
	ID, Type     string
	At           time.Time
	Payload      string // indented; "": it is not shown
	PayloadBytes int
	PayloadNote  string // why it is not shown
	Told         []PortalTold
	More         bool // there are other endpoints
}

// PortalTold is what became of an event at an endpoint.
type PortalTold struct {
	EndpointID, Endpoint, Href string

	State    Mark
	Why      string // in plain words
	Actions  []Action
	Attempts []Attempt
	Open     bool // the attempts are shown at once
}

// PortalMissing asks for an event that somebody misses, and has those that it may be.
type PortalMissing struct {
	Fields   []Input
	Asked    bool
	Answer   string // in plain words, if nothing was found
	Found    []EventRow
	More     string // the page of others; ""
	TypeHint []string
}

func refreshSeconds(s Shell) string { return strconv.Itoa(s.Refresh) }

func portalTypeHref(name string) templ.SafeURL {
	return templ.SafeURL("/portal/event-types/" + url.PathEscape(name))
}
