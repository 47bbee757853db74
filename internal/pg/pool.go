package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// keyConns are the loader's connection, the recorder's, and one to spare while a broken one is closed; fetchConns is
// one for each of the six queues, and one to spare.
const (
	keyConns   = 3
	fetchConns = 7
)

// keptStatements is how many prepared statements a connection keeps: of the two groups' a dozen days, since each day
// has its own (Day). What is used least leaves, with its plan.
const keptStatements = 24

// How old plans may be. To plan a fetch takes less than a millisecond, and what comes to a quiet system in a second is
// enough to make the plan of that time slow (p99 of the receipt 600 to 950 ms instead of 84 to 133).
const (
	fetchPlanAge = 100 * time.Millisecond
	keyPlanAge   = 10 * time.Second
)

// NewKeyPool returns a pool for the two groups' statements, which look rows up by their keys. To plan one takes up to
// 20 ms. What a group joins with itself is hashed, not compared pair by pair; look-ups nest as they must. What it
// commits survives a crash, as with SurviveCrash.
func NewKeyPool(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	return newPlanPool(ctx, pool, keyConns, keyPlanAge,
		"SET enable_seqscan = off; SET enable_nestloop = off; "+survivingCrash)
}

// NewFetchPool returns a pool for River's fetches. With few jobs the best plan reads all of them for each one that it
// takes, and with many one for an unknown number to take reads a whole index, so joins go by the key.
func NewFetchPool(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	return newPlanPool(ctx, pool, fetchConns, fetchPlanAge, SessionByKey)
}

// NewPoolLike returns a pool that is like another but for its number of connections, which are made when they are used
// unless one of the changes, which have the last word, says otherwise.
func NewPoolLike(
	ctx context.Context, pool *pgxpool.Pool, conns int32, changes ...func(*pgxpool.Config),
) (*pgxpool.Pool, error) {
	cfg := pool.Config()
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = conns, 0, 0
	for _, change := range changes {
		change(cfg)
	}

	like, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return nil, fmt.Errorf("opening a pool: %w", err)
	}
	return like, nil
}

// newPlanPool returns a pool for statements that run many times a second and whose plans are kept: a custom one can't
// be better than the generic one, and planning takes longer than they do themselves.
//
// A plan may be from a time at which river_job, or the day's partition, had a few rows. It must not read all of it,
// which would be done for each row of a group once there are many; and any index of so small a table is as good as the
// right one, so no plan is older than age.
func newPlanPool(
	ctx context.Context, pool *pgxpool.Pool, conns int32, age time.Duration, settings string,
) (*pgxpool.Pool, error) {
	cfg := pool.Config()
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = conns, 0, 0
	cfg.ConnConfig.StatementCacheCapacity = keptStatements

	cfg.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		const planned = "outhook_planned"
		data := conn.PgConn().CustomData()
		if last, ok := data[planned].(time.Time); ok && time.Since(last) < age {
			return true, nil
		}

		data[planned] = time.Now()
		_, err := conn.Exec(ctx, "DISCARD PLANS")
		return err == nil, nil // if not, the pool opens another connection, or says why it can't
	}

	afterConnect := cfg.AfterConnect
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if afterConnect != nil {
			if err := afterConnect(ctx, conn); err != nil {
				return err
			}
		}

		_, err := conn.Exec(ctx, State+"; SET plan_cache_mode = force_generic_plan; "+settings)
		return err
	}

	planPool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg) // connects when it is used
	if err != nil {
		return nil, fmt.Errorf("opening a pool that keeps plans: %w", err)
	}
	return planPool, nil
}
