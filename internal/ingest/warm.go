package ingest

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// warmUp enqueues nothing, which opens all that a first event needs. To enqueue one and take it back would count:
	// Postgres' statistics, by which outhook_events_enqueued_total goes, know of no rollback.
	warmUp = `BEGIN; SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '3s';
		SELECT FROM outhook.enqueue_many('{}', '{}', '{}');
		ROLLBACK`

	// warmTimeout bounds the warming of a connection beyond its statements' own bounds.
	warmTimeout = 8 * time.Second
)

// Warm returns a change by which a pool has so many connections open before anybody needs them, and has each of them do
// first what the first request on it would wait for: to plan the statements of enqueue_many over all partitions takes
// ten times as long as any later call. What keeps one from it (a lock, a server that is read-only) keeps nobody from
// its use.
func Warm(conns int32) func(*pgxpool.Config) {
	return func(cfg *pgxpool.Config) {
		cfg.MinConns = conns

		prepare := cfg.AfterConnect
		cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			if prepare != nil {
				if err := prepare(ctx, conn); err != nil {
					return err
				}
			}

			ctx, cancel := context.WithTimeout(ctx, warmTimeout)
			defer cancel()
			if _, err := conn.Exec(ctx, warmUp); err == nil {
				return nil
			}
			_, err := conn.Exec(ctx, "ROLLBACK")
			return err
		}
	}
}
