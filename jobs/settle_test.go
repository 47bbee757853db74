package jobs_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

// limitLater gives an endpoint a rate limit, and so a lane.
func (b *testBundle) limitLater(t *testing.T, endpointID uuid.UUID, perSecond int) {
	t.Helper()
	b.exec(t, `UPDATE outhook.endpoints SET rate_limit = $2, lane = 'limited', lane_reason = 'it has a rate limit' WHERE id = $1`,
		endpointID, perSecond)
	b.exec(t, `INSERT INTO outhook.lanes (endpoint_id) VALUES ($1) ON CONFLICT DO NOTHING`, endpointID)
}

// A run is set aside, released, and fails, all before River's completer writes what it has of the first: the second
// one's outcome must not get lost.
func TestRetriesInALaneLeaveWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	schedule := retry.Schedule{time.Second, 3 * time.Second, time.Second}
	endpointID, _ := b.endpoint(t, withSchedule(schedule))
	b.receiver.answers(status(http.StatusInternalServerError))
	events := make([]uuid.UUID, 25)
	for i := range events {
		events[i] = b.enqueue(t, `{}`)
	}
	b.limitLater(t, endpointID, 100) // the jobs are in the shared queue, and set aside
	b.start(t, b.config(t))

	for _, eventID := range events {
		b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		attempts := b.attempts(t, eventID)
		require.Len(t, attempts, len(schedule)+1)
		for i, delay := range schedule {
			ended := attempts[i].StartedAt.Add(time.Duration(*attempts[i].DurationMS) * time.Millisecond)
			gap := attempts[i+1].StartedAt.Sub(ended)
			require.GreaterOrEqual(t, gap, delay-time.Millisecond, "attempt %d", i+2)
			require.Less(t, gap, delay+20*time.Second, "attempt %d", i+2) // a lost one comes after 75 s
		}
	}
	b.requireNothingRuns(t)
}

// requireNothingRuns waits until no job is running: each run has ended its own.
func (b *testBundle) requireNothingRuns(t *testing.T) {
	t.Helper()
	eventually(t, func() bool {
		return b.number(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state = 'running'`) == 0
	}, func() any { return "a job runs without a run" })
}

// What somebody holds a lock on waits alone, whichever row it is.
func TestALockedRowStopsNobodyElse(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"Delivery": `SELECT FROM outhook.deliveries WHERE event_id = $1 FOR UPDATE`,
		"Job": `SELECT FROM outhook.river_job WHERE id = (SELECT job_id FROM outhook.deliveries
			WHERE event_id = $1) FOR UPDATE`,
		"Endpoint": `SELECT FROM outhook.endpoints WHERE id = (SELECT endpoint_id FROM outhook.deliveries
			WHERE event_id = $1) FOR UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			arrived, release := make(chan struct{}), make(chan struct{})
			var first atomic.Bool
			b.receiver.answers(func(http.ResponseWriter, *http.Request) {
				if first.CompareAndSwap(false, true) {
					close(arrived)
					<-release
				}
			})
			locked := b.enqueue(t, `{}`)
			b.start(t, b.config(t))
			await(t, arrived)
			tx, err := b.pool.Begin(b.ctx)
			require.NoError(t, err)
			_, err = tx.Exec(b.ctx, lock, locked)
			require.NoError(t, err)
			close(release)

			began := time.Now()
			for range 5 { // one group after the other
				b.awaitState(t, b.enqueue(t, `{}`), endpointID, db.DeliveryStateSucceeded)
			}
			require.Less(t, time.Since(began), 10*time.Second) // a statement that waits does so for 15 s
			require.NoError(t, tx.Rollback(b.ctx))
			b.awaitState(t, locked, endpointID, db.DeliveryStateSucceeded)
		})
	}
}

// fetch lets a run of the only delivery begin, as River's fetch does.
func (b *testBundle) fetch(t *testing.T) (jobID int64, attempt int32, at time.Time) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `UPDATE outhook.river_job SET state = 'running', attempt = attempt + 1,
		attempted_at = clock_timestamp() WHERE kind = 'deliver' RETURNING id, attempt, attempted_at`).Scan(&jobID, &attempt, &at))
	return jobID, attempt, at
}

// giveBack ends a run that has sent nothing, as the recorder does.
func (b *testBundle) giveBack(t *testing.T, eventID, endpointID uuid.UUID, jobID int64, attempt int32, at time.Time) {
	t.Helper()
	b.giveBackUntil(t, eventID, endpointID, jobID, attempt, at, time.Now())
}

// giveBackUntil is giveBack of one that waits until then.
func (b *testBundle) giveBackUntil(
	t *testing.T, eventID, endpointID uuid.UUID, jobID int64, attempt int32, at, until time.Time,
) {
	t.Helper()
	_, err := db.New().SettleRuns(b.ctx, b.pool, db.SettleRunsParams{
		EventIDs: []uuid.UUID{eventID}, EndpointIDs: []uuid.UUID{endpointID}, JobIDs: []int64{jobID},
		JobAttempts: []int32{attempt}, AttemptedAts: []time.Time{at}, Numbers: []int32{attempt}, Endings: []string{"back"},
		States: []string{"pending"}, Reasons: []string{""}, EndedAs: []string{"completed"}, Ats: []time.Time{until},
		Failures: []int32{0}, Reopened: []bool{false}, Dropped: []bool{false}, Died: []bool{false}, Late: []string{""}, JobErrors: []string{""},
		StatusCodes: []int32{0}, StartedAts: []time.Time{time.Now()}, DurationsMS: []int32{0}, Outcomes: []string{""},
		Triggers: []string{""}, ResponsesTruncated: []bool{false}, Errors: []string{""}, RemoteAddrs: []string{""},
		RequestHeaders: []string{""}, ResponseHeaders: []string{""}, ResponseBodies: []string{""},
	})
	require.NoError(t, err)
}

// The answer to a statement is lost, and it is sent again when the job's next run has the same number.
func TestARepeatedGiveBackTouchesNoOtherRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	jobID, attempt, at := b.fetch(t)
	giveBack := func() { b.giveBack(t, eventID, endpointID, jobID, attempt, at) }
	giveBack()
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "available", state)
	_, again, _ := b.fetch(t)
	require.Equal(t, attempt, again, "the number is free again")
	giveBack()
	state, _ = b.jobState(t, eventID, endpointID)
	require.Equal(t, "running", state, "the other run goes on")
	require.EqualValues(t, again, b.number(t, `SELECT attempt FROM outhook.river_job WHERE kind = 'deliver'`))
}

// A worker dies in the first run, and the second one hears that it is cancelled before it sends: the log says of the
// first that nobody knows.
func TestACancelledRunLeavesNoHole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.fetch(t)
	jobID, attempt, at := b.fetch(t)
	b.exec(t, `UPDATE outhook.river_job SET metadata = jsonb_build_object('cancel_attempted_at', now()) WHERE id = $1`, jobID)
	b.giveBack(t, eventID, endpointID, jobID, attempt, at)

	delivery, err := db.New().GetDelivery(b.ctx, b.pool, eventID, endpointID)
	require.NoError(t, err)
	require.Equal(t, db.DeliveryStateCancelled, delivery.State)
	require.EqualValues(t, 1, delivery.AttemptCount)
	attempts := b.attempts(t, eventID)
	require.Len(t, attempts, 1)
	require.EqualValues(t, 1, attempts[0].Number)
	require.Equal(t, db.AttemptOutcomeUnknown, attempts[0].Outcome)
}

// A run that sends nothing uses up no number, however it ends: a row without a request would be a lie.
func TestARunThatSendsNothingTakesNoNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.setStatus(t, endpointID, db.EndpointStatusDisabled)
	b.start(t, b.config(t))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateCancelled)
	b.setStatus(t, endpointID, db.EndpointStatusEnabled)
	require.NoError(t, b.replay(t, eventID, endpointID, false))
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(1), d.AttemptCount)
	require.Len(t, b.attempts(t, eventID), 1)
	require.Equal(t, "1", b.receiver.received()[0].header.Get("outhook-attempt"))
}

// River UI's Retry of a delivery whose endpoint gets nothing any more changes nothing but its own job.
func TestAnOrderThatCantBeCarriedOutLeavesTheDelivery(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{
		"Disabled": `UPDATE outhook.endpoints SET status = 'disabled' WHERE id = $1`,
		"Deleted":  `UPDATE outhook.endpoints SET deleted_at = now() WHERE id = $1`,
		"Erased":   `UPDATE outhook.events SET payload = NULL WHERE id IN (SELECT event_id FROM outhook.deliveries WHERE endpoint_id = $1)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			eventID := b.enqueue(t, `{}`)
			client := b.start(t, b.config(t))
			before := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
			b.exec(t, end, endpointID)
			jobID := b.number(t, `SELECT id FROM outhook.river_job WHERE kind = 'deliver'`)
			_, err := client.River().JobRetry(b.ctx, int64(jobID))
			require.NoError(t, err)
			eventually(t, func() bool {
				state, _ := b.jobState(t, eventID, endpointID)
				return state == "cancelled"
			}, func() any { return b.delivery(t, eventID, endpointID) })
			require.Equal(t, before, b.delivery(t, eventID, endpointID))
			require.Len(t, b.attempts(t, eventID), 1)
		})
	}
}

// No leader makes retries due: every worker process does.
func TestRetriesNeedNoLeader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{6 * time.Second}))
	b.exec(t, `INSERT INTO outhook.river_leader (name, leader_id, elected_at, expires_at)
		VALUES ('default', 'nobody', now(), now() + interval '1 day')`)
	b.receiver.answers(status(http.StatusInternalServerError))
	eventID := b.enqueue(t, `{}`)
	b.start(t, b.config(t))
	b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 })
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "retryable", state, "as River UI shows it")
	b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
	attempts := b.attempts(t, eventID)
	gap := attempts[1].StartedAt.Sub(attempts[0].StartedAt)
	require.GreaterOrEqual(t, gap, 6*time.Second)
	require.Less(t, gap, 12*time.Second)
	errors := b.number(t, `SELECT cardinality(errors) FROM outhook.river_job WHERE kind = 'deliver'`)
	require.Equal(t, 2, errors, "for River UI")
}

// panicking panics where a span begins.
type panicking struct{ trace.TracerProvider }

func (p panicking) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return panickingTracer{p.TracerProvider.Tracer(name, options...)}
}

type panickingTracer struct{ trace.Tracer }

func (panickingTracer) Start(context.Context, string, ...trace.SpanStartOption) (context.Context, trace.Span) {
	panic("hunter2")
}

// panickingLog panics where an attempt is logged, after its request.
type panickingLog struct{ slog.Handler }

func (h panickingLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "attempt" {
		panic("hunter2")
	}
	return h.Handler.Handle(ctx, r)
}

func (h panickingLog) WithAttrs([]slog.Attr) slog.Handler { return h }

// A run that panics ends its job like any other: what may have left has its row.
func TestAPanicEndsTheRun(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]bool{"BeforeTheRequest": false, "AfterIt": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			eventID := b.enqueue(t, `{}`)
			b.receiver.answers(status(http.StatusInternalServerError))
			var log strings.Builder
			cfg := b.config(t)
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			if sent {
				cfg.Logger = slog.New(panickingLog{slog.NewTextHandler(&log, nil)})
			} else {
				cfg.Deliver.Tracing = panicking{noop.NewTracerProvider()}
			}
			client := b.start(t, cfg)
			const waiting = `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND metadata @> '{"rescues": 1, "begun": 1}'
				AND state IN ('retryable', 'scheduled') AND scheduled_at > now() + interval '30 s' AND attempt = $1`
			want := 0
			if sent {
				want = 1
			}
			eventually(t, func() bool { return b.number(t, waiting, want) == 1 }, func() any { return nil })
			require.NoError(t, client.Stop(b.ctx))
			attempts := b.attempts(t, eventID)
			require.Len(t, attempts, want)
			if sent {
				require.Equal(t, db.AttemptOutcomeUnknown, attempts[0].Outcome)
				require.Len(t, b.receiver.received(), 1)
			}
			require.Equal(t, db.DeliveryStatePending, b.delivery(t, eventID, endpointID).State)
			require.Contains(t, log.String(), "a run panicked")
			require.NotContains(t, log.String(), "hunter2")
		})
	}
}

// A job whose arguments nobody can read is not worked, and does not stay running.
func TestAJobThatCantBeReadIsDiscarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t, b.config(t))
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts) VALUES ('deliver', '{"event_id": 5}', 'deliver', 1000)`)
	eventually(t, func() bool {
		return b.number(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state = 'discarded'`) == 1
	}, func() any { return nil })
}

// enqueuedAs enqueues an event whose only job is as set says when others see it.
func (b *testBundle) enqueuedAs(t *testing.T, set string, args ...any) (eventID uuid.UUID) {
	t.Helper()
	tx, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	defer tx.Rollback(b.ctx)
	require.NoError(t, tx.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'invoice.paid', '{}'::text)`, tenant).Scan(&eventID))
	_, err = tx.Exec(b.ctx, `UPDATE outhook.river_job SET `+set+` WHERE kind = 'deliver' AND args ->> 'event_id' = '`+eventID.String()+`'`, args...)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(b.ctx))
	return eventID
}

// fetchedBy says that a client has fetched a job a while ago.
const fetchedBy = `state = 'running', attempt = 1, attempted_at = now() - interval '10 s', attempted_by = ARRAY[$1::text]`

// The answer to a fetch is lost: the database says that a delivery runs here, and nobody here knows of it.
func TestAFetchOfWhichNobodyHeardIsUndone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	client := b.start(t, b.config(t))
	began := time.Now()
	eventID := b.enqueuedAs(t, fetchedBy, client.River().ID())

	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Less(t, time.Since(began), 15*time.Second)
	require.Equal(t, int32(1), d.AttemptCount)
	require.Len(t, b.attempts(t, eventID), 1)
}

// The answer to a fetch comes late, as it does to a process that was frozen: what it brings runs then, and so is not taken
// for lost before, nor before each run has begun.
func TestAFetchThatIsHeardOfLateIsNotUndone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	client := b.start(t, b.config(t))
	runs := jobs.RunsOf(client)
	end := runs.Fetch()
	eventually(t, func() bool {
		_, ok := runs.Known()
		return !ok
	}, func() any { return "the fetch is not slow yet" })

	eventID := b.enqueuedAs(t, fetchedBy, client.River().ID())
	row := &rivertype.JobRow{Queue: ledger.QueueDeliver}
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT job_id FROM outhook.deliveries WHERE event_id = $1`, eventID).Scan(&row.ID))
	runsOn := func(why string) {
		t.Helper()
		for range 2 { // the first look may have been under way
			other := b.enqueuedAs(t, `state = 'retryable', scheduled_at = now()`)
			b.awaitState(t, other, endpointID, db.DeliveryStateSucceeded)
		}
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE id = $1 AND state = 'running' AND attempt = 1`, row.ID), why)
	}

	runsOn("the fetch that brings it is under way")
	end([]*rivertype.JobRow{row})
	runsOn("its run has not begun")
	runs.Begin(row)
	runsOn("its run has not ended")
	runs.End(row)
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
}

// An order to cancel that was noted while the attempt ran holds, although the process did not hear of it.
func TestAnOrderToCancelIsObeyedAtTheEndOfTheRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Second}))
	eventID := b.enqueue(t, `{}`)
	b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		_, err := b.pool.Exec(b.ctx, `UPDATE outhook.river_job SET metadata = metadata || '{"cancel_attempted_at": "now"}'`) //nolint:contextcheck // the test is the context
		if err == nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	b.start(t, b.config(t))
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateCancelled)
	require.Equal(t, ledger.ReasonOperator, *d.Reason)
	require.Equal(t, int32(1), d.AttemptCount)
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "cancelled", state)
}

// A late outcome of a run that was taken for dead is logged, and neither moves the run after it nor counts twice.
func TestALateFailureMovesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour, time.Hour}))
	eventID := b.enqueue(t, `{}`)
	arrived, release := make(chan struct{}), make(chan struct{})
	var requests atomic.Int32
	b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			close(arrived)
			<-release
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	b.start(t, b.config(t))
	await(t, arrived)
	// As a rescue does.
	b.exec(t, `UPDATE outhook.river_job SET state = 'available' WHERE kind = 'deliver'`)
	before := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 2 })
	require.Equal(t, db.AttemptOutcomeUnknown, b.attempts(t, eventID)[0].Outcome)
	close(release)
	eventually(t, func() bool { return b.attempts(t, eventID)[0].Outcome == db.AttemptOutcomeRejected }, func() any { return nil })
	require.Equal(t, before, b.delivery(t, eventID, endpointID))
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "retryable", state)
}

// A run that was taken for dead delivers while the one after it has its request under way: that one keeps its job, so that
// whoever finds its worker dead notes the request.
func TestALateSuccessLeavesTheNextRunItsJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}))
	eventID := b.enqueue(t, `{}`)
	arrived, release := make(chan struct{}, 2), [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	var requests atomic.Int32
	b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		held := release[requests.Add(1)-1]
		arrived <- struct{}{}
		<-held
		w.WriteHeader(http.StatusNoContent)
	})
	b.start(t, b.config(t))
	await(t, arrived)
	b.exec(t, `UPDATE outhook.river_job SET state = 'available' WHERE kind = 'deliver'`)
	await(t, arrived)

	close(release[0])
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "running", state)

	close(release[1])
	d := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 2 })
	require.Equal(t, db.DeliveryStateSucceeded, d.State)
	state, _ = b.jobState(t, eventID, endpointID)
	require.Equal(t, "completed", state)
	for _, a := range b.attempts(t, eventID) {
		require.Equal(t, db.AttemptOutcomeSucceeded, a.Outcome)
	}
	require.Empty(t, b.inspect(t))
}
