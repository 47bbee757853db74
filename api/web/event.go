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
	At               time.Time
	Payload          string // indented
	PayloadBytes     int
	PayloadErased    bool
	Deliveries       []DeliveryRow
	Actions          []Action
	Attempts         []Attempt
	MoreAttempts     bool
}
