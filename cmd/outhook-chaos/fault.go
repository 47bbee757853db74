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
	stack  *stack
	logger *slog.Logger

	postgres sync.Mutex // held while a fault acts on Postgres

	mu      sync.Mutex
	done    map[kind]int
	trapped []request // whose workers were killed right after the answer
	frozen  []request // whose workers were paused right after the answer
	errs    []error
}

// work carries out the faults and returns when the last one is over.
func (s *saboteur) work(ctx context.Context, faults []fault) error {
	start := time.Now()
	var group sync.WaitGroup
	for _, f := range faults {
		wait(ctx, time.Until(start.Add(f.at)))
		if ctx.Err() != nil {
			break
		}
		group.Go(func() { s.carryOut(ctx, f) })
	}
	group.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) > 0 {
		return s.errs[0]
	}
	return nil
}

// carryOut does nothing if another fault acts on the same target.
func (s *saboteur) carryOut(ctx context.Context, f fault) {
	s.logger.InfoContext(ctx, "fault", slog.String("kind", string(f.kind)), slog.Int("target", f.target), slog.Duration("length", f.length))
	acted, err := s.act(ctx, f)
	s.mu.Lock()
	defer s.mu.Unlock()
	if acted {
		s.done[f.kind]++
	}
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("carrying out %s: %w", f.kind, err))
	}
}

func (s *saboteur) act(ctx context.Context, f fault) (acted bool, err error) {
	pauseIt := func(n *node) error { return s.pause(ctx, n, f.length) }
	switch f.kind {
	case killWorker:
		return s.onNode(roleWorker, f, (*node).kill)
	case killAPI:
		return s.onNode(roleAPI, f, (*node).kill)
	case stopWorker:
		return s.onNode(roleWorker, f, (*node).stop)
	case stopAPI:
		return s.onNode(roleAPI, f, (*node).stop)
	case pauseWorker:
		return s.onNode(roleWorker, f, pauseIt)
	case pauseAPI:
		return s.onNode(roleAPI, f, pauseIt)
	case killAfterAnswer:
		return s.killAfterAnswer(ctx)
	case freezeAfterAnswer:
		return s.freezeAfterAnswer(ctx, f.length)
	case cutWire:
		return s.onWire(f, func(w *wire) error { return w.cut(ctx, f.length) })
	case resetWire:
		return s.poison(ctx, f, both("reset_peer", "timeout", 0)...)
	case deafWire:
		return s.poison(ctx, f, both("timeout", "timeout", 0)...)
	case slowWire:
		return s.poison(ctx, f, both("latency", "latency", f.size/20)...)
	case thinWire:
		return s.poison(ctx, f, both("bandwidth", "rate", 20)...)
	case breakWire:
		return s.poison(ctx, f, both("limit_data", "bytes", f.size)[f.target%2])
	case killPostgres, outage:
		return s.onPostgres(ctx, func() error {
			err := s.stack.postgres.Kill()
			wait(ctx, f.length)
			return err
		})
	case restartPostgres:
		return s.onPostgres(ctx, func() error { return nil })
	}
	return false, nil
}

// both is one toxic in each direction.
func both(name, attribute string, value int64) []toxic {
	attributes := map[string]int64{attribute: value}
	return []toxic{
		{Name: name + "_up", Type: name, Stream: "upstream", Attributes: attributes},
		{Name: name + "_down", Type: name, Stream: "downstream", Attributes: attributes},
	}
}

// onNode acts on one process of a role.
func (s *saboteur) onNode(role string, f fault, act func(*node) error) (bool, error) {
	nodes := s.stack.role(role)
	n := nodes[f.target%len(nodes)]
	if !n.fault.TryLock() {
		return false, nil
	}
	defer n.fault.Unlock()
	return true, act(n)
}

// pause stops a process and lets it go on, unless it ended by itself.
func (s *saboteur) pause(ctx context.Context, n *node, length time.Duration) error {
	p, _ := n.process()
	if err := pause(p); err != nil {
		return ignoreEnded(err)
	}
	wait(ctx, length)
	return ignoreEnded(resume(p))
}

// ignoreEnded drops the error of a signal to a process that has ended by itself.
func ignoreEnded(err error) error {
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return fmt.Errorf("signalling: %w", err)
}

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
		err = n.kill()
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
	wait(ctx, length)
	return true, ignoreEnded(resume(p))
}

// onPostgres takes Postgres down in some way and brings it up again; a server that still runs is shut down for that.
func (s *saboteur) onPostgres(ctx context.Context, down func() error) (bool, error) {
	if !s.postgres.TryLock() {
		return false, nil
	}
	defer s.postgres.Unlock()
	if err := down(); err != nil {
		return true, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresLimit)
	defer cancel()
	return true, s.stack.postgres.Restart(ctx)
}

// onWire acts on one wire.
func (s *saboteur) onWire(f fault, act func(*wire) error) (bool, error) {
	w := s.stack.wires[f.target%len(s.stack.wires)]
	if !w.fault.TryLock() {
		return false, nil
	}
	defer w.fault.Unlock()
	return true, act(w)
}

func (s *saboteur) poison(ctx context.Context, f fault, toxics ...toxic) (bool, error) {
	return s.onWire(f, func(w *wire) error {
		err := w.poison(toxics...)
		if err == nil {
			wait(ctx, f.length)
		}
		return errors.Join(err, w.heal(context.WithoutCancel(ctx), toxics...))
	})
}
