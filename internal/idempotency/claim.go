package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/sqlstate"
)

const (
	// twinWait is how long a request waits for another one with the same key that is under way, without a connection: it
	// looks again each twinPoll.
	twinWait = 2 * time.Second
	twinPoll = 100 * time.Millisecond

	// begin is how the transaction of a request with a key goes on after BEGIN. It sees at once whether somebody holds the
	// row.
	begin   = "; " + pg.Planned + "; SET LOCAL lock_timeout = 5"
	claimed = "SET LOCAL lock_timeout = 0"
)

// errTwin says that another request with the same key is under way.
var errTwin = errors.New("a request with the same key is under way")

// claim takes the request's row, or returns the first request's answer. It waits for a twin for a while, without a
// connection.
func (st *Store) claim(
	ctx context.Context, r *Request, place func(context.Context) (func(), error),
) (asked string, first *Answer, err error) {
	asked, first, err = st.tryClaim(ctx, r, place)
	if !errors.Is(err, errTwin) {
		return asked, first, err
	}

	waiting, cancel := context.WithTimeout(ctx, twinWait)
	defer cancel()
	tick := time.NewTicker(twinPoll)
	defer tick.Stop()

	for errors.Is(err, errTwin) {
		select {
		case <-tick.C:
			asked, first, err = st.tryClaim(waiting, r, place)
		case <-waiting.Done():
			err = waiting.Err()
		}
	}
	if err != nil && waiting.Err() != nil {
		err = problem.Later(problem.IdempotencyKeyInUse,
			"a request with this "+Header+" is under way: repeat the request to get its answer", 1)
	}
	return asked, first, err
}

// tryClaim is claim without waiting for a twin: it returns errTwin.
func (st *Store) tryClaim(
	ctx context.Context, r *Request, place func(context.Context) (func(), error),
) (asked string, first *Answer, err error) {
	if r.free, err = place(ctx); err != nil {
		return "", nil, err
	}
	defer func() {
		if r.tx == nil {
			r.free()
		}
	}()

	row, err := db.New().GetStoredAnswer(ctx, st.pool, r.id, Kept.Seconds())
	switch {
	case err == nil:
		return st.open(row, r.id)
	case !errors.Is(err, pgx.ErrNoRows):
		return "", nil, fmt.Errorf("looking for a stored answer: %w", err)
	}

	tx, err := st.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: r.begin()})
	if err != nil {
		return "", nil, fmt.Errorf("beginning the transaction of a key: %w", err)
	}
	if err := r.take(ctx, tx); err != nil {
		rollBack(ctx, tx)
		return "", nil, err
	}
	r.tx = tx
	return "", nil, nil
}

// begin returns what begins the request's transaction.
func (r *Request) begin() string {
	if r.Isolation == "" {
		return "BEGIN" + begin
	}
	return "BEGIN ISOLATION LEVEL " + string(r.Isolation) + begin
}

// take takes the request's row, or returns errTwin if another transaction holds it, or has stored an answer just now.
func (r *Request) take(ctx context.Context, tx pgx.Tx) error {
	var owner *uuid.UUID
	if r.caller.ID != uuid.Nil {
		owner = &r.caller.ID
	}

	n, err := db.New().ClaimAnswer(ctx, tx, r.id, owner, Kept.Seconds())
	switch {
	case sqlstate.Of(err) == sqlstate.LockNotAvailable, isRace(err), err == nil && n == 0:
		return errTwin
	case err != nil:
		return fmt.Errorf("claiming a stored answer: %w", err)
	}

	_, err = tx.Exec(ctx, claimed)
	return err
}

// end rolls back what was not committed.
func (r *Request) end(ctx context.Context) {
	if r.tx != nil {
		rollBack(ctx, r.tx)
		r.tx = nil
		r.free()
	}
}

// rollBack ends a transaction, also for a client that is gone. If it can't, the pool closes the connection.
func rollBack(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = tx.Rollback(ctx)
}
