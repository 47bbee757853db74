// Package share divides what all share among those who ask for it, in memory and for this process alone, so that
// nobody takes it all.
//
// [Shares] are of requests: how many each holder may have under way, and how many of them at the database. [Quota] is
// of what is counted, like the bytes of bodies.
package share

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/problem"
)

// dbSlots is how many requests may be at the database at the same time, those that publish left out, and costlySlots
// how many of those that count or look through the log, each of which can keep a core of the database busy for
// seconds. The health checks and the metrics need a connection, too.
const (
	dbSlots     = 6
	costlySlots = 2

	ownSlots       = 3 // of dbSlots
	ownCostlySlots = 1 // of costlySlots
)

// Holder is who has a share: a tenant with all its keys, or a key that is bound to none.
type Holder struct {
	Key      uuid.UUID
	TenantID string
}

// slots has a value for each slot that is taken.
type slots chan struct{}

func (s slots) take(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shares are what each holder has of what all share: half of the requests that are served at the same time, and its
// slots. Create them with [New].
type Shares struct {
	most        int // requests of a holder
	all, costly slots

	mu    sync.Mutex
	byWho map[Holder]*Share // those with a request under way
}

// Share is one holder's.
type Share struct {
	shares         *Shares
	active         int // under shares.mu
	own, ownCostly slots
}

// New returns the shares of a server that serves so many requests at the same time.
func New(maxRequests int) *Shares {
	return &Shares{
		most: max(maxRequests/2, 1), all: make(slots, dbSlots), costly: make(slots, costlySlots),
		byWho: map[Holder]*Share{},
	}
}

// Enter counts a request of a holder until leave is called.
func (s *Shares) Enter(h Holder) (_ *Share, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	own := s.byWho[h]
	if own == nil {
		own = &Share{shares: s, own: make(slots, ownSlots), ownCostly: make(slots, ownCostlySlots)}
		s.byWho[h] = own
	}
	if own.active == s.most {
		return nil, nil, problem.Later(problem.TooManyRequests,
			fmt.Sprintf("this key, or its tenant, has %d requests under way, half of all that the server serves at a time: "+
				"repeat the request", s.most), 1)
	}

	own.active++
	return own, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if own.active--; own.active == 0 {
			delete(s.byWho, h)
		}
	}, nil
}

// Take waits for the slots that a request needs, which are the caller's until free is called. The holder's own come
// first: so no more of any holder wait for those of all than it may have, and they come in turn.
func (s *Share) Take(ctx context.Context, costly bool) (free func(), err error) {
	need := []slots{s.own, s.shares.all}
	if costly {
		need = []slots{s.ownCostly, s.own, s.shares.costly, s.shares.all}
	}

	for i, slot := range need {
		if err := slot.take(ctx); err == nil {
			continue
		}
		release(need[:i])
		if slot == s.shares.all || slot == s.shares.costly {
			return nil, problem.Later(problem.ServerBusy,
				"the database is busy, and nothing was done: repeat the request", 1)
		}
		return nil, problem.Later(problem.TooManyRequests,
			"other requests of this key, or of its tenant, have all the places that it may have at the database at a time, "+
				"and nothing was done: repeat the request", 1)
	}
	return func() { release(need) }, nil
}

func release(taken []slots) {
	for _, slot := range taken {
		<-slot
	}
}
