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

	postgres sync.Mutex // held while a fault acts on Postgres

	mu      sync.Mutex
	done    map[kind]int
	trapped []request // whose workers were killed right after the answer
	frozen  []request // whose workers were paused right after the answer
	marks   []mark    // from when on the target of a fault is to work again
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
	s.logger.InfoContext(ctx, "fault", slog.String("kind", string(f.kind)), slog.Int("target", f.target),
		slog.Duration("length", f.length))

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
	switch f.kind {
	// Processes.
	case killWorker, stopWorker, pauseWorker:
		return s.onNode(ctx, roleWorker, f)
	case killAPI, stopAPI, pauseAPI:
		return s.onNode(ctx, roleAPI, f)
	case setClock:
		return s.setClock(ctx, f)

	// Orders of an operator.
	case pauseEndpoint, replayDelivery, rotateSecret:
		return s.giveOrder(ctx, f)

	// Traps.
	case killAfterAnswer:
		return s.killAfterAnswer(ctx)
	case freezeAfterAnswer:
		return s.freezeAfterAnswer(ctx, f.length)

	// Wires.
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

	// Postgres.
	case killPostgres, outage:
		return s.onPostgres(ctx, f.kind, func() error {
			err := s.stack.postgres.Kill()
			wait(ctx, f.length)
			return err
		})
	case redelivery: // measured, not drawn
	case restartPostgres:
		return s.onPostgres(ctx, f.kind, func() error { return nil })
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
func (s *saboteur) onNode(ctx context.Context, role string, f fault) (acted bool, err error) {
	nodes := s.stack.role(role)
	n := nodes[f.target%len(nodes)]
	if !n.fault.TryLock() {
		return false, nil
	}
	defer n.fault.Unlock()

	began := time.Now()
	switch f.kind { //nolint:exhaustive // those of processes
	case killWorker, killAPI:
		err = n.kill()
		s.markAfter(f.kind, n.name, began, began.Add(restartAfter))
	case stopWorker, stopAPI:
		err = n.stop()
		s.markAfter(f.kind, n.name, began, time.Now())
	default:
		err = s.pause(ctx, n, f.length)
		s.mark(f.kind, n.name, time.Now())
	}

	return true, err
}

// setClock sets a worker's clock wrong for four times as long as other faults last. Whatever else happens to the worker
// meanwhile may happen.
func (s *saboteur) setClock(ctx context.Context, f fault) (bool, error) {
	nodes := s.stack.role(roleWorker)
	n := nodes[f.target%len(nodes)]
	if !n.setting.TryLock() {
		return false, nil
	}
	defer n.setting.Unlock()

	ahead := wrongBy
	if f.size%2 == 0 {
		ahead = -wrongBy
	}

	s.mark(f.kind, n.name, time.Now())
	return true, n.setClock(ctx, ahead, 4*f.length)
}

// giveOrder has the operator give an order about one endpoint.
func (s *saboteur) giveOrder(ctx context.Context, f fault) (acted bool, err error) {
	endpoints := s.stack.receivers.endpoints
	e := endpoints[f.target%len(endpoints)]
	rng := draw(uint64(f.size), streamOrder, uint64(f.target), 0) //nolint:gosec // small

	if f.kind == replayDelivery {
		key, ordered, acted, err := s.operator.replay(ctx, rng, e)
		if acted {
			s.mark(f.kind, key.String(), ordered)
		}
		return acted, err
	}

	if !e.fault.TryLock() {
		return false, nil
	}
	defer e.fault.Unlock()

	if f.kind == rotateSecret {
		return true, s.operator.rotate(ctx, rng, e)
	}

	enabled, err := s.operator.pause(ctx, rng, e, f.length)
	if err == nil {
		s.mark(f.kind, e.id.String(), enabled)
	}
	return true, err
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

	wait(ctx, length)
	s.mark(freezeAfterAnswer, frozen.name, time.Now())
	return true, ignoreEnded(resume(p))
}

// onPostgres takes Postgres down in some way and brings it up again; a server that still runs is shut down for that.
func (s *saboteur) onPostgres(ctx context.Context, k kind, down func() error) (bool, error) {
	if !s.postgres.TryLock() {
		return false, nil
	}
	defer s.postgres.Unlock()

	if err := down(); err != nil {
		return true, err
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresLimit)
	defer cancel()
	err := s.stack.postgres.Restart(ctx)

	up := time.Now()
	for _, name := range []string{anyWorker, wireOfClients} {
		s.mark(k, name, up)
	}

	return true, err
}

// onWire acts on one wire.
func (s *saboteur) onWire(f fault, act func(*wire) error) (bool, error) {
	w := s.stack.wires[f.target%len(s.stack.wires)]
	if !w.fault.TryLock() {
		return false, nil
	}
	defer w.fault.Unlock()

	err := act(w)
	s.mark(f.kind, w.name, time.Now())
	return true, err
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
