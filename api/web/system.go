package web

import "time"

// System is what Outhook itself does.
type System struct {
	Ready   Mark
	Checks  []Check
	Workers []SystemWorker
	Queues  []SystemQueue
	Paused  []PausedQueue
	Pause   *TenantPause // of everything; nil: none
	Leases  []Lease
	RiverUI string // its path; "": there is none
	Notice  string // why all but the checks is missing; "": it is not
}

// Check is one of readiness.
type Check struct {
	Name  string
	State Mark
	Text  string // what it means; "": all is well
}

// SystemWorker is a worker process.
type SystemWorker struct {
	ID      string
	Since   *time.Time // nil: it is gone
	Running int
	Runs    []Run
}

// Run is what a worker does for a queue.
type Run struct {
	Queue   string
	Running int
	Oldest  time.Time
}

// SystemQueue is a queue.
type SystemQueue struct {
	QueueRow

	Text string // who waits there
	Href string // in River UI; "": it has no page
}

// PausedQueue is a queue that a person has paused.
type PausedQueue struct {
	Name string
	At   time.Time
	Due  int
	Href string // "": River UI is off
}

// Lease says who does what only one process may.
type Lease struct {
	Name, Holder, Text string
	Since              time.Time
}
