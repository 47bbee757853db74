package jobs_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
)

// longerThanSilence is long enough for a dead worker to be noticed.
const longerThanSilence = 14 * time.Second

// lockKey is the lock that a worker holds while it lives.
const lockKey = `hashtextextended($1, 1869968503)`

// lockHolder returns the backend that holds a client's lock, 0 if none does.
func (b *testBundle) lockHolder(t *testing.T, clientID string) (pid int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT coalesce(max(pid), 0) FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND (classid::bigint << 32) | objid::bigint = `+lockKey, clientID).Scan(&pid))
	return pid
}

// hang makes the receiver hold its answers until the returned function is called.
func (b *testBundle) hang(t *testing.T) (release func()) {
	t.Helper()
	free := make(chan struct{})
	b.receiver.answers(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-free:
		case <-req.Context().Done():
		}
	})
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	return release
}

func TestAWorkerHoldsItsLockWhileItLives(t *testing.T) {
	t.Parallel()
	b := setup(t)
	client, err := jobs.New(b.config(t))
	require.NoError(t, err)
	id := client.River().ID()
	require.Zero(t, b.lockHolder(t, id))
	require.NoError(t, client.Start(b.ctx))
	require.NotZero(t, b.lockHolder(t, id))
	require.NoError(t, client.Stop(b.ctx))
	eventually(t, func() bool { return b.lockHolder(t, id) == 0 }, func() any { return nil })
}

// A worker whose connection is cut is not dead: it takes its lock again before anybody rescues what it runs.
func TestAWorkerTakesItsLockAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release := b.hang(t)
	endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	eventID := b.enqueue(t, `{}`)
	client := b.start(t, b.config(t))
	eventually(t, func() bool { return len(b.receiver.received()) == 1 }, func() any { return nil })
	b.start(t, b.config(t))

	first := b.lockHolder(t, client.River().ID())
	b.exec(t, `SELECT pg_terminate_backend($1)`, first)
	began := time.Now()
	eventually(t, func() bool {
		pid := b.lockHolder(t, client.River().ID())
		return pid != 0 && pid != first
	}, func() any { return nil })
	t.Logf("took it again after %v", time.Since(began))
	<-time.After(longerThanSilence)
	require.Len(t, b.receiver.received(), 1)
	release()
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(1), d.AttemptCount)
}

// A worker that can't have its lock starts nothing: others may take it for dead.
func TestAWorkerWithoutItsLockSendsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	client := b.start(t, b.config(t))
	eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return nil })
	thief, err := pgx.ConnectConfig(b.ctx, b.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	stolen := make(chan error, 1)
	go func() {
		_, err := thief.Exec(b.ctx, `SELECT pg_advisory_lock(`+lockKey+`)`, client.River().ID())
		stolen <- err
	}()
	eventually(t, func() bool {
		return b.number(t, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`) == 1
	}, func() any { return nil })
	b.exec(t, `SELECT pg_terminate_backend($1)`, b.lockHolder(t, client.River().ID()))
	require.NoError(t, <-stolen)
	eventually(t, func() bool { return client.Ready(b.ctx) != nil }, func() any { return nil })
	require.ErrorIs(t, client.Ready(b.ctx), jobs.ErrNotFetching)

	eventID := b.enqueue(t, `{}`)
	const snoozed = `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state = 'available' AND attempt = 0 AND metadata ? 'snoozes'`
	eventually(t, func() bool { return b.number(t, snoozed) == 1 }, func() any { return nil })
	require.Empty(t, b.receiver.received())
	require.NoError(t, thief.Close(b.ctx))
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(1), d.AttemptCount)
	require.NoError(t, client.Ready(b.ctx))
}

func TestWhatADeadWorkerLeft(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}))
	unrecorded, recorded, cancelled, alive := b.enqueue(t, `{}`), b.enqueue(t, `{}`), b.enqueue(t, `{}`), b.enqueue(t, `{}`)
	cfg, other := b.config(t), b.config(t)
	cfg.Metrics, other.Metrics = prometheus.NewRegistry(), prometheus.NewRegistry()
	client, err := jobs.New(cfg)
	require.NoError(t, err)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts) VALUES ('deliver', '{"event_id": "x"}', 'deliver', 1000)`)
	b.exec(t, `UPDATE outhook.river_job SET state = 'running', attempt = 1, attempted_at = now() - interval '5 seconds', attempted_by = '{earlier,gone}'`)
	// It had recorded a failure, and died before River knew.
	b.exec(t, `UPDATE outhook.deliveries SET attempt_count = 1, try_count = 1, next_attempt_at = now() + interval '1 hour' WHERE event_id = $1`, recorded)
	b.exec(t, `UPDATE outhook.river_job SET metadata = '{"cancel_attempted_at": "2026-01-01T00:00:00Z"}' WHERE id = $1`, b.jobID(t, cancelled, endpointID))
	b.exec(t, `UPDATE outhook.river_job SET attempted_by = ARRAY['gone', $2] WHERE id = $1`, b.jobID(t, alive, endpointID), client.River().ID())

	b.run(t, client)
	b.start(t, other) // two that rescue the same
	d := b.awaitState(t, unrecorded, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(2), d.AttemptCount)
	require.Zero(t, d.TryCount)

	eventually(t, func() bool { s, _ := b.jobState(t, recorded, endpointID); return s == "retryable" }, func() any { return nil })
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM outhook.river_job j JOIN outhook.deliveries d ON d.job_id = j.id
		WHERE d.try_count = 1 AND j.scheduled_at = d.next_attempt_at AND cardinality(j.errors) = 1`))

	eventually(t, func() bool { s, _ := b.jobState(t, cancelled, endpointID); return s == "cancelled" }, func() any { return nil })
	b.reconcile(t)
	c := b.delivery(t, cancelled, endpointID)
	require.Equal(t, db.DeliveryStateCancelled, c.State)
	require.Equal(t, int32(1), c.AttemptCount)

	state, _ := b.jobState(t, alive, endpointID)
	require.Equal(t, "running", state)
	require.Zero(t, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'running' AND attempted_by[cardinality(attempted_by)] = 'gone'`))
	require.Len(t, b.receiver.received(), 1)

	const name = "outhook_rescued_deliveries_total"
	eventually(t, func() bool { return counted(t, cfg.Metrics, name)+counted(t, other.Metrics, name) == 4 },
		func() any { return counted(t, cfg.Metrics, name) + counted(t, other.Metrics, name) })
}

// Two requests, two rows, one delivery, no third request: what a worker sent before it was taken for dead still counts.
func TestALateOutcomeOfARescuedRunIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	free := make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	b.receiver.answers(func(_ http.ResponseWriter, req *http.Request) {
		if req.Header.Get("outhook-attempt") == "1" {
			<-free
		}
	})
	t.Cleanup(release)
	endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	eventID := b.enqueue(t, `{}`)
	b.start(t, b.config(t))
	eventually(t, func() bool { return len(b.receiver.received()) == 1 }, func() any { return nil })
	// As if the worker had been unable to take its lock again.
	b.exec(t, `UPDATE outhook.river_job SET attempted_by = '{gone}' WHERE state = 'running' AND kind = 'deliver'`)
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(2), d.AttemptCount)
	require.Equal(t, db.AttemptOutcomeUnknown, b.attempts(t, eventID)[0].Outcome)
	release()
	eventually(t, func() bool { return b.attempts(t, eventID)[0].Outcome == db.AttemptOutcomeSucceeded }, func() any { return nil })
	require.Len(t, b.attempts(t, eventID), 2)
	require.Len(t, b.receiver.received(), 2)
	require.Equal(t, int32(2), b.delivery(t, eventID, endpointID).AttemptCount)
	require.Empty(t, b.inspect(t))
}

// While everything is being killed no worker lives long enough to see a silence from its beginning to its end.
func TestSilenceIsCountedWhoeverLooks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.pretendRunning(t, "gone")
	for began := time.Now(); b.delivery(t, eventID, endpointID).State == db.DeliveryStatePending; {
		require.Less(t, time.Since(began), 90*time.Second, "%s", b.silences(t))
		client, err := jobs.New(b.config(t))
		require.NoError(t, err)
		require.NoError(t, client.Start(b.ctx))
		<-time.After(2500 * time.Millisecond)
		require.NoError(t, client.Stop(b.ctx))
	}
	require.Len(t, b.receiver.received(), 1)
}

func TestSilence(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		row   string
		least time.Duration
	}{
		"IsNotAsOldAsItsLastObservation": {`now(), now(), now()`, 10 * time.Second},
		"MustBeSeenWithoutAGap":          {`'2020-01-01', now() - interval '1 minute', now() - interval '5 seconds'`, 6 * time.Second},
		"MustBeSeenSinceTheDatabaseIsUp": {`'2020-01-01', pg_postmaster_start_time() - interval '1 second', now()`, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			eventID := b.enqueue(t, `{}`)
			b.pretendRunning(t, "gone")
			b.exec(t, `INSERT INTO outhook.silent_clients (client_id, since, seen_from, seen_at) VALUES ('gone', `+c.row+`)`)
			began := b.databaseTime(t)
			b.start(t, b.config(t))
			b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
			require.GreaterOrEqual(t, b.attempts(t, eventID)[1].StartedAt.Sub(began), c.least)
		})
	}

	t.Run("EndsWithTheLock", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		client, err := jobs.New(b.config(t))
		require.NoError(t, err)
		b.exec(t, `INSERT INTO outhook.silent_clients (client_id, since, seen_from, seen_at) VALUES ($1, '2020-01-01', '2020-01-01', now())`, client.River().ID())
		b.run(t, client)
		require.Zero(t, b.number(t, `SELECT count(*) FROM outhook.silent_clients`))
	})

	t.Run("OfAClientWithoutDeliveriesIsForgotten", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `INSERT INTO outhook.silent_clients (client_id, since, seen_from, seen_at) VALUES ('gone', '2020-01-01', '2020-01-01', now())`)
		b.start(t, b.config(t))
		eventually(t, func() bool { return b.number(t, `SELECT count(*) FROM outhook.silent_clients`) == 0 }, func() any { return nil })
	})
}

// pretendRunning leaves all jobs as a client does that fetched them a minute ago and died.
func (b *testBundle) pretendRunning(t *testing.T, clientID string) {
	t.Helper()
	b.exec(t, `UPDATE outhook.river_job SET state = 'running', attempt = 1, attempted_at = now() - interval '1 minute', attempted_by = ARRAY[$1]`, clientID)
}

func (b *testBundle) databaseTime(t *testing.T) time.Time {
	t.Helper()
	now, err := db.New().GetDatabaseTime(b.ctx, b.pool)
	require.NoError(t, err)
	return now
}

func (b *testBundle) silences(t *testing.T) string {
	t.Helper()
	var list string
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT coalesce(json_agg(s), '[]')::text FROM outhook.silent_clients AS s`).Scan(&list))
	return list
}
