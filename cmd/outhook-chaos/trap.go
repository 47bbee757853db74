package main

import (
	"context"
	"time"
)

// trap waits for the next request that a receiver answers with success, and calls spring with it and its worker right
// after the answer: some hundred microseconds before the worker can have recorded it.
func (s *saboteur) trap(ctx context.Context, spring func(*node, request)) bool {
	caught := make(chan struct{})
	hear := func(r request) {
		defer close(caught)
		for _, n := range s.stack.role(roleWorker) {
			if n.name == r.worker {
				spring(n, r)
			}
		}
	}

	if !s.stack.receivers.afterAnswer.CompareAndSwap(nil, &hear) {
		return false
	}

	select {
	case <-caught:
		return true
	case <-time.After(trapLimit):
	case <-ctx.Done():
	}

	// Time is up, but a request may spring the trap at this very moment.
	if s.stack.receivers.afterAnswer.CompareAndSwap(&hear, nil) {
		return false // nobody came
	}
	<-caught
	return true
}

func (s *saboteur) killAfterAnswer(ctx context.Context) (bool, error) {
	var err error
	sprung := s.trap(ctx, func(n *node, r request) {
		if n.frozen.Load() {
			return // what it sent arrived late
		}

		began := time.Now()
		err = n.kill()
		s.markAfter(killAfterAnswer, n.name, began, began.Add(restartAfter))
		s.mark(redelivery, r.delivery.String(), began)

		s.mu.Lock()
		defer s.mu.Unlock()
		s.trapped = append(s.trapped, r)
	})

	return sprung, err
}

// freezeAfterAnswer pauses a worker between answer and record for so long that its jobs are rescued. Its wire is left
// alone meanwhile: toxiproxy can't heal one whose reader does not read.
func (s *saboteur) freezeAfterAnswer(ctx context.Context, length time.Duration) (bool, error) {
	var frozen *node
	var err error

	s.trap(ctx, func(n *node, r request) {
		n.frozen.Store(true)
		p, _ := n.process()
		frozen, err = n, ignoreEnded(pause(p))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.frozen = append(s.frozen, r)
	})

	if frozen == nil || err != nil {
		return false, err
	}
	defer frozen.frozen.Store(false)

	p, _ := frozen.process()
	frozen.fault.Lock() // a fault that acts on it now is over soon
	defer frozen.fault.Unlock()
	frozen.wire.fault.Lock()
	defer frozen.wire.fault.Unlock()

	if err := ignoreEnded(pause(p)); err != nil { // that fault may have resumed it
		return false, err
	}

	began := time.Now()
	wait(ctx, length)
	s.mark(freezeAfterAnswer, frozen.name, time.Now())
	err = ignoreEnded(resume(p))
	frozen.journal.note(frozen.name, began, time.Now().Add(regain))
	return true, err
}

// freezeInTransaction pauses a worker while one of its connections is in a transaction, for so long that everybody who
// waits for what it has locked notices. Its wire is left alone meanwhile, as with freezeAfterAnswer, and one worker at
// a time is frozen.
func (s *saboteur) freezeInTransaction(ctx context.Context, f fault) (bool, error) {
	if !s.freezing.TryLock() {
		return false, nil
	}
	defer s.freezing.Unlock()

	nodes := s.stack.role(roleWorker)
	n := nodes[f.target%len(nodes)]
	if !n.fault.TryLock() {
		return false, nil
	}
	defer n.fault.Unlock()
	if !n.wire.fault.TryLock() {
		return false, nil
	}
	defer n.wire.fault.Unlock()

	n.frozen.Store(true)
	defer n.frozen.Store(false)
	for end := time.Now().Add(trapLimit); time.Now().Before(end) && ctx.Err() == nil; wait(ctx, time.Millisecond) {
		// What is active only may be over when the process stands still: better one that is idle between two statements.
		caught, err := s.freezeNow(ctx, n, time.Until(end) < trapLimit/2)
		switch {
		case err != nil:
			return false, err
		case !caught:
			continue
		}

		err = s.pause(ctx, n, stretch(f, minFreeze, maxFreeze))
		s.mark(f.kind, n.name, time.Now())
		return true, err
	}
	return false, nil
}

// freezeNow pauses a worker if it is in a transaction, and lets it go on if it turns out that it was over by then.
func (s *saboteur) freezeNow(ctx context.Context, n *node, anyOpen bool) (caught bool, err error) {
	if !s.inTransaction(ctx, n, anyOpen) {
		return false, nil
	}

	p, _ := n.process()
	if err := ignoreEnded(pause(p)); err != nil {
		return false, err
	}
	if wait(ctx, 5*time.Millisecond); anyOpen || s.inTransaction(ctx, n, false) {
		return true, nil
	}
	return false, ignoreEnded(resume(p))
}

// inTransaction tells whether a process has a transaction open: one that is idle, or any.
func (s *saboteur) inTransaction(ctx context.Context, n *node, anyOpen bool) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()

	var open bool
	err := s.stack.direct.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1
		AND xact_start IS NOT NULL AND (state = 'idle in transaction' OR ($2 AND state = 'active')))`,
		n.name, anyOpen).Scan(&open)
	return err == nil && open // the database may be away
}

// stretch returns how long a fault lasts of a kind that lasts from least to most: as others do, in that measure.
func stretch(f fault, least, most time.Duration) time.Duration {
	share := float64(f.length) / float64(minFault+maxFault)
	return least + time.Duration(share*share*float64(most-least))
}
