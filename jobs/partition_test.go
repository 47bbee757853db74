package jobs_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/retention"
)

// openDuration is how long the business transaction of TestPartitionsAndAnOpenTransaction stays open. Nobody else's
// enqueue may wait longer than maxEnqueueDelay for a lock meanwhile; the database itself holds the stopwatch, so that a
// busy test machine does not count.
const (
	openDuration    = 30 * time.Second
	maxEnqueueDelay = "100ms"
)

func TestPartitions(t *testing.T) {
	t.Parallel()

	t.Run("ExistFromYesterdayTo30DaysAhead", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.Equal(t, 3*32, b.partitions(t))
		made, err := retention.CreatePartitions(b.ctx, b.pool, 30)
		require.NoError(t, err)
		require.Zero(t, made)
		made, err = retention.CreatePartitions(b.ctx, b.pool, 32)
		require.NoError(t, err)
		require.Equal(t, 6, made)
	})

	t.Run("AreMadeByAPeriodicJob", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		cfg := b.config(t)
		cfg.Retention.PartitionsAhead = 33
		b.start(t, cfg)
		eventually(t, func() bool { return b.partitions(t) == 3*35 }, func() any { return b.partitions(t) })
	})
}

// An application that enqueues and keeps its transaction open must not stop the making and dropping of partitions from
// letting everybody else enqueue.
func TestPartitionsAndAnOpenTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	_, err := b.pool.Exec(b.ctx, `SELECT outhook.create_partitions('2020-01-01', '2020-01-05')`)
	require.NoError(t, err)

	open, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	_, err = open.Exec(b.ctx, `SELECT outhook.enqueue($1, 'a.b', '{}')`, tenant)
	require.NoError(t, err)

	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(b.ctx)
	wg.Go(func() {
		made, err := retention.CreatePartitions(ctx, b.pool, 40)
		require.NoError(t, err)
		require.Equal(t, 30, made)
	})
	dropped := make(chan struct{})
	wg.Go(func() {
		defer close(dropped)
		b.retainUntil(t, b.config(t), func(r retention.Result) bool { return r.Tables == 15 })
	})

	worst, count := b.enqueueUntil(t, time.After(openDuration))
	require.NoError(t, open.Commit(b.ctx))
	<-dropped
	cancel()
	wg.Wait()
	t.Logf("%d enqueues, the slowest took %v", count, worst)
	require.Greater(t, count, 100)
}

// enqueueUntil enqueues every 5 ms, fails if one waits for a lock for longer than maxEnqueueDelay, and returns the
// slowest.
func (b *testBundle) enqueueUntil(t *testing.T, end <-chan time.Time) (worst time.Duration, count int) {
	t.Helper()
	conn, err := pgx.ConnectConfig(b.ctx, b.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(b.ctx))) }()
	_, err = conn.Exec(b.ctx, "SET lock_timeout = '"+maxEnqueueDelay+"'")
	require.NoError(t, err)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return worst, count
		case <-tick.C:
		}
		began := time.Now()
		_, err := conn.Exec(b.ctx, `SELECT outhook.enqueue($1, 'a.b', '{}')`, tenant)
		require.NoError(t, err)
		worst, count = max(worst, time.Since(began)), count+1
	}
}

func (b *testBundle) partitions(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind = 'r'`).Scan(&n))
	return n
}
