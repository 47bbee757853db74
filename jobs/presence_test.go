package jobs_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

// longerThanSilence is long enough for a dead worker to be noticed.
const longerThanSilence = 14 * time.Second

// lease returns until when a client has its lease, and since when; zero if there is none.
func (b *testBundle) lease(t *testing.T, clientID string) (until, since time.Time) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT coalesce(max(until), '0001-01-01 00:00:00+00'), coalesce(max(since), '0001-01-01 00:00:00+00')
		FROM outhook.leases WHERE name = 'worker/' || $1`, clientID).Scan(&until, &since))
	return until, since
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

func TestAWorkerHasItsLeaseWhileItLives(t *testing.T) {
	t.Parallel()
	b := setup(t)
	client, err := jobs.New(b.config(t))
	require.NoError(t, err)
	has := func() bool { until, _ := b.lease(t, client.River().ID()); return !until.IsZero() }
	require.False(t, has())
	require.NoError(t, client.Start(b.ctx))
	require.True(t, has())
	until, _ := b.lease(t, client.River().ID())
	eventually(t, func() bool { renewed, _ := b.lease(t, client.River().ID()); return renewed.After(until) }, func() any { return until })
	require.NoError(t, client.Stop(b.ctx))
	require.False(t, has())
}

// A worker whose connection is cut is not dead: it renews its lease over another one before anybody rescues what it runs.
func TestAWorkerThatLosesItsConnectionIsNotDead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release := b.hang(t)
	endpointID := b.patientEndpoint(t)
	eventID := b.enqueue(t, `{}`)
	client := b.start(t, b.config(t))
	eventually(t, func() bool { return len(b.receiver.received()) == 1 }, func() any { return nil })

	eventually(t, func() bool {
		return b.number(t, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE '-- name: RescueJobs%'`) == 1
	}, func() any { return nil })
	_, since := b.lease(t, client.River().ID())
	b.start(t, b.config(t))
	<-time.After(longerThanSilence)
	until, still := b.lease(t, client.River().ID())
	require.True(t, until.After(b.databaseTime(t)))
	require.Equal(t, since, still, "without a gap")
	require.Len(t, b.receiver.received(), 1)
	release()
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(1), d.AttemptCount)
}

// A worker that can't renew its lease starts nothing: others may take it for dead.
func TestAWorkerWithoutItsLeaseSendsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	client := b.start(t, b.config(t))
	eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return nil })
	lock, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	_, err = lock.Exec(b.ctx, `SELECT FROM outhook.leases WHERE name = 'worker/' || $1 FOR UPDATE`, client.River().ID())
	require.NoError(t, err)
	eventually(t, func() bool { return client.Ready(b.ctx) != nil }, func() any { return nil })
	require.ErrorIs(t, client.Ready(b.ctx), jobs.ErrNotFetching)
	until, _ := b.lease(t, client.River().ID())
	require.True(t, until.After(b.databaseTime(t)), "it stops before its lease lapses")

	eventID := b.enqueue(t, `{}`)
	const snoozed = `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state = 'available' AND attempt = 0 AND metadata ? 'snoozes'`
	eventually(t, func() bool { return b.number(t, snoozed) == 1 }, func() any { return nil })
	require.Empty(t, b.receiver.received())
	require.NoError(t, lock.Rollback(b.ctx))
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(1), d.AttemptCount)
	require.NoError(t, client.Ready(b.ctx))
}

// Any login of the database can take any advisory lock.
func TestAStrangersLocksStopNoWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	client, err := jobs.New(b.config(t))
	require.NoError(t, err)
	b.takeAsStranger(t, `hashtextextended('`+client.River().ID()+`', 1869968503)`)
	gone := b.enqueue(t, `{}`)
	b.pretendRunning(t, "gone")
	b.takeAsStranger(t, `hashtextextended('gone', 1869968503)`)
	b.run(t, client)
	b.awaitState(t, b.enqueue(t, `{}`), endpointID, db.DeliveryStateSucceeded)
	b.awaitState(t, gone, endpointID, db.DeliveryStateSucceeded)
}

// takeAsStranger takes an advisory lock, until the end of the test, as a login that has no right to anything.
func (b *testBundle) takeAsStranger(t *testing.T, lock string) {
	t.Helper()
	_, err := b.stranger(t).Exec(b.ctx, `SELECT pg_advisory_lock(`+lock+`)`)
	require.NoError(t, err)
}

// stranger connects as a login that has no right to anything.
func (b *testBundle) stranger(t *testing.T) *pgx.Conn {
	t.Helper()
	role := pgx.Identifier{"stranger_" + uuid.NewString()}.Sanitize()
	conn, err := pgx.ConnectConfig(b.ctx, b.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(b.ctx)
		_, err := conn.Exec(ctx, `RESET SESSION AUTHORIZATION; DROP ROLE `+role)
		require.NoError(t, errors.Join(err, conn.Close(ctx)))
	})
	_, err = conn.Exec(b.ctx, `CREATE ROLE `+role+` LOGIN; SET SESSION AUTHORIZATION `+role)
	require.NoError(t, err)
	return conn
}

// live makes the others take a client for living, which knows of its own runs.
func (b *testBundle) live(t *testing.T, clientID string) {
	t.Helper()
	b.exec(t, `INSERT INTO outhook.leases (name, holder, until) VALUES ('worker/' || $1::text, $1, now() + interval '1 hour')`, clientID)
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
	b.live(t, "living")
	b.exec(t, `UPDATE outhook.river_job SET attempted_by = '{gone,living}' WHERE id = $1`, b.jobID(t, alive, endpointID))

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

// holdFirst makes the receiver hold first attempts until release is called, or the test ends.
func (b *testBundle) holdFirst(t *testing.T) (release func()) {
	t.Helper()
	free := make(chan struct{})
	release = sync.OnceFunc(func() { close(free) })
	b.receiver.answers(func(_ http.ResponseWriter, req *http.Request) {
		if req.Header.Get("outhook-attempt") == "1" {
			<-free
		}
	})
	t.Cleanup(release)
	return release
}

// patientEndpoint waits for an answer for longer than the slowest machine needs to find that a worker is gone.
func (b *testBundle) patientEndpoint(t *testing.T) uuid.UUID {
	t.Helper()
	b.exec(t, `ALTER TABLE outhook.endpoints DROP CONSTRAINT endpoints_timeout_ms_check`)
	id, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.TimeoutMS = 600_000 })
	return id
}

// Two requests, two rows, one delivery, no third request: what a worker sent before it was taken for dead still counts.
func TestALateOutcomeOfARescuedRunIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release := b.holdFirst(t)
	endpointID := b.patientEndpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.start(t, b.config(t))
	eventually(t, func() bool { return len(b.receiver.received()) == 1 }, func() any { return nil })
	// As if the worker had been unable to renew its lease.
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

// What a dead worker may have sent has its row, also if nobody ever attempts the delivery again.
func TestARescuedRunHasItsRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.pretendRunning(t, "gone")
	b.setStatus(t, endpointID, db.EndpointStatusPaused)
	b.start(t, b.config(t))
	d := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 })
	require.Equal(t, db.DeliveryStatePending, d.State)
	attempts := b.attempts(t, eventID)
	require.Len(t, attempts, 1)
	require.Equal(t, db.AttemptOutcomeUnknown, attempts[0].Outcome)
	require.Empty(t, b.receiver.received())
}

// A request that is under way when its endpoint is disabled ends as it does, and counts; if its worker dies it has its row.
func TestARunGoesOnWhenItsEndpointIsDisabled(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"TheWorkerLives": false, "TheWorkerDies": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			free := make(chan struct{})
			release := sync.OnceFunc(func() { close(free) })
			b.receiver.answers(func(http.ResponseWriter, *http.Request) { <-free })
			t.Cleanup(release)
			endpointID := b.patientEndpoint(t)
			first := b.enqueue(t, `{}`)
			b.start(t, b.config(t))
			eventually(t, func() bool { return len(b.receiver.received()) == 1 }, func() any { return nil })
			waiting := b.enqueue(t, `{}`)
			b.exec(t, `UPDATE outhook.river_job SET state = 'retryable', scheduled_at = now() + interval '1 hour', attempt = 0
				WHERE id = (SELECT job_id FROM outhook.deliveries WHERE event_id = $1)`, waiting)
			b.exec(t, `UPDATE outhook.endpoints SET status = 'disabled', cancel_since = now() WHERE id = $1`, endpointID)
			b.awaitState(t, waiting, endpointID, db.DeliveryStateCancelled)
			require.Equal(t, db.DeliveryStatePending, b.delivery(t, first, endpointID).State)

			outcome, state := db.AttemptOutcomeSucceeded, db.DeliveryStateSucceeded
			if dies {
				b.exec(t, `UPDATE outhook.river_job SET attempted_by = '{gone}' WHERE state = 'running' AND kind = 'deliver'`)
				outcome, state = db.AttemptOutcomeUnknown, db.DeliveryStateCancelled
			} else {
				release()
			}
			d := b.awaitState(t, first, endpointID, state)
			require.Equal(t, int32(1), d.AttemptCount)
			attempts := b.attempts(t, first)
			require.Len(t, attempts, 1)
			require.Equal(t, outcome, attempts[0].Outcome)
			const open = `SELECT count(*) FROM outhook.endpoints WHERE cancel_since IS NOT NULL`
			eventually(t, func() bool { return b.count(t, open) == 0 }, func() any { return nil })
		})
	}
}

// A request that is under way when its delivery is cancelled has its row, whether its worker records it or dies, and also
// if a replay has given the delivery another job meanwhile. What has not been sent is not sent any more.
func TestACancelledRunHasItsRow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ dies, replayed bool }{
		"TheWorkerLives":        {},
		"TheWorkerDies":         {dies: true},
		"TheWorkerDiesAReplay":  {dies: true, replayed: true},
		"TheWorkerLivesAReplay": {replayed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			release := b.holdFirst(t)
			endpointID := b.patientEndpoint(t)
			eventID := b.enqueue(t, `{}`)
			b.start(t, b.config(t))
			eventually(t, func() bool { return len(b.receiver.received()) == 1 }, func() any { return nil })
			require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, eventID, endpointID) }))
			jobID := b.jobID(t, eventID, endpointID)
			if c.replayed {
				require.NoError(t, b.replay(t, eventID, endpointID, false))
				require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, eventID, endpointID) }))
			}

			outcome := db.AttemptOutcomeSucceeded
			if c.dies {
				b.exec(t, `UPDATE outhook.river_job SET attempted_by = '{gone}', attempted_at = now() - interval '1 hour' WHERE id = $1`, jobID)
				outcome = db.AttemptOutcomeUnknown
			} else {
				release()
			}
			eventually(t, func() bool { a := b.attempts(t, eventID); return len(a) > 0 && a[0].Outcome == outcome }, func() any { return b.attempts(t, eventID) })
			const live = `SELECT count(*) FROM outhook.river_job AS j WHERE j.kind = 'deliver' AND ` + liveJob
			eventually(t, func() bool { return b.number(t, live) == 0 }, func() any { return nil })
		})
	}
}

// Whoever ends a run that has not sent yet obeys that its job was cancelled: the worker that loads it, and the one that
// finds that it knows nothing of it.
func TestACancelledRunSendsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	lost := b.enqueue(t, `{}`)
	cfg := b.config(t)
	client, err := jobs.New(cfg)
	require.NoError(t, err)
	b.exec(t, `UPDATE outhook.river_job SET state = 'running', attempt = 1, attempted_at = now() - interval '6 s', attempted_by = ARRAY[$1]`, client.River().ID())
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, lost, endpointID) }))

	// The worker fetches the second one, and its load waits for the table until the delivery is cancelled.
	held := b.enqueue(t, `{}`)
	tx, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(b.ctx)) })
	_, err = tx.Exec(b.ctx, `LOCK TABLE outhook.endpoint_secrets IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	b.run(t, client)
	heldJob := b.jobID(t, held, endpointID)
	eventually(t, func() bool {
		return b.number(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'running' AND id = `+strconv.FormatInt(heldJob, 10)) == 1
	}, func() any { return nil })
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, held, endpointID) }))
	require.NoError(t, tx.Rollback(b.ctx))

	for _, id := range []uuid.UUID{lost, held} {
		eventually(t, func() bool { s, _ := b.jobState(t, id, endpointID); return s == "cancelled" }, func() any { return nil })
		require.Zero(t, b.delivery(t, id, endpointID).AttemptCount)
	}
	require.Empty(t, b.receiver.received())
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
		require.Less(t, time.Since(began), 90*time.Second, "%s", b.leases(t))
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
		since, until string
		least        time.Duration
	}{
		"MustBeSeenWithoutAGap":          {`now() - interval '1 minute'`, `now() - interval '1 second'`, 6 * time.Second},
		"EndsWhenTheDatabaseIsSetBack":   {`now() + interval '1 hour'`, `now() + interval '1 hour'`, 6 * time.Second},
		"IsOverAtOnceIfOthersHaveLooked": {`now() - interval '1 minute'`, `now() + interval '1 minute'`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			eventID := b.enqueue(t, `{}`)
			b.pretendRunning(t, "gone")
			b.exec(t, `INSERT INTO outhook.leases (name, holder, until) VALUES ('worker/gone', 'gone', now() - interval '1 second')`)
			b.exec(t, `INSERT INTO outhook.leases (name, holder, since, until) VALUES ('workers', 'workers', `+c.since+`, `+c.until+`)`)
			b.start(t, b.config(t))
			began := b.databaseTime(t)
			b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
			require.GreaterOrEqual(t, b.attempts(t, eventID)[1].StartedAt.Sub(began), c.least)
		})
	}

	// The database was away for everybody: who comes second renews in time.
	t.Run("EndsWithTheFirstRenewal", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		b.pretendRunning(t, "second")
		b.exec(t, `INSERT INTO outhook.leases (name, holder, since, until) SELECT n, 'second', now() - interval '1 hour', now() - interval '30 seconds'
			FROM unnest('{worker/second,workers}'::text[]) AS n`)
		b.start(t, b.config(t))
		<-time.After(4 * time.Second)
		n, err := db.New().TakeLease(b.ctx, b.pool, "worker/second", "second", 60)
		require.NoError(t, err)
		require.Equal(t, int64(1), n)
		<-time.After(longerThanSilence - 4*time.Second)
		state, _ := b.jobState(t, eventID, endpointID)
		require.Equal(t, "running", state)
	})

	t.Run("OfAClientIsForgotten", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `INSERT INTO outhook.leases (name, holder, until) VALUES ('worker/gone', 'gone', now() - interval '2 minutes')`)
		client := b.start(t, b.config(t))
		eventually(t, func() bool {
			return b.number(t, `SELECT count(*) FROM outhook.leases WHERE name = 'worker/gone'`) == 0
		}, func() any { return nil })
		until, _ := b.lease(t, client.River().ID())
		require.NotZero(t, until)
	})
}

// A run that goes on for longer than any can, in a process that lives, obeys the schedule, too.
func TestARunThatDoesNotEndKeepsItsPlaceInTheSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.live(t, "living")
	b.pretendRunning(t, "living")
	b.exec(t, `UPDATE outhook.river_job SET attempted_at = now() - interval '80 seconds'`)
	b.exec(t, `UPDATE outhook.deliveries SET attempt_count = 1, try_count = 1, next_attempt_at = now() + interval '1 hour'`)
	b.start(t, b.config(t))
	eventually(t, func() bool { s, _ := b.jobState(t, eventID, endpointID); return s != "running" }, func() any { return nil })
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "retryable", state)
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM outhook.river_job AS j JOIN outhook.deliveries AS d ON d.job_id = j.id
		WHERE j.scheduled_at = d.next_attempt_at`))
	require.Empty(t, b.receiver.received())
}

func TestRescues(t *testing.T) {
	t.Parallel()

	t.Run("WaitLongerEachTime", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.endpoint(t)
		waits := []time.Duration{0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600}
		ids := make(map[time.Duration][]int64)
		for rescues, wait := range waits {
			b.enqueue(t, `{}`)
			var id int64
			require.NoError(t, b.pool.QueryRow(b.ctx, `UPDATE outhook.river_job SET metadata = jsonb_build_object('rescues', $1::integer)
				WHERE id = (SELECT max(id) FROM outhook.river_job) RETURNING id`, rescues).Scan(&id))
			ids[wait*time.Second] = append(ids[wait*time.Second], id)
		}
		b.exec(t, `UPDATE outhook.river_job SET metadata = '{}' WHERE metadata @> '{"rescues": 0}'`)
		b.pretendRunning(t, "gone")
		groups := b.rescue(t)
		require.Len(t, groups, 1)
		require.Equal(t, db.RescueJobsRow{ClientID: "gone", Died: true, Jobs: 12, WaitSeconds: 600}, groups[0])
		for wait, jobIDs := range ids {
			state := "available"
			if wait >= 5*time.Second {
				state = "retryable"
			}
			require.Equal(t, len(jobIDs), b.count(t, `SELECT count(*) FROM outhook.river_job WHERE id = ANY ($1) AND state::text = $2
				AND CASE WHEN $3 = interval '0' THEN scheduled_at <= (errors[1] ->> 'at')::timestamptz
				ELSE scheduled_at = (errors[1] ->> 'at')::timestamptz + $3 END`, jobIDs, state, wait), "%v", wait)
		}
		require.Equal(t, 12, b.number(t, `SELECT max((metadata ->> 'rescues')::integer) FROM outhook.river_job`))
	})

	t.Run("AreNotAheadOfTheSchedule", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.endpoint(t)
		b.enqueue(t, `{}`)
		b.exec(t, `UPDATE outhook.deliveries SET next_attempt_at = now() + interval '3 seconds'`)
		b.exec(t, `UPDATE outhook.river_job SET metadata = '{"rescues": 1}'`)
		b.pretendRunning(t, "gone")
		b.rescue(t)
		require.Equal(t, 1, b.number(t, `SELECT count(*) FROM outhook.river_job AS j JOIN outhook.deliveries AS d ON d.job_id = j.id
			WHERE j.state = 'available' AND j.scheduled_at = d.next_attempt_at`))
	})

	t.Run("OfALaneWaitForTheirRelease", func(t *testing.T) {
		t.Parallel()
		for lane, queue := range map[string]string{"limited": "endpoint-", "slow": "endpoint-", "bulk": "bulk-", "": "deliver"} {
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			eventID := b.enqueue(t, `{}`)
			b.exec(t, `UPDATE outhook.endpoints SET lane = $1`, lane)
			b.exec(t, `UPDATE outhook.river_job SET queue = 'deliver_limited'`)
			b.pretendRunning(t, "gone")
			b.rescue(t)
			switch queue {
			case "endpoint-":
				queue += endpointID.String()
			case "bulk-":
				queue = b.bulkQueue(t, tenant)
			}
			state, found := b.jobState(t, eventID, endpointID)
			require.Equal(t, []string{"available", queue}, []string{state, found})
		}
	})

	t.Run("WaitForNobodysLock", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.endpoint(t)
		b.enqueue(t, `{}`)
		b.enqueue(t, `{}`)
		b.pretendRunning(t, "gone")
		require.NoError(t, b.inTx(t, func(tx pgx.Tx) error {
			_, err := tx.Exec(b.ctx, `SELECT FROM outhook.river_job ORDER BY id LIMIT 1 FOR UPDATE`)
			require.Equal(t, int32(1), b.rescue(t)[0].Jobs)
			return err
		}))
		require.Equal(t, int32(1), b.rescue(t)[0].Jobs)
	})

	t.Run("AreOfAnyKind", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts) SELECT k, '{}', 'maintenance', 20
			FROM unnest('{operate,cancel_deliveries,erase,retain,reconcile,tend}'::text[]) AS k`)
		b.pretendRunning(t, "gone")
		require.Equal(t, int32(6), b.rescue(t)[0].Jobs)
	})
}

// rescue rescues as a worker does that has looked for long enough.
func (b *testBundle) rescue(t *testing.T) []db.RescueJobsRow {
	t.Helper()
	b.exec(t, `INSERT INTO outhook.leases (name, holder, since, until) VALUES ('workers', 'workers', now() - interval '1 minute', now() + interval '1 hour')
		ON CONFLICT DO NOTHING`)
	groups, err := db.New().RescueJobs(b.ctx, b.pool, db.RescueJobsParams{UnbrokenSeconds: 6, LeaseSeconds: 10, StuckSeconds: 75, MaxRows: 100})
	require.NoError(t, err)
	return groups
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

func (b *testBundle) leases(t *testing.T) string {
	t.Helper()
	var list string
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT coalesce(json_agg(l), '[]')::text FROM outhook.leases AS l`).Scan(&list))
	return list
}
