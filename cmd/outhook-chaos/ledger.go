package main

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// verdict is what a client knows about an event that it tried to enqueue.
type verdict string

const (
	// committed: the client was told so.
	committed verdict = "committed"
	// rolledBack: the client rolled back, or its transaction ended before COMMIT was sent.
	rolledBack verdict = "rolled_back"
	// inDoubt: the connection was cut during COMMIT. The event may exist or not.
	inDoubt verdict = "in_doubt"
	// refused: the API answered 4xx, or an error that no fault explains.
	refused verdict = "refused"
)

// claim is one line of the clients' ledger.
type claim struct {
	n       int64
	client  string // "rest", "go", "sql", or of bursts "loop" or "trigger"
	order   bool   // the same transaction wrote a row of shop.orders
	verdict verdict
	eventID uuid.UUID // if the client was told
	reason  string    // why it was not committed
	at      time.Time // when the client knew
	back    bool      // the client was told that it is taken back, before it was due
	began   time.Time // of a burst: when its transaction did, by the database's clock, which is ours
}

// ledger holds what the clients were told.
type ledger struct {
	mu     sync.Mutex
	last   int64
	bursts int64
	claims []claim

	// served is when an API (by name) or the database (by the clients' wire) said that an event is committed.
	served map[string][]time.Time
}

// note notes that somebody has just said that an event is committed.
func (l *ledger) note(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served[name] = append(l.served[name], time.Now())
}

// next draws the number of a new event.
func (l *ledger) next() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return l.last
}

// nextBurst draws the number of a new burst.
func (l *ledger) nextBurst() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bursts++
	return l.bursts
}

func (l *ledger) add(c claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.at = time.Now()
	l.claims = append(l.claims, c)
}
