package main

import (
	"context"
	"sync"
	"time"
)

const (
	// regain is how long a process may take to work again after its trouble is over: it connects anew, with a backoff, and
	// takes its place among the workers.
	regain = 5 * time.Second

	// clockTrouble is how long a worker whose clock was set may go by it.
	clockTrouble = 3 * time.Second

	// heartbeat is how often we look whether the machine runs us, and stalled by how much more is a stall of the machine,
	// which has other work.
	heartbeat = 50 * time.Millisecond
	stalled   = 300 * time.Millisecond
)

// Subjects of the journal that are no process and no endpoint.
const (
	subjectDatabase = "database"
	subjectMachine  = "machine"
	subjectClocks   = "clocks" // one was just set
)

// journal is what we know of the times at which something could not work, by our own doing: a process by its name, an
// endpoint or a delivery by its id. It is what lateness is excused by, so that nothing that Outhook says of itself is.
type journal struct {
	mu       sync.Mutex
	troubles map[string][]span
}

func newJournal() *journal { return &journal{troubles: map[string][]span{}} }

// note notes that a subject was in trouble.
func (j *journal) note(subject string, from, to time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.troubles[subject] = append(j.troubles[subject], span{from, to})
}

// of returns the times at which any of the subjects was in trouble.
func (j *journal) of(subjects ...string) spans {
	j.mu.Lock()
	defer j.mu.Unlock()

	var list []span
	for _, s := range subjects {
		list = append(list, j.troubles[s]...)
	}
	return join(list...)
}

// beat notes the times at which the machine did not even run us, until ctx ends.
func (j *journal) beat(ctx context.Context) {
	for last := time.Now(); ctx.Err() == nil; {
		wait(ctx, heartbeat)
		now := time.Now()
		if now.Sub(last) > heartbeat+stalled {
			j.note(subjectMachine, last, now.Add(stalled))
		}
		last = now
	}
}
