package jobs_test

import (
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs"
)

// River's rescuer and cleaner read the process's clock.
func TestMaintenanceRunsOnTheDatabasesClock(t *testing.T) {
	t.Parallel()
	const ahead = 2 * time.Minute
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, state, attempt, attempted_at, attempted_by)
		VALUES ('reconcile', '{}', 'maintenance', 20, 'running', 1, now() - interval '30 seconds', '{alive}')`)
	wrongNow := func() time.Time { return time.Now().Add(ahead) }
	stuck := func() int {
		list, err := jobs.ExecutorOf(b.pool, -ahead).JobGetStuck(b.ctx, &riverdriver.JobGetStuckParams{
			Max: 10, Schema: "outhook", StuckHorizon: wrongNow().Add(-75 * time.Second),
		})
		require.NoError(t, err)
		return len(list)
	}
	require.Zero(t, stuck())
	params := riverdriver.JobRescueManyParams{
		ID: []int64{int64(b.number(t, `SELECT id FROM outhook.river_job`))}, Error: [][]byte{[]byte(`{}`)}, FinalizedAt: []*time.Time{nil},
		ScheduledAt: []time.Time{time.Now()}, Schema: "outhook", State: []string{"retryable"}, StuckHorizon: wrongNow().Add(-75 * time.Second),
	}
	_, err := jobs.ExecutorOf(b.pool, -ahead).JobRescueMany(b.ctx, &params)
	require.NoError(t, err)
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'running'`))

	b.exec(t, `UPDATE outhook.river_job SET attempted_at = now() - interval '80 seconds'`)
	require.Equal(t, 1, stuck())

	b.exec(t, `UPDATE outhook.river_job SET state = 'completed', finalized_at = now() - interval '30 seconds'`)
	deleted, err := jobs.ExecutorOf(b.pool, -ahead).JobDeleteBefore(b.ctx, &riverdriver.JobDeleteBeforeParams{
		CompletedDoDelete: true, CompletedFinalizedAtHorizon: wrongNow().Add(-75 * time.Second), Max: 10, Schema: "outhook",
	})
	require.NoError(t, err)
	require.Zero(t, deleted)
}

// River's scheduler works in a transaction: what is kept from it is kept from it there, too.
func TestRiverSchedulesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, state, scheduled_at)
		VALUES ('deliver', '{}', 'deliver', 20, 'retryable', now() - interval '1 minute')`)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, state, attempt, attempted_at, attempted_by)
		VALUES ('deliver', '{}', 'deliver', 20, 'running', 1, now() - interval '1 day', '{dead}')`)
	executor := jobs.ExecutorOf(b.pool, 0)
	tx, err := executor.Begin(b.ctx)
	require.NoError(t, err)
	nested, err := tx.Begin(b.ctx)
	require.NoError(t, err)

	now := time.Now()
	for _, e := range []riverdriver.Executor{executor, tx, nested} {
		scheduled, err := e.JobSchedule(b.ctx, &riverdriver.JobScheduleParams{Max: 10, Now: &now, Schema: "outhook"})
		require.NoError(t, err)
		require.Empty(t, scheduled)
		stuck, err := e.JobGetStuck(b.ctx, &riverdriver.JobGetStuckParams{Max: 10, Schema: "outhook", StuckHorizon: now})
		require.NoError(t, err)
		require.Empty(t, stuck)
	}
	require.NoError(t, nested.Commit(b.ctx))
	require.NoError(t, tx.Commit(b.ctx))
	require.Equal(t, 2, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE state IN ('retryable', 'running')`))
}

// What waits is made due when its time has come, and stands in its place then: River would look five seconds ahead.
func TestOnlyWorkersMakeJobsDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.exec(t, `UPDATE outhook.endpoints SET status = 'paused' WHERE id = $1`, endpointID)
	b.enqueue(t, `{}`)
	b.exec(t, `UPDATE outhook.river_job SET state = 'scheduled', scheduled_at = now() + interval '4 seconds', metadata = metadata ||
		jsonb_build_object('place', (extract(epoch FROM now() - interval '1 hour') * 1000000)::bigint::text) WHERE kind = 'deliver'`)
	var due, now, scheduledAt time.Time
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT scheduled_at FROM outhook.river_job WHERE kind = 'deliver'`).Scan(&due))

	b.start(t, b.config(t))
	var state string
	eventually(t, func() bool {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT state, scheduled_at, clock_timestamp() FROM outhook.river_job
			WHERE kind = 'deliver' AND queue LIKE 'endpoint-%'`).Scan(&state, &scheduledAt, &now))
		return state == "available"
	}, func() any { return state })
	require.True(t, now.After(due), "it was seen at %s and due at %s", now, due)
	require.True(t, scheduledAt.Before(due.Add(-time.Hour)), "it stands at %s", scheduledAt)
}

// A worker that is two minutes off is not ready, and one that has nothing to do notices that its clock is right again.
func TestAWrongClockIsNotReady(t *testing.T) {
	t.Parallel()
	b := setup(t)
	client := b.start(t, b.config(t))
	eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return nil })
	for _, off := range []time.Duration{-2 * time.Minute, 2 * time.Minute} {
		eventually(t, func() bool {
			now := time.Now()
			jobs.ClockOf(client).Sample(now, now, now.Add(off))
			return errors.Is(client.Ready(b.ctx), jobs.ErrWrongClock)
		}, func() any { return nil })
		eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return client.Ready(b.ctx) })
	}
}
