package web

import "time"

// Live is the page that shows attempts as they end.
type Live struct {
	Filters  []Input
	Filtered bool
	Stream   string // the address of the rows
	Rows     []LiveRow
}

// LiveRow is an attempt that has ended.
type LiveRow struct {
	EventID, EndpointID, Type, Tenant string

	Number   int
	Outcome  Mark
	Answer   string // the status in words, or the error
	Duration string
	At       time.Time
}

// Key tells attempts apart: one may come twice.
func (r LiveRow) Key() string { return "a-" + r.EventID + "-" + r.EndpointID + "-" + Count(r.Number) }
