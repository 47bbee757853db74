package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// tables is what the database says at the end: the second ledger, and with the attempts the fourth.
type tables struct {
	events     map[int64][]storedEvent
	orders     map[int64]bool
	deliveries map[deliveryKey]*storedDelivery
	liveJobs   int
}

type storedEvent struct {
	ID        string
	CreatedAt time.Time
	N         int64
}

type storedDelivery struct {
	EventID      string
	EndpointID   string
	State        string
	Reason       *string
	AttemptCount int

	attempts map[int]*storedAttempt
}

type storedAttempt struct {
	EventID    string
	EndpointID string
	Number     int
	Outcome    string
	StatusCode *int
}

func (d *storedDelivery) key() deliveryKey { return deliveryKey{d.EventID, d.EndpointID} }

// readTables reads everything, by way of the reporting views where they say it.
func readTables(ctx context.Context, pool *pgxpool.Pool) (*tables, error) {
	t := &tables{events: map[int64][]storedEvent{}, orders: map[int64]bool{}, deliveries: map[deliveryKey]*storedDelivery{}}
	events, err := query[storedEvent](ctx, pool, "SELECT id::text, created_at, (payload ->> 'n')::bigint AS n FROM outhook.events")
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		t.events[e.N] = append(t.events[e.N], *e)
	}
	deliveries, err := query[storedDelivery](ctx, pool,
		"SELECT event_id::text, endpoint_id::text, state, reason, attempt_count FROM outhook.report_deliveries")
	if err != nil {
		return nil, err
	}
	for _, d := range deliveries {
		d.attempts = map[int]*storedAttempt{}
		t.deliveries[d.key()] = d
	}
	attempts, err := query[storedAttempt](ctx, pool,
		"SELECT event_id::text, endpoint_id::text, number, outcome, status_code FROM outhook.report_attempts")
	if err != nil {
		return nil, err
	}
	for _, a := range attempts {
		d := t.deliveries[deliveryKey{a.EventID, a.EndpointID}]
		if d == nil {
			return nil, fmt.Errorf("reading the attempt log: attempt %d of event %s has no delivery", a.Number, a.EventID)
		}
		d.attempts[a.Number] = a
	}
	return t, t.readRest(ctx, pool)
}

func (t *tables) readRest(ctx context.Context, pool *pgxpool.Pool) error {
	orders, err := query[struct{ N int64 }](ctx, pool, "SELECT n FROM shop.orders")
	if err != nil {
		return err
	}
	for _, o := range orders {
		t.orders[o.N] = true
	}
	err = pool.QueryRow(ctx, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver'
		AND state NOT IN ('completed', 'cancelled', 'discarded')`).Scan(&t.liveJobs)
	if err != nil {
		return fmt.Errorf("reading the jobs: %w", err)
	}
	return nil
}

func query[T any](ctx context.Context, pool *pgxpool.Pool, sql string) ([]*T, error) {
	rows, err := pool.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("reading the tables: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByNameLax[T])
	if err != nil {
		return nil, fmt.Errorf("reading the tables: %w", err)
	}
	return list, nil
}
