package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
)

const (
	// TestEventType is the type of the event that POST /api/endpoints/{id}/test sends. It is attempted once.
	TestEventType = "outhook.test"

	// staleDelay is how long a job waits whose run found that it is no longer the job's current run.
	staleDelay = time.Minute

	// panicDelay is the wait after a run that ended without saying when to try again.
	panicDelay = time.Minute

	// maxDeaths is how many workers in a row may die while they work a delivery before it is given up: a payload must
	// not be able to crash workers for ever.
	maxDeaths = 10

	// troubleDelay is the shortest wait after trouble of our own; up to as much again is added at random, which keeps many
	// jobs from coming back at the same moment. The sum is below 5 s, and so the job waits as available (see GiveBackJob):
	// whatever has shaken this process may have killed River's leader too, whose successor schedules only 22 s later.
	troubleDelay = 2 * time.Second

	// unsignedDelay is the same for a secret that can't be decrypted, which is mended by people.
	unsignedDelay = 10 * time.Second

	// handOverDelay is how long the job of a run that a stop ended waits, so that the worker that stops does not fetch it
	// once more itself.
	handOverDelay = time.Second
)

// errGivenBack is what a run returns that gave itself back. River stores nothing of it: the job is no longer running.
var errGivenBack = errors.New("nothing left, and the run was given back")

// Reasons that deliveries.reason may hold. For people and reports; the API documents them.
const (
	ReasonExhausted        = "exhausted"         // failed: the retry schedule is used up
	ReasonGone             = "gone"              // failed: the endpoint answered 410
	ReasonWorkerDied       = "worker_died"       // failed: ten workers in a row died while they worked it
	ReasonEndpointDisabled = "endpoint_disabled" // cancelled
	ReasonEndpointDeleted  = "endpoint_deleted"  // cancelled
	ReasonExpired          = "expired"           // cancelled: it was pending at the end of the retention
	ReasonErased           = "erased"            // cancelled: the tenant's data was erased
	ReasonPayloadGone      = "payload_gone"      // cancelled: the payload was erased before it was delivered
	ReasonOperator         = "operator"          // cancelled by a person, through the API or River UI
)

// DeliverArgs are the arguments of a "deliver" job, as stored in river_job.args. River UI shows them: no payload, no
// secret, no URL. It is a stored format: fields are added, never renamed.
type DeliverArgs struct {
	EventID    uuid.UUID `json:"event_id"`
	EndpointID uuid.UUID `json:"endpoint_id"`

	// Base is, for a job that is not the first of its delivery, the number of attempts before it: that of a replay, or of
	// a repair.
	Base *int `json:"base,omitempty"`

	// Repaired says that the job stands in for one that was lost, and is nobody's order.
	Repaired bool `json:"repaired,omitempty"`

	// Probe says that the delivery is to find out whether a disabled endpoint works again.
	Probe bool `json:"probe,omitempty"`

	// next is when Work wants the job to run again. It is not stored: NextRetry gets the same job that Work got, the
	// rescuer of a dead worker's job gets a fresh one.
	next time.Time
}

// Kind returns "deliver".
func (DeliverArgs) Kind() string { return "deliver" }

// deliverWorker works one delivery per job: load, send, record.
type deliverWorker struct {
	river.WorkerDefaults[DeliverArgs]

	cfg      Config
	clock    *clock
	loader   *loader
	recorder *recorder
	presence *presence
	lanes    *laneKeeper
	ended    *ended
	inFlight *atomic.Int64   // runs between load and record
	done     <-chan struct{} // closed when the process gives up on what it could not tell the database
	metrics  *workerMetrics
	tracer   trace.Tracer // nil: no spans
	yield    *yield
}

// run is one run of a job, with what was loaded for it.
type run struct {
	*loaded
	job      *river.Job[DeliverArgs]
	number   int32
	reopened bool
}

// Work runs a delivery once. It returns nil when the job is settled, and an error when an attempt failed and another
// one follows, or when trouble of our own kept the request from leaving (that takes no attempt number).
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[DeliverArgs]) error {
	w.inFlight.Add(1)
	defer w.inFlight.Add(-1)

	if !w.presence.held() {
		// Others may take this process for dead.
		return w.giveBack(ctx, job, troubleDelay+rand.N(troubleDelay))
	}

	row, err := w.loader.load(ctx, loadKey{job.Args.EventID, job.Args.EndpointID, job.ID})
	switch {
	case ctx.Err() != nil:
		return w.interrupted(ctx, job)
	case err != nil:
		return w.giveBack(ctx, job, troubleDelay+rand.N(troubleDelay))
	case row == nil || row.JobID != job.ID:
		// The delivery is gone, or was replayed since with a job of its own.
		return nil
	case !row.JobRunning || int(row.JobAttempt) != job.Attempt:
		job.Args.next = w.clock.Now().Add(staleDelay)
		return errors.New("this run is over: the job was rescued while it was held up")
	}

	r := &run{loaded: row, job: job, number: int32(job.Attempt)} //nolint:gosec // at most 1000
	if job.Args.Base != nil {
		r.number += int32(*job.Args.Base) //nolint:gosec // an attempt number, an integer in the database
	}

	// Settling finishes the job in any live state, so only a person can have started it again.
	r.reopened = row.State != db.DeliveryStatePending
	return w.obey(ctx, r)
}

// obey does what the endpoint's status and the delivery's history ask for.
func (w *deliverWorker) obey(ctx context.Context, r *run) error {
	switch {
	case r.Deleted:
		return w.settle(ctx, r, db.DeliveryStateCancelled, ReasonEndpointDeleted)
	case r.Status == db.EndpointStatusDisabled && !r.job.Args.Probe:
		return w.settle(ctx, r, db.DeliveryStateCancelled, ReasonEndpointDisabled)
	case r.Payload == "":
		// A replay was ordered at the moment at which the payload was erased.
		return w.settle(ctx, r, db.DeliveryStateCancelled, ReasonPayloadGone)
	case r.Status == db.EndpointStatusPaused:
		return w.setAside(ctx, r, nil)
	case r.number-1-r.AttemptCount >= maxDeaths:
		return w.settle(ctx, r, db.DeliveryStateFailed, ReasonWorkerDied)
	case r.job.Args.Probe:
		return w.enter(ctx, r) // nothing else of a disabled endpoint's is under way, whatever its lane
	case !r.home():
		return w.setAside(ctx, r, nil)
	case r.Lane == LaneSlow || r.Lane == LaneLimited:
		return w.attempt(ctx, r, func(d time.Duration) int { return w.lanes.gate.pass(r.EndpointID, d) })
	}

	return w.enter(ctx, r)
}

// enter waits for the endpoint's other requests of this process, a moment only, so that none takes all slots.
func (w *deliverWorker) enter(ctx context.Context, r *run) error {
	patience := gatePatience
	if r.Lane == LaneBulk {
		patience = 0
	}

	started, err := w.lanes.gate.enter(ctx, r.EndpointID, int(r.MaxInFlight), patience)
	switch {
	case ctx.Err() != nil && err != nil:
		return w.interrupted(ctx, r.job)
	case err != nil:
		return w.setAside(ctx, r, &sign{reason: err.Error()})
	}

	return w.attempt(ctx, r, func(d time.Duration) int { return w.lanes.gate.leave(r.EndpointID, started, d) })
}

// settle ends the delivery without a request.
func (w *deliverWorker) settle(ctx context.Context, r *run, state db.DeliveryState, reason string) error {
	rec := r.record(w.clock.Now())
	rec.state, rec.reason = state, reason
	return w.save(ctx, rec)
}

// setAside moves the job to its endpoint's queue, where the pacer, or the change that ends the pause, finds it. That
// takes no attempt number.
func (w *deliverWorker) setAside(ctx context.Context, r *run, s *sign) error {
	if r.job.Queue == QueueDeliverBulk && r.Status == db.EndpointStatusEnabled && r.Lane != LaneBulk {
		w.yield.turn(time.Now(), false)
	}

	moved, err := w.lanes.setAside(ctx, r, s)
	switch {
	case err != nil:
		w.cfg.calm.LogAttrs(ctx, slog.LevelWarn, "setting a delivery aside", r.attrs(slog.Any("error", err))...)
		return w.giveBack(ctx, r.job, troubleDelay+rand.N(troubleDelay))
	case !moved:
		// The endpoint was enabled, or its lane closed, at this very moment.
		return w.giveBack(ctx, r.job, handOverDelay)
	}

	r.job.Args.next = w.clock.Now().Add(handOverDelay)
	w.ended.add(r.job.ID)
	return errGivenBack
}

// attempt sends the request and records its outcome. leave is told how long the request took and returns how many of
// the endpoint's were slow in a row.
func (w *deliverWorker) attempt(ctx context.Context, r *run, leave func(time.Duration) int) error {
	if r.job.Queue == QueueDeliverBulk {
		w.yield.turn(time.Now(), true)
	}

	startedAt := w.clock.Now()
	body := []byte(r.Payload)
	header, err := w.sign(r, body, startedAt)
	if err != nil {
		leave(0)
		w.cfg.calm.LogAttrs(ctx, slog.LevelError, "signing a delivery", r.attrs(slog.Any("error", err))...)
		return w.giveBack(ctx, r.job, unsignedDelay+rand.N(unsignedDelay))
	}

	span := w.startSpan(ctx, r, header)
	res := w.cfg.Egress.Post(ctx, egress.Request{
		URL: r.URL, Header: header, Body: body, Timeout: time.Duration(r.TimeoutMS) * time.Millisecond,
	})
	endSpan(span, res)

	inARow := leave(res.Duration)
	if res.Outcome == egress.Unknown && !res.Sent {
		w.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "a request did not leave", r.attrs(slog.String("error", res.Error))...)
		return w.interrupted(ctx, r.job)
	}

	rec := r.record(w.clock.Now())
	rec.attempt = newAttempt(r, startedAt, header, res)
	w.metrics.attempt(res)
	w.judge(ctx, r, &rec, res)
	w.log(ctx, r, &rec, res)

	err = w.save(ctx, rec)
	w.lanes.judge(ctx, r, res, w.clock.Now(), inARow)
	if err != nil || rec.state != db.DeliveryStatePending {
		return err
	}

	r.job.Args.next = rec.at
	return fmt.Errorf("attempt %d: %s", r.number, summary(res))
}

// judge decides what the outcome means for the delivery.
func (w *deliverWorker) judge(ctx context.Context, r *run, rec *record, res egress.Result) {
	switch {
	case res.Outcome == egress.Succeeded:
		rec.state = db.DeliveryStateSucceeded
	case res.Outcome == egress.Unknown && errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		rec.state, rec.reason = db.DeliveryStateCancelled, ReasonOperator
	case res.Outcome == egress.Unknown:
		// Our stop cut it. It may have arrived, so it uses up no delay and is tried again at once.
		rec.state = db.DeliveryStatePending
	case res.StatusCode == statusGone:
		rec.state, rec.reason, rec.failed, rec.gone = db.DeliveryStateFailed, ReasonGone, true, true
	default:
		rec.failed = true
		failures := int(r.TryCount) + 1
		if r.reopened {
			failures = 1
		}

		delay, ok := w.schedule(r).Delay(failures)
		if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable {
			delay = max(delay, retryAfter(res.RetryAfter, rec.at, w.cfg.MaxRetryAfter))
		}

		if !ok {
			rec.state, rec.reason = db.DeliveryStateFailed, ReasonExhausted
			return
		}

		rec.state, rec.at = db.DeliveryStatePending, rec.at.Add(delay)
	}
}

func (w *deliverWorker) schedule(r *run) Schedule {
	switch {
	case r.Type == TestEventType:
		return nil
	case r.RetrySchedule != nil:
		return ScheduleFromSeconds(r.RetrySchedule)
	}
	return w.cfg.Schedule
}

// save records and logs what could not be recorded. What is not recorded when the process gives up becomes an unknown
// attempt of a later run.
func (w *deliverWorker) save(ctx context.Context, rec record) error {
	err := w.recorder.save(ctx, rec)
	switch {
	case err == nil:
		w.metrics.recorded(&rec)
		if rec.state != db.DeliveryStatePending {
			w.ended.add(rec.jobID)
		}
		return nil

	case refused(err):
		w.cfg.Logger.ErrorContext(ctx, "dropping an outcome that can't be recorded",
			slog.String("event_id", rec.eventID.String()),
			slog.String("endpoint_id", rec.endpointID.String()),
			slog.Any("error", err))
		return nil
	}

	return err
}

// log writes a line for an attempt: a success only with debug, since delivery_attempts has them all.
func (w *deliverWorker) log(ctx context.Context, r *run, rec *record, res egress.Result) {
	level := slog.LevelInfo
	if res.Outcome == egress.Succeeded {
		level = slog.LevelDebug
	}
	if !w.cfg.Logger.Enabled(ctx, level) {
		return
	}

	attrs := r.attrs(
		slog.String("tenant_id", r.TenantID),
		slog.String("outcome", string(res.Outcome)),
		slog.Int("status_code", res.StatusCode),
		slog.Duration("duration", res.Duration),
		slog.String("state", string(rec.state)),
	)
	if res.Error != "" {
		attrs = append(attrs, slog.String("error", res.Error))
	}

	w.cfg.Logger.LogAttrs(ctx, level, "attempt", attrs...)
}

// NextRetry returns when the job runs again. River calls it after Work with the same job, or, when it rescues the job
// of a dead worker, with a fresh one: that one runs again at once.
func (w *deliverWorker) NextRetry(job *river.Job[DeliverArgs]) time.Time {
	now := w.clock.Now()
	switch {
	case !job.Args.next.IsZero() && job.Args.next.After(now):
		return job.Args.next
	case !job.Args.next.IsZero():
		return now.Add(time.Millisecond) // River takes a time in the past for a mistake
	case job.AttemptedAt != nil && now.Sub(*job.AttemptedAt) > jobTimeout+rescueSlack:
		return now.Add(time.Millisecond)
	}

	return now.Add(panicDelay)
}

func (r *run) record(at time.Time) record {
	return record{
		eventID: r.EventID, endpointID: r.EndpointID, jobID: r.job.ID, number: r.number,
		jobAttempt: int32(r.job.Attempt), //nolint:gosec // at most 1000
		reopened:   r.reopened, gap: r.number-1 > r.AttemptCount, probe: r.job.Args.Probe, at: at,
	}
}

func (r *run) attrs(more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("event_id", r.EventID.String()),
		slog.String("endpoint_id", r.EndpointID.String()),
		slog.Int("attempt", int(r.number)),
	}, more...)
}

// interrupted ends a run that our own side ended before anything left.
func (w *deliverWorker) interrupted(ctx context.Context, job *river.Job[DeliverArgs]) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, rivertype.ErrJobCancelledRemotely):
		return cause
	case cause == nil || errors.Is(cause, context.DeadlineExceeded):
		return w.giveBack(ctx, job, troubleDelay+rand.N(troubleDelay))
	}

	return w.giveBack(ctx, job, handOverDelay)
}

// giveBack ends a run of which nothing left: its job waits for delay and its number is free again. A run that is no
// longer the job's current one changes nothing. It goes on until the database has heard it or the process
// gives up; then the number is an unknown attempt. No snooze of River's: its completer gives a number back
// whoever has it by then.
func (w *deliverWorker) giveBack(ctx context.Context, job *river.Job[DeliverArgs], delay time.Duration) error {
	ctx = context.WithoutCancel(ctx)
	jobAttempt := int32(job.Attempt) //nolint:gosec // at most 1000
	w.metrics.givenBack.Inc()

	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		tryCtx, cancel := context.WithTimeout(ctx, loadTimeout)
		_, err := db.New().GiveBackJob(tryCtx, w.cfg.Pool, delay.Seconds(), job.ID, jobAttempt)
		cancel()

		// Should the job be running again when River hears of the error, it is only brought forward.
		job.Args.next = w.clock.Now().Add(delay)
		if err == nil {
			w.ended.add(job.ID)
			return errGivenBack
		}

		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		case <-w.done:
			return fmt.Errorf("giving a run back: %w", err)
		}
	}
}

// summary is the error that River stores with the job: short, without anything of the answer.
func summary(res egress.Result) string {
	if res.StatusCode != 0 {
		return fmt.Sprintf("%s with status %d", res.Outcome, res.StatusCode)
	}
	return string(res.Outcome)
}
