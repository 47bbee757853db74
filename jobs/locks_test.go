package jobs_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/reconcile"
)

// fewLocks is more than what a statement may lock, whatever the retention: Postgres has room for 64 locks a connection, for
// everybody in the database together.
const fewLocks = 100

const countLocks = `SELECT count(*)::integer FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
	AND relation NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace)`

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
	require.NoError(t, tx.QueryRow(b.ctx, countLocks).Scan(&n))
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

// What goes through all days locks those of a week at a time.
func TestReconcileLocksFewTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.keepDays(t)
	b.endpoint(t)
	b.enqueueFor(t, tenant, 3)
	b.exec(t, `DELETE FROM outhook.river_job WHERE id = (SELECT min(id) FROM outhook.river_job)`)

	seen := &statements{seen: make(map[string]pgx.TraceQueryStartData)}
	pool := b.workerPool(t, seen)
	list, err := reconcile.Inspect(b.ctx, pool, time.Minute)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"deliveries_without_job": 1}, counts(list))
	list, err = reconcile.Repair(b.ctx, pool)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"deliveries_without_job": 1}, counts(list))

	for _, name := range []string{"FindBrokenDeliveries", "FindStrayJobs", "LockPendingDeliveries", "ClassifyDeliveries", "ReplaceJobs"} {
		data, ok := seen.get(name)
		require.True(t, ok, name)
		n := b.locks(t, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(b.ctx, data.SQL, data.Args...)
			return err
		})
		t.Log(name, n)
		require.Less(t, n, fewLocks, name)
	}

	// What doctor counts is what a report takes that has no bounds.
	locks, err := db.New().CountLocks(b.ctx, pool)
	require.NoError(t, err)
	n := b.locks(t, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(b.ctx, `SELECT count(*) FROM outhook.report_retries AS r JOIN outhook.report_attempts AS a USING (event_id)`)
		return err
	})
	require.InDelta(t, locks.Wanted, n, 20)
	require.Greater(t, n, 10*fewLocks)
}

// lockYesterday keeps the partitions of yesterday locked until the test ends, as who drops them does: whoever wants as much as
// to look at them waits.
func (b *testBundle) lockYesterday(t *testing.T) {
	t.Helper()
	tx, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tx.Rollback(context.WithoutCancel(b.ctx))) })
	day := time.Now().UTC().AddDate(0, 0, -1).Format("20060102")
	for _, parent := range []string{"events", "deliveries", "delivery_attempts"} {
		_, err := tx.Exec(b.ctx, "LOCK TABLE outhook."+parent+"_p"+day+" IN ACCESS EXCLUSIVE MODE")
		require.NoError(t, err)
	}
}

// What asks for a row by its id locks the row's day and no other, on a session that keeps plans for any values, too.
func TestWhatKnowsTheIDWaitsForNoOtherDay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	operator := func(p *db.InsertEndpointParams) { p.TenantID = "outhook.operator" }
	_, _ = b.endpoint(t, operator)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.exec(t, `UPDATE outhook.deliveries SET state = 'failed', completed_at = now(), next_attempt_at = NULL, reason = 'exhausted',
		attempt_count = 1`)
	jobID := b.jobID(t, eventID, endpointID)
	b.lockYesterday(t)

	conn, err := b.pool.Acquire(b.ctx)
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(b.ctx, `SET plan_cache_mode = force_generic_plan; SET lock_timeout = 1000`)
	require.NoError(t, err)
	defer func() { _, _ = conn.Exec(b.ctx, `RESET ALL`) }()

	// Duplicates of events.
	var duplicates, conflicts, deliveries int
	for range 2 {
		require.NoError(t, conn.QueryRow(b.ctx, `SELECT count(*) FILTER (WHERE duplicate), count(*) FILTER (WHERE conflict),
			sum(delivery_count) FROM outhook.enqueue_many(ARRAY['acme', 'acme'], ARRAY['a.b', 'a.b'], ARRAY['{}', '[]'], ARRAY['k', 'k'])`).
			Scan(&duplicates, &conflicts, &deliveries))
	}
	require.Equal(t, []int{2, 1, 2}, []int{duplicates, conflicts, deliveries})
	// What is told of failures.
	n, err := db.New().TellFailedDeliveries(b.ctx, conn, []uuid.UUID{eventID}, []uuid.UUID{endpointID}, []int64{jobID})
	require.NoError(t, err)
	require.Equal(t, int32(1), n)
	// A rescue.
	b.exec(t, `UPDATE outhook.deliveries SET state = 'pending', completed_at = NULL, next_attempt_at = now() + interval '1 hour', reason = NULL
		WHERE event_id = $1`, eventID)
	b.exec(t, `UPDATE outhook.river_job SET state = 'running', attempted_at = now() - interval '1 hour', attempted_by = ARRAY['gone']`)
	b.exec(t, `INSERT INTO outhook.leases (name, holder, until) VALUES ('worker/gone', 'gone', now() + interval '1 hour')`)
	groups, err := db.New().RescueJobs(b.ctx, conn, db.RescueJobsParams{UnbrokenSeconds: 6, LeaseSeconds: 10, StuckSeconds: 75, MaxRows: 100})
	require.NoError(t, err)
	require.NotEmpty(t, groups)
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "retryable", state, "it keeps its place in the schedule")
}
