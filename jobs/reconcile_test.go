package jobs_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/reconcile"
)

// inspect returns how often each invariant does not hold, without those that do.
func (b *testBundle) inspect(t *testing.T) map[string]int {
	t.Helper()
	list, err := reconcile.Inspect(b.ctx, b.pool, time.Minute)
	require.NoError(t, err)
	return counts(list)
}

func (b *testBundle) reconcile(t *testing.T) map[string]int {
	t.Helper()
	list, err := reconcile.Repair(b.ctx, b.pool)
	require.NoError(t, err)
	return counts(list)
}

func counts(list []reconcile.Finding) map[string]int {
	found := make(map[string]int)
	for _, f := range list {
		if f.Count > 0 {
			found[f.Check] = f.Count
		}
	}
	return found
}

// exec runs a statement of a person, or of an accident.
func (b *testBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(b.ctx, sql, args...)
	require.NoError(t, err)
}

func (b *testBundle) jobID(t *testing.T, eventID, endpointID uuid.UUID) (id int64) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT job_id FROM outhook.deliveries WHERE event_id = $1 AND endpoint_id = $2`,
		eventID, endpointID).Scan(&id))
	return id
}

func TestReconcileBringsBackWhatHasNoJob(t *testing.T) {
	t.Parallel()
	for name, accident := range map[string]string{
		"Deleted":   `DELETE FROM outhook.river_job WHERE kind = 'deliver'`,
		"Discarded": `UPDATE outhook.river_job SET state = 'discarded', finalized_at = now() WHERE kind = 'deliver'`,
		"Completed": `UPDATE outhook.river_job SET state = 'completed', finalized_at = now() WHERE kind = 'deliver'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			eventID := b.enqueue(t, `{}`)
			first := b.jobID(t, eventID, endpointID)
			require.Empty(t, b.inspect(t))
			require.Empty(t, b.reconcile(t))
			b.exec(t, accident)
			require.Equal(t, map[string]int{"deliveries_without_job": 1}, b.inspect(t))
			require.Equal(t, map[string]int{"deliveries_without_job": 1}, b.reconcile(t))
			require.Empty(t, b.inspect(t))
			require.Empty(t, b.reconcile(t))
			require.NotEqual(t, first, b.jobID(t, eventID, endpointID))

			b.start(t, b.config(t))
			b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
			attempts := b.attempts(t, eventID)
			require.Len(t, attempts, 1)
			require.Equal(t, int32(1), attempts[0].Number)
			require.Equal(t, db.AttemptTriggerScheduled, attempts[0].Trigger)
		})
	}
}

// The job that stands in counts on from what its predecessor gave away, keeps the schedule, and waits as long.
func TestReconcileKeepsTheLedgerAndTheSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(status(http.StatusInternalServerError))
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour, time.Hour}))
	eventID := b.enqueue(t, `{}`)
	b.start(t, b.config(t))
	b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.TryCount == 1 })
	eventually(t, func() bool { s, _ := b.jobState(t, eventID, endpointID); return s == "retryable" }, func() any { return nil })
	first := b.jobID(t, eventID, endpointID)
	// Its second run was given away, and River discarded it after the worker's death.
	b.exec(t, `UPDATE outhook.river_job SET state = 'discarded', finalized_at = now(), attempt = 2 WHERE kind = 'deliver'`)
	// The worker's own job may be quicker, or hold the lock.
	eventually(t, func() bool { b.reconcile(t); return b.jobID(t, eventID, endpointID) != first }, func() any { return first })

	var dueIn time.Duration
	var state string
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT j.state::text, j.scheduled_at - now() FROM outhook.river_job j WHERE j.id = $1`,
		b.jobID(t, eventID, endpointID)).Scan(&state, &dueIn))
	require.Equal(t, "scheduled", state)
	require.InDelta(t, time.Hour, dueIn, float64(2*time.Minute))

	require.NoError(t, b.replay(t, eventID, endpointID, true))
	d := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.TryCount == 2 })
	require.Equal(t, int32(3), d.AttemptCount)
	outcomes := map[int32]db.AttemptOutcome{}
	for _, a := range b.attempts(t, eventID) {
		outcomes[a.Number] = a.Outcome
		require.Equal(t, db.AttemptTriggerScheduled, a.Trigger)
	}
	require.Equal(t, map[int32]db.AttemptOutcome{1: "rejected", 2: "unknown", 3: "rejected"}, outcomes)
}

func TestReconcileKeepsAReplayAReplay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, eventID, endpointID) }))
	require.NoError(t, b.replay(t, eventID, endpointID, false))
	b.exec(t, `UPDATE outhook.river_job SET state = 'discarded', finalized_at = now() WHERE state = 'available'`)
	require.Equal(t, 1, b.reconcile(t)["deliveries_without_job"])
	b.start(t, b.config(t))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, db.AttemptTriggerManual, b.attempts(t, eventID)[0].Trigger)
}

func TestRiverUICancelCancelsTheDelivery(t *testing.T) {
	t.Parallel()

	t.Run("ThatWaits", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		client, err := jobs.New(b.config(t))
		require.NoError(t, err)
		_, err = client.River().JobCancel(b.ctx, b.jobID(t, eventID, endpointID))
		require.NoError(t, err)
		require.Equal(t, map[string]int{"deliveries_of_cancelled_jobs": 1}, b.inspect(t))
		// Without a call: the job does it when a process becomes leader.
		b.start(t, b.config(t))
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateCancelled)
		require.Equal(t, ledger.ReasonOperator, *d.Reason)
		require.Zero(t, d.AttemptCount)
		require.Empty(t, b.receiver.received())
		require.Empty(t, b.inspect(t))
	})

	t.Run("WhoseWorkerDied", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		// As River's rescuer leaves a job that was cancelled while a worker that is dead now ran it.
		b.exec(t, `UPDATE outhook.river_job SET state = 'cancelled', finalized_at = now(), attempt = 1`)
		require.Equal(t, map[string]int{"deliveries_of_cancelled_jobs": 1}, b.reconcile(t))
		d := b.delivery(t, eventID, endpointID)
		require.Equal(t, db.DeliveryStateCancelled, d.State)
		require.Equal(t, int32(1), d.AttemptCount)
		attempts := b.attempts(t, eventID)
		require.Len(t, attempts, 1)
		require.Equal(t, db.AttemptOutcomeUnknown, attempts[0].Outcome)
	})
}

func TestJobsInQueuesThatNobodyWorksAreToldAndMovedByThePacer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.exec(t, `UPDATE outhook.river_job SET queue = 'endpoint-' || $1::uuid`, endpointID)
	b.setStatus(t, endpointID, db.EndpointStatusPaused)
	require.Empty(t, b.inspect(t))
	require.Empty(t, b.reconcile(t))
	b.setStatus(t, endpointID, db.EndpointStatusEnabled)
	require.Empty(t, b.inspect(t), "the pacer brings it back within seconds")
	b.exec(t, `UPDATE outhook.endpoints SET lane_changed_at = now() - interval '6 min', status_changed_at = now() - interval '6 min'`)
	require.Equal(t, map[string]int{"deliveries_in_idle_queues": 1}, b.inspect(t))
	require.Empty(t, b.reconcile(t))
	b.start(t, b.config(t))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Empty(t, b.inspect(t))
}

func TestReconcileEndsWhatCanNeverBeDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID, other := b.enqueue(t, `{}`), b.enqueue(t, `{}`)
	b.exec(t, `DELETE FROM outhook.events WHERE id = $1`, eventID)
	b.start(t, b.config(t))
	b.awaitState(t, other, endpointID, db.DeliveryStateSucceeded)
	var state string
	eventually(t, func() bool {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT state::text FROM outhook.river_job WHERE args ->> 'event_id' = $1::uuid::text`, eventID).Scan(&state))
		return state == "completed"
	}, func() any { return state })
	// The worker's own job may be quicker, or hold the lock.
	eventually(t, func() bool {
		if found := b.reconcile(t); len(found) > 0 {
			require.Equal(t, map[string]int{"deliveries_without_event": 1}, found)
		}
		return len(b.inspect(t)) == 0
	}, func() any { return b.inspect(t) })
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE event_id = $1 AND state = 'cancelled'`, eventID))
}

func TestReconcileAndStrayJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	const insert = `INSERT INTO outhook.river_job (kind, args, queue, max_attempts) VALUES ('deliver', $1, $2, 1000)`
	b.exec(t, insert, `{}`, "endpoint-1")
	b.exec(t, insert, `{"event_id": "------------------------------------", "endpoint_id": 7}`, "endpoint-1")
	b.exec(t, insert, `{"event_id": "`+eventID.String()+`", "endpoint_id": "`+endpointID.String()+`"}`, "endpoint-1")
	// About to be fetched, and then it ends by itself.
	b.exec(t, insert, `{"event_id": "`+eventID.String()+`", "endpoint_id": "`+endpointID.String()+`"}`, "deliver")
	require.Equal(t, map[string]int{"jobs_without_delivery": 3}, b.inspect(t))
	require.Equal(t, map[string]int{"jobs_without_delivery": 3}, b.reconcile(t))
	require.Empty(t, b.inspect(t))
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "available", state)
}

func TestReconcileReportsAPersonsRetryAndLeavesIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, eventID, endpointID) }))
	client, err := jobs.New(b.config(t))
	require.NoError(t, err)
	_, err = client.River().JobRetry(b.ctx, b.jobID(t, eventID, endpointID))
	require.NoError(t, err)
	want := map[string]int{"jobs_of_settled_deliveries": 1}
	require.Equal(t, want, b.inspect(t))
	require.Equal(t, want, b.reconcile(t))
	require.Equal(t, want, b.inspect(t))
	b.start(t, b.config(t))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, db.AttemptTriggerManual, b.attempts(t, eventID)[0].Trigger)
}

func TestReconcileAndPartitions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	name := time.Now().UTC().AddDate(0, 0, 3).Format("events_p20060102")
	b.exec(t, `DROP TABLE outhook.`+name)
	require.Equal(t, map[string]int{"missing_partitions": 1}, b.inspect(t))
	require.Equal(t, map[string]int{"missing_partitions": 1}, b.reconcile(t))
	require.Empty(t, b.inspect(t))

	// A DETACH CONCURRENTLY that waits for an open transaction, and is cut there.
	b.exec(t, `SELECT outhook.create_partitions('2020-01-01', '2020-01-02')`)
	open, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	_, err = open.Exec(b.ctx, `SELECT count(*) FROM outhook.events`)
	require.NoError(t, err)
	ctx, cut := context.WithCancel(b.ctx)
	detached := make(chan error, 1)
	go func() {
		_, err := b.pool.Exec(ctx, `ALTER TABLE outhook.events DETACH PARTITION outhook.events_p20200101 CONCURRENTLY`)
		detached <- err
	}()
	const pending = `SELECT count(*) FROM pg_inherits WHERE inhdetachpending`
	eventually(t, func() bool { return b.number(t, pending) == 1 }, func() any { return nil })
	require.Empty(t, b.inspect(t), "it is going on")
	cut()
	require.Error(t, <-detached)
	eventually(t, func() bool { return b.inspect(t)["interrupted_detaches"] == 1 }, func() any { return b.inspect(t) })
	require.Empty(t, b.reconcile(t), "the open transaction is in the way, and nobody waits for it for long")
	require.NoError(t, open.Rollback(b.ctx))
	require.Equal(t, map[string]int{"interrupted_detaches": 1}, b.reconcile(t))
	require.Empty(t, b.inspect(t))
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM pg_class WHERE relname = 'events_p20200101'`), "the data stays")
}

func (b *testBundle) number(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, sql, args...).Scan(&n))
	return n
}

// While a settle or a replay is in its transaction, what the others see is the state before it, and a repair of that would
// be wrong.
func TestReconcileRacesWithOneSettle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.exec(t, `DELETE FROM outhook.river_job`)
	settle, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	_, err = settle.Exec(b.ctx, `UPDATE outhook.deliveries SET state = 'succeeded', completed_at = now(), next_attempt_at = NULL`)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"deliveries_without_job": 1}, b.inspect(t))
	require.Empty(t, b.reconcile(t), "it does not wait, and does not touch it")
	require.NoError(t, settle.Commit(b.ctx))
	require.Empty(t, b.reconcile(t))
	require.Equal(t, db.DeliveryStateSucceeded, b.delivery(t, eventID, endpointID).State)
	require.Zero(t, b.number(t, `SELECT count(*) FROM outhook.river_job`))
}

// 3,000 deliveries fail once and succeed, some are replayed, while reconcile runs all the time: it finds nothing to do,
// and nobody gets anything twice.
func TestReconcileRacesWithWorkersAndReplays(t *testing.T) {
	t.Parallel()
	const events, replays = 3000, 200
	b := setup(t)
	b.receiver.answers(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("outhook-attempt") == "1" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Second}))
	b.start(t, b.config(t))
	done := make(chan struct{})
	var wg sync.WaitGroup
	passes := 0
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			list, err := reconcile.Repair(b.ctx, b.pool)
			if err != nil || len(counts(list)) > 0 {
				t.Errorf("reconciled %v: %v", counts(list), err)
				return
			}
			passes++
		}
	})
	for range events / 50 {
		b.exec(t, `SELECT count(*) FROM outhook.enqueue_many(array_fill($1::text, ARRAY[50]), array_fill('a.b'::text, ARRAY[50]),
			array_fill('{}'::text, ARRAY[50]))`, tenant)
	}
	var replayed []uuid.UUID
	eventually(t, func() bool {
		rows, err := b.pool.Query(b.ctx, `SELECT event_id FROM outhook.deliveries WHERE state = 'succeeded' ORDER BY 1 LIMIT $1`, replays)
		require.NoError(t, err)
		replayed, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		require.NoError(t, err)
		return len(replayed) == replays
	}, func() any { return len(replayed) })
	for _, eventID := range replayed {
		require.NoError(t, b.replay(t, eventID, endpointID, false))
	}
	eventually(t, func() bool {
		return b.number(t, `SELECT count(*) FROM outhook.deliveries WHERE state <> 'succeeded'`) == 0
	}, func() any { return nil })
	close(done)
	wg.Wait()
	t.Logf("%d passes", passes)
	require.Greater(t, passes, 10)
	require.Equal(t, 2*events+replays, b.number(t, `SELECT count(*) FROM outhook.delivery_attempts`))
	require.Len(t, b.receiver.received(), 2*events+replays)
	require.Empty(t, b.inspect(t))
}

// More than two windows of pending deliveries, and live jobs before, between and after them.
func TestReconcileExaminesWindowAfterWindow(t *testing.T) {
	t.Parallel()
	const deliveries = 25_000
	b := setup(t)
	b.endpoint(t)
	const stray = `INSERT INTO outhook.river_job (kind, args, queue, max_attempts) VALUES ('deliver', '{}', 'nobody', 1000)`
	for range deliveries / 5000 {
		b.exec(t, stray)
		b.exec(t, `SELECT count(*) FROM outhook.enqueue_many(array_fill($1::text, ARRAY[5000]), array_fill('a.b'::text, ARRAY[5000]),
			array_fill('{}'::text, ARRAY[5000]))`, tenant)
	}
	b.exec(t, stray)
	b.exec(t, `DELETE FROM outhook.river_job WHERE queue <> 'nobody' AND id % 20 = 0`)
	want := map[string]int{
		"deliveries_without_job": b.number(t, `SELECT count(*) FROM outhook.deliveries WHERE job_id % 20 = 0`),
		"jobs_without_delivery":  deliveries/5000 + 1,
	}
	require.Greater(t, want["deliveries_without_job"], 1000)
	require.Equal(t, want, b.inspect(t))
	require.Equal(t, want, b.reconcile(t))
	require.Empty(t, b.inspect(t))
	require.Equal(t, deliveries, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'available'`))
}

// Three repair the same at the same time, while people cancel: what one of them saw is stale when it gets the locks. Each
// delivery that is still pending has one job in the end, and nobody else has any.
func TestReconcileRacesWithItselfAndWithCancel(t *testing.T) {
	t.Parallel()
	const deliveries = 5000
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.exec(t, `SELECT count(*) FROM outhook.enqueue_many(array_fill($1::text, ARRAY[$2::int]), array_fill('a.b'::text, ARRAY[$2::int]),
		array_fill('{}'::text, ARRAY[$2::int]))`, tenant, deliveries)
	b.exec(t, `DELETE FROM outhook.river_job`)
	rows, err := b.pool.Query(b.ctx, `SELECT event_id FROM outhook.deliveries ORDER BY job_id DESC LIMIT 300`)
	require.NoError(t, err)
	toCancel, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)

	var wg sync.WaitGroup
	repaired := make([]int, 3)
	for i := range repaired {
		wg.Go(func() {
			list, err := reconcile.Repair(b.ctx, b.pool)
			if err != nil {
				t.Errorf("reconciling: %v", err)
			}
			repaired[i] = counts(list)["deliveries_without_job"]
		})
	}
	for _, eventID := range toCancel {
		require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, eventID, endpointID) }))
	}
	wg.Wait()
	b.reconcile(t) // what a cancel or another reconcile had locked and did not mend
	t.Logf("repaired %v", repaired)
	require.Empty(t, b.inspect(t))
	require.Equal(t, len(toCancel), b.number(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'cancelled'`))
	require.Equal(t, deliveries-len(toCancel), b.number(t, `SELECT count(*) FROM outhook.deliveries d
		JOIN outhook.river_job j ON j.id = d.job_id WHERE d.state = 'pending' AND j.state = 'available'`))
	require.Equal(t, deliveries-len(toCancel), b.number(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'available'`))
}

// Whoever keeps vacuum from its work is named: what has an id, a snapshot, or is prepared. Who only sits there is not.
func TestWhoHoldsBackVacuum(t *testing.T) {
	t.Parallel()
	b := setupPrepared(t)
	holders := func() string {
		t.Helper()
		list, err := db.New().ListVacuumHolders(b.ctx, b.pool, 0)
		require.NoError(t, err)
		return strings.Join(list, "\n")
	}
	connect := func(name string) *pgx.Conn {
		t.Helper()
		cfg := b.pool.Config().ConnConfig.Copy()
		cfg.RuntimeParams["application_name"] = name
		conn, err := pgx.ConnectConfig(b.ctx, cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(b.ctx))) })
		return conn
	}
	run := func(conn *pgx.Conn, sql string) {
		t.Helper()
		_, err := conn.Exec(b.ctx, sql)
		require.NoError(t, err)
	}
	reader, writer, idle := connect("it's a report"), connect("writer"), connect("idle")
	run(reader, `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1`)
	run(idle, `BEGIN; SELECT 1`)
	require.Contains(t, holders(), `'it''s a report'), in a transaction since 20`)
	run(reader, `ROLLBACK`)
	run(writer, `BEGIN; CREATE TABLE public.theirs ()`)
	require.Contains(t, holders(), `'writer'), in a transaction since 20`)
	run(writer, `PREPARE TRANSACTION 'xa 1'`)
	require.Contains(t, holders(), `the prepared transaction 'xa 1' of `)
	list, err := reconcile.Inspect(b.ctx, b.pool, time.Minute)
	require.NoError(t, err)
	require.Empty(t, counts(list), "none is a minute old")
	run(writer, `ROLLBACK PREPARED 'xa 1'`)
	require.Empty(t, holders())
}
