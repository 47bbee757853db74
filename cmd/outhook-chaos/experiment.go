package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// experiment runs everything once and returns what was found. Progress goes to stderr.
func experiment(ctx context.Context, o options, stderr io.Writer) (r *report, err error) {
	dir, err := os.MkdirTemp("", "outhook-chaos-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer func() {
		if o.Keep || err != nil || len(r.Broken) > 0 {
			fmt.Fprintf(stderr, "the processes' logs are in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()

	s, err := newStack(ctx, o, dir)
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err != nil {
		return nil, err
	}

	nodesCtx, stopNodes := context.WithCancel(ctx)
	var group errgroup.Group
	for _, n := range s.nodes {
		group.Go(func() error { return n.supervise(nodesCtx) })
	}

	r, err = s.observe(ctx, o, stderr)
	stopNodes()
	return r, errors.Join(err, group.Wait())
}

// observe lets clients and faults loose, waits until everything has settled, and reconciles.
func (s *stack) observe(ctx context.Context, o options, stderr io.Writer) (*report, error) {
	if err := s.awaitServing(ctx); err != nil {
		return nil, err
	}

	c, err := s.newClients(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.pool.Close()
	if err := s.subscribe(ctx, c); err != nil {
		return nil, err
	}

	logs, err := os.Create(s.dir + "/faults.log")
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	defer func() { _ = logs.Close() }() // for people

	fmt.Fprintf(stderr, "breaking things for %s (seed %d)\n", o.Duration, o.Seed)
	start := time.Now()
	saboteur := &saboteur{
		stack: s, logger: slog.New(slog.NewTextHandler(logs, nil)), done: map[kind]int{}, rate: o.Rate,
		operator: &operator{
			clients: c, receivers: s.receivers, journal: s.journal, direct: s.direct, start: start,
			replays: map[deliveryKey]*replayCount{},
		},
	}

	watchCtx, unwatch := context.WithCancel(ctx)
	defer unwatch()
	var watching sync.WaitGroup
	watching.Go(func() { s.journal.beat(watchCtx) })
	watching.Go(func() { s.watch.run(watchCtx) })

	if err := s.load(ctx, o, c, saboteur); err != nil {
		return nil, err
	}

	faultsOver := time.Now()
	fmt.Fprintf(stderr, "faults are over after %s; waiting for everything to settle\n",
		faultsOver.Sub(start).Round(time.Second))
	s.receivers.calm.Store(true)
	if err := saboteur.operator.recoverAll(ctx, s.receivers.all()); err != nil {
		return nil, err
	}

	if err := s.settle(ctx, o.Settle); err != nil {
		return nil, err
	}
	if err := writeSlow(ctx, s.direct, s.dir+"/slow.log"); err != nil {
		return nil, err
	}

	unwatch()
	watching.Wait()
	r := &report{Seed: o.Seed, DurationS: o.Duration.Seconds(), SettledS: time.Since(faultsOver).Seconds()}
	return r, s.reconcile(ctx, r, c.ledger, saboteur, start)
}

func (s *stack) newClients(ctx context.Context, o options) (*clients, error) {
	database, err := s.wires[len(s.wires)-1].through(s.postgres.URL("outhook"))
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, fmt.Errorf("parsing the database's URL: %w", err)
	}

	crowds := o.crowds()
	cfg.MaxConns = int32(crowds * (goClients + sqlClients)) //nolint:gosec // some hundred
	cfg.ConnConfig.ConnectTimeout = clientTimeout
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the clients' pool: %w", err)
	}

	return &clients{
		seed: o.Seed, ledger: &ledger{served: map[string][]time.Time{}}, pool: pool,
		nodes: s.role(roleAPI), apiKey: s.apiKey,
		http: &http.Client{Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: crowds * restClients}},
	}, nil
}

// load runs the clients and the faults until both are through.
func (s *stack) load(ctx context.Context, o options, c *clients, saboteur *saboteur) error {
	clientCtx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	var group sync.WaitGroup

	const crowd = restClients + goClients + sqlClients
	rate := float64(o.Rate) / float64(crowd*o.crowds())

	for i := range crowd * o.crowds() {
		enqueue := c.rest
		switch place := i % crowd; {
		case place >= restClients+goClients:
			enqueue = c.plainSQL
		case place >= restClients:
			enqueue = c.transaction
		}
		group.Go(func() { c.loop(clientCtx, uint64(i), rate, enqueue) }) //nolint:gosec // small
	}

	err := saboteur.work(ctx, plan(o))
	group.Wait()

	if ctx.Err() != nil {
		return fmt.Errorf("breaking things: %w", context.Cause(ctx))
	}
	return err
}

// settle returns when nothing is pending any more, or when limit is over: the reconciliation counts what is left.
func (s *stack) settle(ctx context.Context, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); wait(ctx, 500*time.Millisecond) {
		var pending bool
		err := s.direct.QueryRow(ctx, `SELECT EXISTS (SELECT FROM outhook.deliveries WHERE state = 'pending')
			OR EXISTS (SELECT FROM outhook.operations WHERE state = 'running')`).Scan(&pending)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("waiting for everything to settle: %w", context.Cause(ctx))
		case err == nil && !pending:
			// A request that was paused may still be on its way, and its outcome too.
			wait(ctx, 2*endpointTimeout)
			return nil
		}
	}
	return nil
}
