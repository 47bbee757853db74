package presence

import "time"

// LeaseSent returns the lease of a process whose last renewal was sent at a time.
func LeaseSent(at time.Time) *Lease {
	l := &Lease{}
	l.sent.Store(&at)
	return l
}
