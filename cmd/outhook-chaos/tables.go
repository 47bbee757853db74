package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// tables is what the database says at the end: the second ledger, and with the attempts the fourth.
type tables struct {
	events     map[int64][]storedEvent
	orders     map[int64]bool
	deliveries map[deliveryKey]*storedDelivery
	recovers   map[uuid.UUID][]span // of endpoints: when deliveries of theirs were ordered anew
	liveJobs   int
}

type storedEvent struct {
	id        uuid.UUID
	createdAt time.Time
	dueAt     time.Time // when its first attempts were due: when it was enqueued, or later, as its publisher wished
	n         int64
	back      bool // its publisher has taken it back

	orderingKey string // "": none
}

type storedDelivery struct {
	deliveryKey

	state        string
	reason       string
	attemptCount int
	attempts     []storedAttempt // by number
}

type storedAttempt struct {
	number     int
	outcome    string
	statusCode int // 0: none
	startedAt  time.Time
	duration   time.Duration // 0: unknown
	trouble    string        // the class of its error, like "worker_died", and what it was at
}

// troubleDied is the class of the error of a row that was made for a run of which nothing was ever heard.
const troubleDied = "worker_died"

// failed tells whether the attempt is a known failure.
func (a *storedAttempt) failed() bool { return a.outcome != "unknown" && a.outcome != "succeeded" }

// died tells whether nobody knows when and whether it took place.
func (a *storedAttempt) died() bool {
	return a.outcome == "unknown" && strings.HasPrefix(a.trouble, troubleDied)
}

// died tells it of the attempt with a number.
func (d *storedDelivery) died(number int) bool {
	a := d.attempt(number)
	return a != nil && a.died()
}

// attempt returns the attempt with that number, or nil.
func (d *storedDelivery) attempt(number int) *storedAttempt {
	// Nearly always at its place: the log has no holes.
	if i := number - 1; i >= 0 && i < len(d.attempts) && d.attempts[i].number == number {
		return &d.attempts[i]
	}

	for i := range d.attempts {
		if d.attempts[i].number == number {
			return &d.attempts[i]
		}
	}
	return nil
}

// readTables reads everything, each table in one pass, by way of the reporting views where they say it.
func readTables(ctx context.Context, pool *pgxpool.Pool) (*tables, error) {
	t := &tables{
		events: map[int64][]storedEvent{}, orders: map[int64]bool{}, deliveries: map[deliveryKey]*storedDelivery{},
		recovers: map[uuid.UUID][]span{},
	}

	var e storedEvent
	err := each(ctx, pool, `SELECT id, created_at, coalesce(deliver_at, created_at), (payload ->> 'n')::bigint, withdrawn_at IS NOT NULL,
			coalesce(ordering_key, '')
		FROM outhook.events`,
		[]any{&e.id, &e.createdAt, &e.dueAt, &e.n, &e.back, &e.orderingKey}, func() error {
			t.events[e.n] = append(t.events[e.n], e)
			return nil
		})
	if err != nil {
		return nil, err
	}

	var d storedDelivery
	err = each(ctx, pool, `SELECT event_id, endpoint_id, state::text, coalesce(reason, ''), attempt_count
		FROM outhook.report_deliveries`,
		[]any{&d.eventID, &d.endpointID, &d.state, &d.reason, &d.attemptCount}, func() error {
			t.deliveries[d.deliveryKey] = new(d)
			return nil
		})
	if err != nil {
		return nil, err
	}

	return t, t.readRest(ctx, pool)
}

func (t *tables) readRest(ctx context.Context, pool *pgxpool.Pool) error {
	var key deliveryKey
	var a storedAttempt
	var ms int64
	err := each(ctx, pool, `SELECT event_id, endpoint_id, number, outcome::text, coalesce(status_code, 0), started_at,
			coalesce(duration_ms, 0), coalesce(error, '')
		FROM outhook.report_attempts ORDER BY event_id, endpoint_id, number`,
		[]any{
			&key.eventID, &key.endpointID, &a.number, &a.outcome, &a.statusCode, &a.startedAt, &ms, &a.trouble,
		}, func() error {
			a.duration = time.Duration(ms) * time.Millisecond
			d := t.deliveries[key]
			if d == nil {
				return fmt.Errorf("attempt %d of event %s has no delivery", a.number, key.eventID)
			}
			d.attempts = append(d.attempts, a)
			return nil
		})
	if err != nil {
		return err
	}

	var n int64
	err = each(ctx, pool, "SELECT n FROM shop.orders", []any{&n}, func() error {
		t.orders[n] = true
		return nil
	})
	if err != nil {
		return err
	}

	var endpointID uuid.UUID
	var recovered span
	err = each(ctx, pool, `SELECT endpoint_id, created_at, coalesce(completed_at, now()) FROM outhook.operations
		WHERE kind = 'recover' AND endpoint_id IS NOT NULL`, []any{&endpointID, &recovered.from, &recovered.to}, func() error {
		t.recovers[endpointID] = append(t.recovers[endpointID], recovered)
		return nil
	})
	if err != nil {
		return err
	}

	err = pool.QueryRow(ctx, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver'
		AND state NOT IN ('completed', 'cancelled', 'discarded')`).Scan(&t.liveJobs)
	if err != nil {
		return fmt.Errorf("reading the jobs: %w", err)
	}

	return nil
}

// each calls do after each row has been read into.
func each(ctx context.Context, pool *pgxpool.Pool, sql string, into []any, do func() error) error {
	rows, err := pool.Query(ctx, sql) //nolint:rowserrcheck // ForEachRow checks it
	if err != nil {
		return fmt.Errorf("reading the tables: %w", err)
	}

	if _, err := pgx.ForEachRow(rows, into, do); err != nil {
		return fmt.Errorf("reading the tables: %w", err)
	}
	return nil
}
