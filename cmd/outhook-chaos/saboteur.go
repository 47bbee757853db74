package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// trapLimit is how long a trap waits for a request that is answered with success.
	trapLimit = 5 * time.Second

	// postgresLimit bounds a recovery.
	postgresLimit = 60 * time.Second
)

// saboteur carries out the planned faults.
type saboteur struct {
	stack    *stack
	operator *operator
	logger   *slog.Logger
	rate     int // of the clients

	postgres sync.Mutex // held while a fault acts on Postgres
	freezing sync.Mutex // held while a worker is frozen in a transaction

	mu      sync.Mutex
	done    map[kind]int
	trapped []request // whose workers were killed right after the answer
	frozen  []request // whose workers were paused right after the answer
	marks   []mark    // from when on the target of a fault is to work again
	errs    []error
}

// pause stops a process and lets it go on, unless it ended by itself.
func (s *saboteur) pause(ctx context.Context, n *node, length time.Duration) error {
	p, _ := n.process()
	if err := pause(p); err != nil {
		return ignoreEnded(err)
	}

	began := time.Now()
	wait(ctx, length)
	err := ignoreEnded(resume(p))
	n.journal.note(n.name, began, time.Now().Add(regain))
	return err
}

// ignoreEnded drops the error of a signal to a process that has ended by itself.
func ignoreEnded(err error) error {
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return fmt.Errorf("signalling: %w", err)
}

// mark is the moment from which on the target of a fault is to work again: when a process was killed or told to stop,
// when a pause or a wire's trouble ended, when Postgres accepted connections again, when an order was carried out, when
// a clock was set. A target is a process, the clients' wire, an endpoint or a delivery, by name.
type mark struct {
	kind   kind
	target string
	at     time.Time
	after  time.Time // work before this is of the process that was to end
}

func (s *saboteur) markAfter(k kind, target string, at, after time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = append(s.marks, mark{k, target, at, after})
}

func (s *saboteur) mark(k kind, target string, at time.Time) { s.markAfter(k, target, at, at) }
