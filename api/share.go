package api

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/problem"
)

// dbSlots is how many requests may be at the database at the same time, and keySlots how many of one key, those that
// publish left out. The health checks and the metrics need a connection, too.
const (
	dbSlots  = 6
	keySlots = 3
)

// shares are what each key has of what all keys share: half of the requests that are served at the same time, and of
// dbSlots its keySlots. Create them with newShares.
type shares struct {
	most  int           // requests of a key
	slots chan struct{} // has a value for each slot that is taken

	mu    sync.Mutex
	byKey map[uuid.UUID]*share // those with a request under way
}

// share is one key's.
type share struct {
	active int // under shares.mu
	slots  chan struct{}
	all    chan struct{} // shares.slots
}

func newShares(maxRequests int) *shares {
	return &shares{
		most: max(maxRequests/2, 1), slots: make(chan struct{}, dbSlots), byKey: map[uuid.UUID]*share{},
	}
}

// enter counts a request of a key until leave is called.
func (s *shares) enter(id uuid.UUID) (_ *share, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	own := s.byKey[id]
	if own == nil {
		own = &share{slots: make(chan struct{}, keySlots), all: s.slots}
		s.byKey[id] = own
	}
	if own.active == s.most {
		return nil, nil, problem.TooMany(fmt.Sprintf("this key has %d requests under way, half of all that the server "+
			"serves at a time: repeat the request", s.most), 1)
	}

	own.active++
	return own, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if own.active--; own.active == 0 {
			delete(s.byKey, id)
		}
	}, nil
}

// take waits for a slot, which is the caller's until free is called: for one of the key's, and then for one of all, for
// which no more than keySlots of any key wait.
func (s *share) take(ctx context.Context) (free func(), err error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, problem.TooMany(fmt.Sprintf("other requests of this key have all of its %d places at the database, "+
			"and nothing was done: repeat the request", keySlots), 1)
	}

	select {
	case s.all <- struct{}{}:
		return func() { <-s.all; <-s.slots }, nil
	case <-ctx.Done():
		<-s.slots
		return nil, problem.Unavailable("the database is busy, and nothing was done: repeat the request", 1)
	}
}
