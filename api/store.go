package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/sqlstate"
)

const (
	// storeParallel: two groups at a time are half as large each, which on few cores costs more than the overlap with a
	// commit gains.
	storeParallel = 1

	// storeWaiting bounds the requests that wait. A group takes up to 500, so this is a wait of about eight groups.
	storeWaiting = 4000

	// patientParallel bounds the requests that may wait at the same time for an idempotency key that an open transaction
	// holds, since each takes a connection.
	patientParallel = 4

	// patientWaiting bounds those that wait for one of these places.
	patientWaiting = 100

	// runTimeout bounds a group: less than Config.StoreTimeout by default, so that its outcome is known in time.
	runTimeout = 12 * time.Second

	// An application may hold its transaction open, and with it an idempotency key, for as long as it likes. A group must
	// not wait for it, or nobody's events would be stored meanwhile: it gives up after promptLocks, which is more than the
	// commit of another group takes, and the one request with that key waits again alone, for patientLocks.
	promptLocks  = 50 * time.Millisecond
	patientLocks = 8 * time.Second
)

// intake is the events of one request, as columns.
type intake struct {
	tenantIDs, types, payloads, keys []string
	traceparent                      string // of the request; "" is none
	bytes                            int
}

func newIntake(events []outhook.Event, traceparent string) intake {
	in := intake{traceparent: traceOrNone(traceparent)}
	for _, e := range events {
		in.tenantIDs = append(in.tenantIDs, e.TenantID)
		in.types = append(in.types, e.Type)
		in.payloads = append(in.payloads, string(e.Payload))
		in.keys = append(in.keys, e.IdempotencyKey)
		in.bytes += len(e.TenantID) + len(e.Type) + len(e.Payload) + len(e.IdempotencyKey)
	}
	return in
}

// traceOrNone drops what is no traceparent for sure: Postgres refuses bytes that are no UTF-8, and with them the
// whole group.
func traceOrNone(traceparent string) string {
	const size = 55 // of version 00
	if len(traceparent) != size || !utf8.ValidString(traceparent) {
		return ""
	}
	return traceparent
}

func intakeSize(in intake) int { return in.bytes }

// conflictError is the index of an event whose idempotency key belongs to an earlier one with another type or payload.
type conflictError int

// Error names the index.
func (e conflictError) Error() string { return fmt.Sprintf("event %d is in conflict", int(e)) }

// store writes events: the requests that arrive while a group is being committed make up the next one.
type store struct {
	pool    *pgxpool.Pool
	logger  *slog.Logger
	prompt  *batch.Group[intake, []db.EnqueueManyRow]
	patient *batch.Group[intake, []db.EnqueueManyRow]
	metric  *metrics.Group
}

func newStore(pool *pgxpool.Pool, logger *slog.Logger, reg prometheus.Registerer) *store {
	st := &store{pool: pool, logger: logger}
	prompt := batch.Config{Parallel: storeParallel, MaxWaiting: storeWaiting, Split: isOnesFault}
	st.prompt = batch.New(prompt, intakeSize, st.runPrompt)
	patient := batch.Config{Parallel: patientParallel, MaxWaiting: patientWaiting, MaxItems: 1}
	st.patient = batch.New(patient, intakeSize, st.runPatient)
	waiting := func() int { return st.prompt.Stats().Waiting + st.patient.Stats().Waiting }
	st.metric = metrics.NewGroup(reg, "store", waiting)
	return st
}

// put stores the events of one request, all or none, and returns when they are committed. Returns a conflictError for
// one of several events; a conflict of a single event is in its row.
func (st *store) put(ctx context.Context, in intake) ([]db.EnqueueManyRow, error) {
	rows, err := st.prompt.Do(ctx, in)
	if isHeldKey(err) {
		rows, err = st.patient.Do(ctx, in)
	}
	return rows, err
}

// close finishes what waits and runs.
func (st *store) close(ctx context.Context) error {
	return errors.Join(st.prompt.Close(ctx), st.patient.Close(ctx))
}

// runPrompt is one group of requests. A lock other than a key's concerns all of them (a migration, say), so they wait
// for it together.
func (st *store) runPrompt(ctx context.Context, ins []intake) ([][]db.EnqueueManyRow, error) {
	rows, err := st.enqueue(ctx, ins, promptLocks)
	if isLockTimeout(err) && !isHeldKey(err) {
		rows, err = st.enqueue(ctx, ins, patientLocks)
	}
	return rows, st.logged(ctx, err, len(ins))
}

// runPatient is one request that waits for a key.
func (st *store) runPatient(ctx context.Context, ins []intake) ([][]db.EnqueueManyRow, error) {
	rows, err := st.enqueue(ctx, ins, patientLocks)
	if isHeldKey(err) {
		return nil, problem.Unavailable(
			"another transaction holds this idempotency_key and has not ended yet: repeat the request", 5)
	}
	return rows, st.logged(ctx, err, len(ins))
}

// logged logs an error that is nobody's fault once, for all requests of the group.
func (st *store) logged(ctx context.Context, err error, requests int) error {
	if err == nil || isOnesFault(err) {
		return err
	}
	st.logger.ErrorContext(ctx, "storing events", slog.Int("requests", requests), slog.String("error", sqlstate.Text(err)))
	return loggedError{err}
}

func (st *store) enqueue(
	ctx context.Context, ins []intake, locks time.Duration,
) (answers [][]db.EnqueueManyRow, err error) {
	began := time.Now()
	defer func() { st.metric.Observe(len(ins), began, err) }()
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()

	// In one round trip, as Postgres takes several statements in one message. A 2xx means durable, whatever the database's
	// own setting is; remote_apply, which is more than on, stays.
	begin := fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = %d; "+
		"SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local')",
		locks.Milliseconds(), runTimeout.Milliseconds())

	err = pgx.BeginTxFunc(ctx, st.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		rows, err := db.New().EnqueueMany(ctx, tx, columns(ins))
		if err != nil {
			return fmt.Errorf("enqueueing: %w", err)
		}
		answers, err = perRequest(ins, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

func columns(ins []intake) (p db.EnqueueManyParams) {
	var traced bool
	for _, in := range ins {
		p.TenantIds = append(p.TenantIds, in.tenantIDs...)
		p.Types = append(p.Types, in.types...)
		p.Payloads = append(p.Payloads, in.payloads...)
		p.IdempotencyKeys = append(p.IdempotencyKeys, in.keys...)
		traced = traced || in.traceparent != ""
	}

	if traced {
		p.Traceparents = make([]string, 0, len(p.TenantIds))
		for _, in := range ins {
			for range in.tenantIDs {
				p.Traceparents = append(p.Traceparents, in.traceparent)
			}
		}
	}
	return p
}

// perRequest cuts rows into those of each request. Returns a conflictError, by which everything is rolled back, if
// one of several events of a request is in conflict. A single one stores nothing then, so its neighbours may be
// committed.
func perRequest(ins []intake, rows []db.EnqueueManyRow) ([][]db.EnqueueManyRow, error) {
	answers := make([][]db.EnqueueManyRow, len(ins))
	for i, in := range ins {
		n := len(in.types)
		if len(rows) < n {
			return nil, errors.New("enqueue_many returned too few rows")
		}

		answers[i], rows = rows[:n:n], rows[n:]
		for j, row := range answers[i] {
			if row.Conflict && n > 1 {
				return nil, conflictError(j)
			}
		}
	}
	return answers, nil
}

// isOnesFault tells whether a group failed for a reason that may be that of a single request, with nothing stored: a
// conflict, an event that the database refuses (classes 22 and 54), a deadlock or a serialization failure (40), or a
// key that another transaction holds. None of these comes from a commit.
func isOnesFault(err error) bool {
	var conflict conflictError
	var pgErr *pgconn.PgError
	switch {
	case errors.As(err, &conflict):
		return true
	case errors.As(err, &pgErr):
		switch sqlstate.Class(pgErr.Code) {
		case "22", "40", "54":
			return true
		}
	}
	return isHeldKey(err)
}

func isLockTimeout(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "55P03"
}

// isHeldKey tells whether a lock timeout was that of waiting for another transaction's idempotency key. Postgres tells
// what it waited for in the context of the error: "while inserting index tuple (0,1) in relation "event_keys"".
func isHeldKey(err error) bool {
	var pgErr *pgconn.PgError
	return isLockTimeout(err) && errors.As(err, &pgErr) && strings.Contains(pgErr.Where, `"event_keys`)
}

// storeProblem gives the errors that belong to an event of the request their place in it.
func storeProblem(err error, at func(index int) string) error {
	var conflict conflictError
	var pgErr *pgconn.PgError

	switch {
	case errors.As(err, &conflict):
		return keyConflict(at(int(conflict)) + ".idempotency_key")
	case errors.As(err, &pgErr) && pgErr.Code == "22023":
		return problem.New(http.StatusUnprocessableEntity, pgErr.Message) // names the index, repeats no value
	case errors.As(err, &pgErr) && sqlstate.Class(pgErr.Code) == "54":
		return problem.New(http.StatusRequestEntityTooLarge, "a payload is larger than the database takes")
	}
	return err
}

func keyConflict(at string) *problem.Error {
	return problem.New(http.StatusConflict,
		"this idempotency_key belongs to an earlier event with another type or payload: nothing was stored; "+
			"use a new key for a new event", problem.Detail{Location: at, Message: "is in use for another event"})
}
