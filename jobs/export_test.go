package jobs

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
)

// DeadClients returns what one process takes for dead when it looks at the given times and sees which locks are free.
func DeadClients() (look func(at time.Time, silent ...string) (dead []string)) {
	r := &rescuer{clientID: "itself"}
	return func(at time.Time, silent ...string) []string { return r.dead(at, silent) }
}

// Gate is the gate in front of an endpoint's requests.
type Gate struct{ g *gate }

// NewGate returns one that knows nothing.
func NewGate() Gate { return Gate{newGate()} }

// Enter is gate.enter.
func (g Gate) Enter(ctx context.Context, id uuid.UUID, limit int, patience time.Duration) (time.Time, error) {
	return g.g.enter(ctx, id, limit, patience)
}

// Leave is gate.leave.
func (g Gate) Leave(id uuid.UUID, started time.Time, d time.Duration) int {
	return g.g.leave(id, started, d)
}

// Verdicts of a gate.
var (
	ErrBusy = errBusy
	ErrSlow = errSlow
)

// RetryAfter is retryAfter.
func RetryAfter(value string, now time.Time, limit time.Duration) time.Duration {
	return retryAfter(value, now, limit)
}

// InFlight returns how many runs of a client's have begun and not ended.
func InFlight(c *Client) int { return int(c.inFlight.Load()) }

// Outcome is that of an attempt, for Told.
type Outcome struct {
	At time.Time
	OK bool
}

// Told returns an endpoint's health after processes have told what they saw, one after the other. What a process could not
// tell at first, it tells together with what it saw next.
func Told(tellings ...[][]Outcome) (h db.LockEndpointHealthRow) {
	for _, telling := range tellings {
		var all seen
		for _, outcomes := range telling {
			var s seen
			for _, o := range outcomes {
				if o.OK {
					s.success(o.At)
					continue
				}
				s.failure(o.At, 500, "")
			}
			all = all.then(s)
		}
		h = merge(h, all)
	}
	return h
}
