package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/lane"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/presence"
)

const (
	// maxDeaths is how many workers in a row may die while they work a delivery before it is given up: a payload must
	// not be able to crash workers for ever.
	maxDeaths = 10

	// unsignedDelay is what ledger.TroubleDelay is, for a secret that can't be decrypted, which is mended by people.
	unsignedDelay = 10 * time.Second

	// handOverDelay is how long the job of a run that a stop ended waits, so that the worker that stops does not fetch it
	// once more itself.
	handOverDelay = time.Second
)

// Worker works one delivery per job: load, send, record.
type Worker struct {
	river.WorkerDefaults[Args]

	cfg      Config
	pool     *pgxpool.Pool
	logger   *slog.Logger
	calm     *slog.Logger
	clock    *dbclock.Clock
	loader   *loader
	recorder *recorder
	presence *presence.Lock
	lanes    *lane.Keeper
	finished *Finished
	inFlight atomic.Int64    // runs between load and record
	done     <-chan struct{} // closed when the process gives up on what it could not tell the database
	metrics  *meters
	tracer   trace.Tracer // nil: no spans
	bulk     *lane.BulkLimiter
}

// Parts are what a worker works with. All are required but Metrics.
type Parts struct {
	Pool     *pgxpool.Pool
	Clock    *dbclock.Clock
	Presence *presence.Lock
	Lanes    *lane.Keeper
	Bulk     *lane.BulkLimiter
	Tracker  *health.Tracker
	Logger   *slog.Logger
	Calm     *slog.Logger    // Logger, for trouble that may come with each group or run
	Done     <-chan struct{} // closed when the process gives up on what it could not tell the database
	Metrics  prometheus.Registerer
}

// NewWorker returns a worker that works nothing before UsePool.
func NewWorker(cfg Config, p Parts) *Worker {
	return &Worker{
		cfg: cfg, pool: p.Pool, logger: p.Logger, calm: p.Calm, clock: p.Clock,
		loader: newLoader(p), recorder: newRecorder(cfg, p), presence: p.Presence, lanes: p.Lanes, finished: NewFinished(),
		done: p.Done, metrics: newMeters(p.Metrics), tracer: newTracer(cfg.Tracing), bulk: p.Bulk,
	}
}

// UsePool makes the loader and the recorder work with a pool. Call it before the first run.
func (w *Worker) UsePool(pool *pgxpool.Pool) { w.loader.pool, w.recorder.pool = pool, pool }

// UnderWay returns how many runs have begun and not ended.
func (w *Worker) UnderWay() int { return int(w.inFlight.Load()) }

// Finished returns the runs that River is not to be told of.
func (w *Worker) Finished() *Finished { return w.finished }

// Work runs a delivery once. It returns nil when the job is settled, and an error when an attempt failed and another
// one follows, or when trouble of our own kept the request from leaving (that takes no attempt number).
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	w.inFlight.Add(1)
	defer w.inFlight.Add(-1)

	if !w.presence.Held() {
		// Others may take this process for dead.
		return w.giveBack(ctx, job, ledger.TroubleWait())
	}

	row, err := w.loader.load(ctx, loadKey{job.Args.EventID, job.Args.EndpointID, job.ID})
	switch {
	case ctx.Err() != nil:
		return w.interrupted(ctx, job)
	case err != nil:
		return w.giveBack(ctx, job, ledger.TroubleWait())
	case row == nil || row.JobID != job.ID:
		// The delivery is gone, or was replayed since with a job of its own.
		return nil
	case !row.JobRunning || int(row.JobAttempt) != job.Attempt:
		job.Args.next = w.clock.Now().Add(staleDelay)
		return errors.New("this run is over: the job was rescued while it was held up")
	}

	r := &run{delivery: row, job: job, number: int32(job.Attempt)} //nolint:gosec // at most 1000
	if job.Args.Base != nil {
		r.number += int32(*job.Args.Base) //nolint:gosec // an attempt number, an integer in the database
	}

	// Settling finishes the job in any live state, so only a person can have started it again.
	r.reopened = row.State != db.DeliveryStatePending
	return w.obey(ctx, r)
}

// obey does what the endpoint's status and the delivery's history ask for.
func (w *Worker) obey(ctx context.Context, r *run) error {
	switch {
	case r.Deleted:
		return w.settle(ctx, r, db.DeliveryStateCancelled, ledger.ReasonEndpointDeleted)
	case r.Status == db.EndpointStatusDisabled && !r.job.Args.Probe:
		return w.settle(ctx, r, db.DeliveryStateCancelled, ledger.ReasonEndpointDisabled)
	case r.Payload == "":
		// A replay was ordered at the moment at which the payload was erased.
		return w.settle(ctx, r, db.DeliveryStateCancelled, ledger.ReasonPayloadGone)
	case r.Status == db.EndpointStatusPaused:
		return w.setAside(ctx, r, nil)
	case r.number-1-r.AttemptCount >= maxDeaths:
		return w.settle(ctx, r, db.DeliveryStateFailed, ledger.ReasonWorkerDied)
	case r.job.Args.Probe:
		return w.enter(ctx, r) // nothing else of a disabled endpoint's is under way, whatever its lane
	case !r.home():
		return w.setAside(ctx, r, nil)
	case r.Lane == ledger.LaneSlow || r.Lane == ledger.LaneLimited:
		return w.attempt(ctx, r, func(d time.Duration) int { return w.lanes.Gate.Pass(r.EndpointID, d) })
	}

	return w.enter(ctx, r)
}

// enter waits for the endpoint's other requests of this process, a moment only, so that none takes all slots.
func (w *Worker) enter(ctx context.Context, r *run) error {
	patience := lane.Patience
	if r.Lane == ledger.LaneBulk {
		patience = 0
	}

	started, err := w.lanes.Gate.Enter(ctx, r.EndpointID, int(r.MaxInFlight), patience)
	switch {
	case ctx.Err() != nil && err != nil:
		return w.interrupted(ctx, r.job)
	case err != nil:
		return w.setAside(ctx, r, &lane.Signal{Reason: err.Error()})
	}

	return w.attempt(ctx, r, func(d time.Duration) int { return w.lanes.Gate.Leave(r.EndpointID, started, d) })
}

// settle ends the delivery without a request.
func (w *Worker) settle(ctx context.Context, r *run, state db.DeliveryState, reason string) error {
	rec := r.record(w.clock.Now())
	rec.state, rec.reason = state, reason
	return w.save(ctx, rec)
}

// setAside moves the job to its endpoint's queue, where the pacer, or the change that ends the pause, finds it. That
// takes no attempt number.
func (w *Worker) setAside(ctx context.Context, r *run, s *lane.Signal) error {
	if r.job.Queue == ledger.QueueDeliverBulk && r.Status == db.EndpointStatusEnabled && r.Lane != ledger.LaneBulk {
		w.bulk.Turn(time.Now(), false)
	}

	moved, err := w.lanes.SetAside(ctx, r.EndpointID, r.job.ID, r.JobAttempt, s)
	switch {
	case err != nil:
		w.calm.LogAttrs(ctx, slog.LevelWarn, "setting a delivery aside", r.attrs(slog.Any("error", err))...)
		return w.giveBack(ctx, r.job, ledger.TroubleWait())
	case !moved:
		// The endpoint was enabled, or its lane closed, at this very moment.
		return w.giveBack(ctx, r.job, handOverDelay)
	}

	r.job.Args.next = w.clock.Now().Add(handOverDelay)
	w.finished.add(r.job.ID)
	return errGivenBack
}

// attempt sends the request and records its outcome. leave is told how long the request took and returns how many of
// the endpoint's were slow in a row.
func (w *Worker) attempt(ctx context.Context, r *run, leave func(time.Duration) int) error {
	if r.job.Queue == ledger.QueueDeliverBulk {
		w.bulk.Turn(time.Now(), true)
	}

	startedAt := w.clock.Now()
	body := []byte(r.Payload)
	header, err := w.sign(r, body, startedAt)
	if err != nil {
		leave(0)
		w.calm.LogAttrs(ctx, slog.LevelError, "signing a delivery", r.attrs(slog.Any("error", err))...)
		return w.giveBack(ctx, r.job, unsignedDelay+rand.N(unsignedDelay))
	}

	span := w.startSpan(ctx, r, header)
	res := w.cfg.Egress.Post(ctx, egress.Request{
		URL: r.URL, Header: header, Body: body, Timeout: time.Duration(r.TimeoutMS) * time.Millisecond,
	})
	endSpan(span, res)

	inARow := leave(res.Duration)
	if res.Outcome == egress.Unknown && !res.Sent {
		w.logger.LogAttrs(ctx, slog.LevelDebug, "a request did not leave", r.attrs(slog.String("error", res.Error))...)
		return w.interrupted(ctx, r.job)
	}

	rec := r.record(w.clock.Now())
	rec.attempt = newAttempt(r, startedAt, header, res)
	w.metrics.attempt(res)
	w.judge(ctx, r, &rec, res)
	w.log(ctx, r, &rec, res)

	err = w.save(ctx, rec)
	if err := w.lanes.NoteSignal(ctx, r.EndpointID, r.Lane, res, w.clock.Now(), inARow); err != nil {
		w.logger.LogAttrs(ctx, slog.LevelWarn, "noting that an endpoint is slow", r.attrs(slog.Any("error", err))...)
	}
	if err != nil || rec.state != db.DeliveryStatePending {
		return err
	}

	r.job.Args.next = rec.at
	return fmt.Errorf("attempt %d: %s", r.number, summary(res))
}

// judge decides what the outcome means for the delivery.
func (w *Worker) judge(ctx context.Context, r *run, rec *record, res egress.Result) {
	switch {
	case res.Outcome == egress.Succeeded:
		rec.state = db.DeliveryStateSucceeded
	case res.Outcome == egress.Unknown && errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		rec.state, rec.reason = db.DeliveryStateCancelled, ledger.ReasonOperator
	case res.Outcome == egress.Unknown:
		// Our stop cut it. It may have arrived, so it uses up no delay and is tried again at once.
		rec.state = db.DeliveryStatePending
	case res.StatusCode == statusGone:
		rec.state, rec.reason, rec.failed, rec.gone = db.DeliveryStateFailed, ledger.ReasonGone, true, true
	default:
		rec.failed = true
		failures := int(r.TryCount) + 1
		if r.reopened {
			failures = 1
		}

		delay, ok := w.schedule(r).Delay(failures)
		if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable {
			delay = max(delay, retry.After(res.RetryAfter, rec.at, retry.MaxAfter))
		}

		if !ok {
			rec.state, rec.reason = db.DeliveryStateFailed, ledger.ReasonExhausted
			return
		}

		rec.state, rec.at = db.DeliveryStatePending, rec.at.Add(delay)
	}
}

func (w *Worker) schedule(r *run) retry.Schedule {
	switch {
	case r.Type == ledger.TestEventType:
		return nil
	case r.RetrySchedule != nil:
		return retry.FromSeconds(r.RetrySchedule)
	}
	return w.cfg.Schedule
}

// save records and logs what could not be recorded. What is not recorded when the process gives up becomes an unknown
// attempt of a later run.
func (w *Worker) save(ctx context.Context, rec record) error {
	err := w.recorder.save(ctx, rec)
	switch {
	case err == nil:
		w.metrics.recorded(&rec)
		if rec.state != db.DeliveryStatePending {
			w.finished.add(rec.jobID)
		}
		return nil

	case refused(err):
		w.logger.ErrorContext(ctx, "dropping an outcome that can't be recorded",
			slog.String("event_id", rec.eventID.String()),
			slog.String("endpoint_id", rec.endpointID.String()),
			slog.Any("error", err))
		return nil
	}

	return err
}

// log writes a line for an attempt: a success only with debug, since delivery_attempts has them all.
func (w *Worker) log(ctx context.Context, r *run, rec *record, res egress.Result) {
	level := slog.LevelInfo
	if res.Outcome == egress.Succeeded {
		level = slog.LevelDebug
	}
	if !w.logger.Enabled(ctx, level) {
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

	w.logger.LogAttrs(ctx, level, "attempt", attrs...)
}

// summary is the error that River stores with the job: short, without anything of the answer.
func summary(res egress.Result) string {
	if res.StatusCode != 0 {
		return fmt.Sprintf("%s with status %d", res.Outcome, res.StatusCode)
	}
	return string(res.Outcome)
}
