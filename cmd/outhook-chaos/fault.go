package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

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

	// People and applications.
	case pauseEndpoint, disableEndpoint, deleteEndpoint, replayDelivery, rotateSecret, lockRow, burstByLoop,
		burstByTrigger:
		return s.giveOrder(ctx, f)

	// Traps.
	case killAfterAnswer:
		return s.killAfterAnswer(ctx)
	case freezeAfterAnswer:
		return s.freezeAfterAnswer(ctx, f.length)
	case freezeInTransaction:
		return s.freezeInTransaction(ctx, f)

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

	case loseAnswer:
		return s.loseAnswer(ctx, f)

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

	began := time.Now()
	s.mark(f.kind, n.name, began)
	err := n.setClock(ctx, ahead, 4*f.length)

	for _, set := range []time.Time{began, time.Now()} {
		n.journal.note(n.name, set, set.Add(clockTrouble))
		n.journal.note(subjectClocks, set, set.Add(clockTrouble))
	}
	return true, err
}

// giveOrder has people and applications do what they may do at any time.
func (s *saboteur) giveOrder(ctx context.Context, f fault) (acted bool, err error) {
	switch f.kind { //nolint:exhaustive // those of people and applications
	case deleteEndpoint:
		return s.deleteEndpoint(ctx, f)
	case lockRow:
		return s.lockRow(ctx, f)
	case burstByLoop, burstByTrigger:
		return s.burst(ctx, f)
	}
	return s.orderChange(ctx, f)
}

// orderChange has the operator give an order about one endpoint.
func (s *saboteur) orderChange(ctx context.Context, f fault) (acted bool, err error) {
	endpoints := s.stack.receivers.all()[:len(newEndpoints(0))] // not those that are deleted
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

	order := s.operator.pause
	if f.kind == disableEndpoint {
		if e.dead {
			return false, nil // what failed is not recovered
		}
		order = s.operator.disable
	}

	enabled, err := order(ctx, rng, e, f.length)
	if err == nil {
		s.mark(f.kind, e.id.String(), enabled)
	}
	return true, err
}

// onPostgres takes Postgres down in some way and brings it up again; a server that still runs is shut down for that.
func (s *saboteur) onPostgres(ctx context.Context, k kind, down func() error) (bool, error) {
	if !s.postgres.TryLock() {
		return false, nil
	}
	defer s.postgres.Unlock()

	began := time.Now()
	if err := down(); err != nil {
		return true, err
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresLimit)
	defer cancel()
	err := s.stack.postgres.Restart(ctx)

	up := time.Now()
	s.stack.journal.note(subjectDatabase, began, up.Add(regain))
	for _, name := range []string{anyWorker, wireOfClients} {
		s.mark(k, name, up)
	}

	return true, err
}
