package jobs_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/pg"
)

// fewLocks is more than what a statement may lock, whatever the retention: Postgres has room for 64 locks a connection, for
// everybody in the database together.
const fewLocks = 100

// keepDays gives the log tables partitions of so many days back, as a long retention does: 100, or 800 if
// OUTHOOK_TEST_LOAD is "all".
func (b *testBundle) keepDays(t *testing.T) {
	t.Helper()
	days := 100
	if os.Getenv("OUTHOOK_TEST_LOAD") == "all" {
		days = 800
	}
	for first := days; first > 0; first -= 20 { // a few a transaction, which keeps their locks
		b.exec(t, `SELECT outhook.create_partitions(current_date - $1::integer, current_date - $1 + 20)`, first)
	}
}

// locks runs statements in a transaction of a pool, which is rolled back, and returns how many locks on tables and indexes it
// then has.
func (b *testBundle) locks(t *testing.T, pool *pgxpool.Pool, run func(pgx.Tx) error) (n int) {
	t.Helper()
	tx, err := pool.Begin(b.ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(b.ctx)) }()
	require.NoError(t, run(tx))
	require.NoError(t, tx.QueryRow(b.ctx, `SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
		AND relation NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace)`).Scan(&n))
	return n
}

// What a worker does for each group of deliveries locks a few tables, however many days there are.
func TestALoadAndARecordLockFewTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.keepDays(t)
	endpointID, _ := b.endpoint(t)
	pool, client, seen := b.startTraced(t)
	b.enqueueFor(t, tenant, 1)
	b.awaitNonePending(t, endpointID)
	require.NoError(t, client.Stop(b.ctx))

	keyPool, err := pg.NewKeyPool(b.ctx, pool)
	require.NoError(t, err)
	defer keyPool.Close()
	for _, name := range []string{"LoadDeliveries", "SettleRuns"} {
		data, ok := seen.get(name)
		require.True(t, ok, name)
		n := b.locks(t, keyPool, func(tx pgx.Tx) error {
			_, err := tx.Exec(b.ctx, data.SQL, data.Args...)
			return err
		})
		t.Log(name, n)
		require.Less(t, n, fewLocks, name)
	}
}
