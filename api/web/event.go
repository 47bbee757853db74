package web

import "time"

// Events is a page of the list of events.
type Events struct {
	Filters  []Input
	Filtered bool
	Rows     []EventRow
	Paging   Paging
	Partial  bool // the page may have fewer rows than match
}

// EventRow is an event of a list.
type EventRow struct {
	ID, Type, Tenant string
	At               time.Time
	Deliveries       int
}

// Event is one, with all that became of it.
type Event struct {
	ID, Type, Tenant string
	TenantName       string // "": not known
	At               time.Time
	DeliverAt        *time.Time // when its publisher wants it to be delivered; nil: at once
	WithdrawnAt      *time.Time // when it was taken back; nil: it was not
	Labels           []string
	OrderingKey      string   // "": none
	Headers          []Header // its own, which all of its requests have
	Payload          string   // indented
	PayloadBytes     int
	PayloadErased    bool
	Deliveries       []DeliveryRow
	MoreDeliveries   int       // how many there are beside those
	Missed           []MissRow // endpoints of the tenant that have no delivery of it
	MoreMissed       bool      // there are others
	Actions          []Action
	Attempts         []Attempt
	MoreAttempts     bool

	WhyNotice, AttemptsNotice string // why something is missing; "": it is not
}

// MissRow is an endpoint that has no delivery of an event.
type MissRow struct {
	EndpointID string
	Endpoint   string // its URL without the query; "": not known
	Cause      Mark
	Why        string // in words
}

// MissMark returns the mark of why an endpoint has no delivery.
func MissMark(because string) Mark {
	switch because {
	case "not_subscribed":
		return Mark{"mute", "dot", "Not subscribed"}
	case "other_labels":
		return Mark{"mute", "dot", "Other labels"}
	case "filtered":
		return Mark{"mute", "dot", "Filtered"}
	case "was_disabled":
		return Mark{"warn", "stop", "Was disabled"}

	case "created_later":
		return Mark{"mute", "clock", "Created later"}
	case "deleted_before":
		return Mark{"mute", "trash", "Deleted before"}
	case "changed_meanwhile":
		return Mark{"warn", "clock", "Changed meanwhile"}
	case "delivery_missing":
		return Mark{"bad", "alert", "Missing"}
	case "test_of_another":
		return Mark{"mute", "flask", "A test of another"}
	}
	return Mark{"mute", "dot", "Not known"}
}

// nobody says why an event has no delivery.
func nobody(v Event) string {
	switch {
	case v.WhyNotice != "":
		return "No endpoint of the tenant got it."
	case len(v.Missed) == 0:
		return "The tenant had no endpoint when the event was published."
	}
	return "No endpoint of the tenant got it: below it says why."
}
