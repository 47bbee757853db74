package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

const (
	// lockTable is the table whose lock is taken.
	lockTable = "outhook.migration_lock"

	// takeLock takes the lock that concurrent migrations wait for. Whatever the database's own timeouts are, it waits,
	// and is kept while this process lives.
	takeLock = `BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0;
		SET LOCAL idle_in_transaction_session_timeout = 30000;
		LOCK TABLE outhook.migration_lock IN EXCLUSIVE MODE`

	// lockIdle is the time in takeLock after which the lock of a frozen process is free. lockPing is how often one that
	// lives shows it.
	lockIdle = 30 * time.Second
	lockPing = time.Second
)

var errLost = errors.New("this migration was held up, or cut off from the database, and has lost its lock: " +
	"run it again")

// locked calls f while no other process migrates. The lock is that of a table without columns, which nobody can take
// who has no rights there: any login can take an advisory lock. goose has such a lock too, but creates its version
// table before it takes it. The transaction that keeps it has no snapshot, which CREATE INDEX CONCURRENTLY would wait
// for.
//
// A process that is frozen meanwhile loses the lock after lockIdle, and its ctx when it thaws.
func locked(ctx context.Context, pool *pgxpool.Pool, f func(context.Context, *goose.Provider) error) error {
	if err := createLock(ctx, pool); err != nil {
		return fmt.Errorf("creating the table of the lock: %w", err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}

	// Closed, not released: the lock ends with the session, whatever happened to it.
	defer func() {
		conn.Conn().Close(context.WithoutCancel(ctx))
		conn.Release()
	}()

	if _, err := conn.Exec(ctx, takeLock); err != nil {
		return fmt.Errorf("waiting for another migration to end: %w", err)
	}

	ctx, lose := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		keepLock(ctx, conn.Conn(), lose)
	}()
	defer func() {
		lose(nil)
		<-kept
	}()

	err = withProvider(pool, func(p *goose.Provider) error { return f(ctx, p) })
	return errors.Join(err, lost(ctx))
}

// keepLock shows the database each second that this process lives, until ctx ends.
func keepLock(ctx context.Context, conn *pgx.Conn, lose context.CancelCauseFunc) {
	tick := time.NewTicker(lockPing)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		pingCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockIdle)
		err := conn.Ping(pingCtx) // an empty statement, which takes no snapshot
		cancel()
		if err != nil {
			lose(fmt.Errorf("%w: %w", errLost, err))
			return
		}
	}
}

// lost returns the reason for which the lock was lost, nil if it was not.
func lost(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, errLost) {
		return cause
	}
	return nil
}
