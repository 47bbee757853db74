package web

import "time"

// OperationMark returns the mark of an operation's state.
func OperationMark(state string) Mark {
	switch state {
	case "running":
		return Mark{"info", "clock", "Running"}
	case "paused":
		return Mark{"warn", "pause", "Paused"}
	case "completed":
		return Mark{"ok", "check", "Completed"}
	case "cancelled":
		return Mark{"mute", "stop", "Cancelled"}
	}
	return Mark{"mute", "dot", state}
}

// Operations is a page of the list of operations.
type Operations struct {
	Filters  []Input
	Filtered bool
	Rows     []OperationRow
	Paging   Paging
	Offered  bool // that one can be ordered
}

// OperationRow is an operation of a list.
type OperationRow struct {
	ID       string
	State    Mark
	What     string // that is done, in a few words
	Of       string // which deliveries
	Tenant   string // "": any
	At       time.Time
	Progress Progress
}

// Href is the path of its page.
func (r OperationRow) Href() string { return "/console/operations/" + r.ID }

// Progress is how far something has come.
type Progress struct {
	Done, Total int
	Counted     bool // that Total is known
}

// Operation is one.
type Operation struct {
	OperationRow

	Endpoint, EndpointID string // "": any
	Types, States        []string
	Since, Until         time.Time
	Missed               bool
	Moved                time.Time
	Ended                *time.Time
	LastError            string
	Tiles                []Tile
	Actions              []Action
}
