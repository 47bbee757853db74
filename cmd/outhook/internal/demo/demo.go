// Package demo is the world of `outhook dev --demo`: three tenants with endpoints in every condition, receivers for
// them inside this process, and events that go on for as long as it runs. It enqueues as an application does and
// arranges as a person does, by the API: nothing is written past them, so what is seen of it is what Outhook makes of
// it.
package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/signature"
)

// EventsPerSecond is what is enqueued a second, but for a rush of one tenant's each minute: enough to see something
// move, for a few hundredths of a CPU.
const EventsPerSecond = 2

const (
	// rushEach is how often a rush comes, and rushEvents is how many events it is: an endpoint with a rate limit has
	// work for half a minute.
	rushEach   = time.Minute
	rushEvents = 20

	// firstWait is how long the world waits for its first webhook before it goes on without.
	firstWait = 30 * time.Second
)

// Config is what a world works with.
type Config struct {
	// API makes the endpoints, with a key that may do so for every tenant.
	API *client.Client

	// Pool is the database that events are enqueued into.
	Pool *pgxpool.Pool

	// Secret signs what the endpoints get.
	Secret signature.Secret

	// First answers the first webhook of an invoice.paid: for somebody who wants to see one arrive.
	First http.Handler
}

// World has receivers from [New] to Close, and lives while Run runs.
type World struct {
	cfg      Config
	receiver *receiver
	ids      map[string]string // of endpoints, by their path
	random   *rand.Rand        // of Run's goroutine
}

// New returns a world whose receivers listen already.
func New(ctx context.Context, cfg Config) (*World, error) {
	r, err := newReceiver(ctx, cfg)
	if err != nil {
		return nil, err
	}

	//nolint:gosec // it makes up orders
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	return &World{cfg: cfg, receiver: r, ids: map[string]string{}, random: random}, nil
}

// Close ends the receivers. Workers should have stopped by then, so that nothing fails for it.
func (w *World) Close() { w.receiver.close() }

// Run makes what is not there yet, calls ready once something has arrived, and enqueues until ctx ends.
func (w *World) Run(ctx context.Context, ready func()) error {
	if err := w.arrange(ctx); err != nil {
		return err
	}
	if err := w.publish(ctx, overture(w.random)); err != nil {
		return err
	}

	select {
	case <-w.receiver.seen:
	case <-time.After(firstWait):
	case <-ctx.Done():
		return ctx.Err()
	}
	ready()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.goOn(ctx) })
	group.Go(func() error { return w.mend(ctx) })
	return group.Wait()
}

// goOn enqueues until ctx ends.
func (w *World) goOn(ctx context.Context) error {
	next := time.NewTicker(time.Second / EventsPerSecond)
	defer next.Stop()
	rush := time.NewTicker(rushEach)
	defer rush.Stop()

	for {
		var events []outhook.Event
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
			events = []outhook.Event{anyEvent(w.random)}
		case <-rush.C:
			for range rushEvents {
				events = append(events, event(w.random, northwind, "order.created"))
			}
		}

		if err := w.publish(ctx, events); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// publish enqueues events in a transaction, as an application does beside its change.
func (w *World) publish(ctx context.Context, events []outhook.Event) error {
	return pgx.BeginFunc(ctx, w.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := outhook.EnqueueMany(ctx, tx, events); err != nil {
			return fmt.Errorf("enqueuing the demo's events: %w", err)
		}
		return nil
	})
}
