// Package ingest stores the events of many requests in one transaction: the requests that arrive while a group is being
// committed make up the next one, in which tenants take turns. A group has a bounded number of deliveries, counted
// before the work: what is larger goes alone, beside the groups (group.go).
//
// Begin with [Store.Put], which returns once the events of one request are committed, all of them or none. A request
// that is at fault fails alone ([ConflictError], [FanOutError], [ErrKeyHeld], and what Postgres says of its events);
// what fails a whole group is logged once and returned to each of its requests as a [GroupError].
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/sqlstate"
)

const (
	// parallel: two groups at a time are half as large each, which on few cores costs more than the overlap with a
	// commit gains.
	parallel = 1

	// maxWaiting bounds the requests that wait. A group takes up to 500, so this is a wait of about eight groups.
	maxWaiting = 4000

	// sorterParallel and sorterItems bound the groups in which requests are told apart whose group had to wait for an
	// idempotency key. They are halved until those with the key are alone, so they are small.
	sorterParallel = 2
	sorterItems    = 16

	// aloneParallel and aloneWaiting bound the requests that are stored one by one. Each takes a second at most.
	aloneParallel = 1
	aloneWaiting  = 1000

	// patientParallel bounds the requests that wait at the same time for a key that an open transaction holds, since each
	// takes a connection.
	patientParallel = 4

	// patientWaiting bounds those that wait for one of these places: it comes within 5 s.
	patientWaiting = 100

	// runTimeout bounds a group: less than the 15 s that a request waits by default, so that its outcome is known in time.
	runTimeout = 12 * time.Second

	// patience is how long a request waits for a lock that an open transaction holds. The last try may end after that.
	patience = 8 * time.Second
)

// How long a statement waits for another transaction's idempotency key. An application may hold its transaction open,
// and with it a key, for as long as it likes, so nobody may wait for it but the requests with that key: a group gives
// up after as long as the commit of another one takes. Those that are told apart meet the keys that are held one by
// one. The requests that wait take turns, so that none waits behind a key that is held for longer than its own.
const (
	promptLocks  = 5 * time.Millisecond
	sorterLocks  = 2 * time.Millisecond
	patientLocks = 200 * time.Millisecond

	// A lock other than a key's, of a migration, say, concerns all requests of a group: they wait for it together. Each
	// try is moreLocks times as long as the one before, up to maxLocks, and not all of their patience, since it may meet
	// a key that is held, too.
	moreLocks = 4
	maxLocks  = 4 * time.Second
)

// Store writes events. Create one with [New].
type Store struct {
	pool    *pgxpool.Pool // of prompt
	aside   *pgxpool.Pool // of the others
	logger  *slog.Logger
	prompt  *group // of all requests but those in keyed
	keyed   *group // of those whose answer may be a conflict, which is done for nothing then
	alone   *group // of those that a group is better without, one by one
	sorter  *group // of those whose group had to wait for a key
	patient *group // of those whose key another transaction holds
	waker   *waker
	metric  *metrics.Group
}

// group is requests that are stored together.
type group = batch.Group[request, outcome]

// New returns a store that takes 1 connection of the pool, and of the one aside 1 for requests of several events with
// idempotency keys, up to 1 for requests with many deliveries and for those at fault, up to 6 while open transactions
// hold idempotency keys of events, and 1 to wake workers. A connection that enqueues for the first time takes ten times
// as long (see Warm): where the pool is one of its own, nobody takes the groups' away. The logger gets a line for each
// group that failed, and reg the metrics of the groups (nil: they are counted and not shown).
func New(pool, aside *pgxpool.Pool, logger *slog.Logger, reg prometheus.Registerer) *Store {
	st := &Store{pool: pool, aside: aside, logger: logger, waker: newWaker(aside, logger)}
	prompt := batch.Config{Parallel: parallel, MaxWaiting: maxWaiting}
	st.prompt = batch.NewInTurns(prompt, request.size, request.turn, st.runPrompt(pool))
	st.keyed = batch.NewInTurns(prompt, request.size, request.turn, st.runPrompt(aside))

	alone := batch.Config{Parallel: aloneParallel, MaxWaiting: aloneWaiting, MaxItems: 1}
	st.alone = batch.NewInTurns(alone, request.size, request.turn, st.runOne(promptLocks))

	apart := func(err error) bool { return isOnesFault(err) || isHeldKey(err) }
	sorter := batch.Config{Parallel: sorterParallel, MaxWaiting: maxWaiting, MaxItems: sorterItems, Split: apart}
	st.sorter = batch.NewInTurns(sorter, request.size, request.turn, st.runSorter)

	patient := batch.Config{Parallel: patientParallel, MaxWaiting: patientWaiting, MaxItems: 1}
	st.patient = batch.NewInTurns(patient, request.size, request.turn, st.runOne(patientLocks))

	st.metric = metrics.NewGroup(reg, "store", func() (waiting int) {
		for _, g := range st.groups() {
			waiting += g.Stats().Waiting
		}
		return waiting
	})
	return st
}

// Put stores the events of one request, all or none, and returns when they are committed. traceparent is the trace of
// the request, or "": bytes that are no UTF-8 would fail a whole group, so whoever reads a header checks it.
//
// Returns a [ConflictError] for one of several events; a conflict of a single event is in its row. Returns a
// [FanOutError] if several events have more than [MaxDeliveries] deliveries. Returns [ErrKeyHeld] if an open
// transaction holds an idempotency key for longer than a request may wait.
func (st *Store) Put(ctx context.Context, events []outhook.Event, traceparent string) ([]db.EnqueueManyRow, error) {
	r := newRequest(events, traceparent)
	first := st.prompt
	if r.mayConflict() {
		first = st.keyed
	}

	out, err := outcome{apart: r.nested}, error(nil)
	if !out.apart {
		out, err = first.Do(ctx, r)
	}
	if isHeldKey(err) {
		out, err = st.sorter.Do(ctx, r)
	}
	if out.apart || isLarge(err) {
		out, err = st.alone.Do(ctx, r)
	}

	for began := time.Now(); isHeldKey(err); {
		if time.Since(began) > patience {
			return nil, ErrKeyHeld
		}
		out, err = st.patient.Do(ctx, r)
	}
	return out.rows, err
}

func (st *Store) groups() []*group {
	return []*group{st.prompt, st.keyed, st.sorter, st.alone, st.patient}
}

// Close finishes what waits and runs.
func (st *Store) Close(ctx context.Context) error {
	var all []error
	for _, g := range st.groups() {
		all = append(all, g.Close(ctx))
	}
	st.waker.close()
	return errors.Join(all...)
}

// limits are what a group's transaction may take.
type limits struct {
	locks      time.Duration // for which a statement waits for a lock
	time       time.Duration // of the statement
	deliveries int           // 0: any number
	pool       *pgxpool.Pool
}

// store stores a group, waiting for keys for as long as the limits say, and for other locks for longer.
func (st *Store) store(ctx context.Context, rs []request, most limits) (rows [][]db.EnqueueManyRow, err error) {
	for began := time.Now(); ; {
		if rows, err = st.enqueue(ctx, rs, most); err == nil {
			st.waker.wake()
		}
		if !isLockTimeout(err) || isHeldKey(err) || time.Since(began) > patience {
			return rows, st.logged(ctx, err, len(rs))
		}
		most.locks = min(moreLocks*most.locks, maxLocks)
	}
}

// logged logs an error that is nobody's fault once, for all requests of the group.
func (st *Store) logged(ctx context.Context, err error, requests int) error {
	if err == nil || isOnesFault(err) || isHeldKey(err) {
		return err
	}
	return st.failed(ctx, err, requests)
}

// failed logs the failure of a group and returns it as a GroupError.
func (st *Store) failed(ctx context.Context, err error, requests int) error {
	st.logger.ErrorContext(ctx, "storing events", slog.Int("requests", requests), slog.String("error", sqlstate.Text(err)))
	return &GroupError{err}
}

// enqueue stores a group in one transaction.
func (st *Store) enqueue(
	ctx context.Context, rs []request, most limits,
) (answers [][]db.EnqueueManyRow, err error) {
	began := time.Now()
	defer func() { st.metric.Observe(len(rs), began, err) }()
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()

	// A 2xx means durable, whatever the database's own setting is; remote_apply, which is more than on, stays. Workers are
	// told afterwards (waker).
	settings := fmt.Sprintf("SELECT set_config('lock_timeout', '%d', true), set_config('outhook.notify', 'off', true), "+
		"set_config('statement_timeout', '%d', true), ("+pg.SurviveCrash+")",
		most.locks.Milliseconds(), most.time.Milliseconds())
	if most.deliveries > 0 {
		settings += fmt.Sprintf(", set_config('outhook.max_deliveries', '%d', true)", most.deliveries)
	}

	if slices.ContainsFunc(rs, request.mayConflict) {
		return enqueueUnlessConflict(ctx, most.pool, rs, settings)
	}

	t := &trip{pool: most.pool, settings: settings}
	rows, err := db.New().EnqueueMany(ctx, t, columns(rs))
	if failed := t.commit(); failed != nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("enqueueing: %w", err)
	}
	return perRequest(rs, rows)
}

// enqueueUnlessConflict stores a group whose answers decide whether it is committed.
func enqueueUnlessConflict(
	ctx context.Context, pool *pgxpool.Pool, rs []request, settings string,
) (answers [][]db.EnqueueManyRow, err error) {
	begin := pgx.TxOptions{BeginQuery: "BEGIN; " + settings} // in one round trip

	err = pgx.BeginTxFunc(ctx, pool, begin, func(tx pgx.Tx) error {
		rows, err := db.New().EnqueueMany(ctx, tx, columns(rs))
		if err != nil {
			return fmt.Errorf("enqueueing: %w", err)
		}
		answers, err = perRequest(rs, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}
