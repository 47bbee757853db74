package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/lane"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/line"
	"github.com/outhook/outhook/jobs/presence"
	"github.com/outhook/outhook/jobs/rollup"
)

const (
	// maxDeaths is how many workers in a row may die while they send a delivery before it is given up: a payload must
	// not be able to crash workers for ever.
	maxDeaths = 10

	// unsignedDelay is what ledger.TroubleDelay is, for a secret that can't be decrypted, which is mended by people.
	unsignedDelay = 10 * time.Second

	// handOverDelay is how long the job of a run that a stop ended waits, so that the worker that stops does not fetch it
	// once more itself.
	handOverDelay = time.Second

	// panicDelay is the wait after a run that panicked.
	panicDelay = time.Minute
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
	presence *presence.Lease
	lanes    *lane.Keeper
	runs     *presence.Runs
	returns  *returns
	lines    *lines
	order    *line.Keeper
	done     <-chan struct{} // closed when the process gives up on what it could not tell the database
	metrics  *meters
	tracer   trace.Tracer // nil: no spans
	bulk     *lane.BulkLimiter
}

// Parts are what a worker works with. All are required but Metrics.
type Parts struct {
	Pool     *pgxpool.Pool
	Clock    *dbclock.Clock
	Presence *presence.Lease
	Runs     *presence.Runs
	Lanes    *lane.Keeper
	Bulk     *lane.BulkLimiter
	Tracker  *health.Tracker
	Rollups  *rollup.Counter
	Logger   *slog.Logger
	Calm     *slog.Logger    // Logger, for trouble that may come with each group or run
	Done     <-chan struct{} // closed when the process gives up on what it could not tell the database
	Metrics  prometheus.Registerer
	Order    *line.Keeper
}

// NewWorker returns a worker that works nothing before UsePool.
func NewWorker(cfg Config, p Parts) *Worker {
	return &Worker{
		cfg: cfg, pool: p.Pool, logger: p.Logger, calm: p.Calm, clock: p.Clock,
		loader: newLoader(p), recorder: newRecorder(cfg, p), presence: p.Presence, lanes: p.Lanes, done: p.Done,
		metrics: newMeters(p.Metrics), tracer: newTracer(cfg.Tracing), bulk: p.Bulk,
		runs: p.Runs, returns: newReturns(p), lines: newLines(p.Logger), order: p.Order,
	}
}

// UsePool makes the loader and the recorder work with a pool. Call it before the first run.
func (w *Worker) UsePool(pool *pgxpool.Pool) { w.loader.pool, w.recorder.pool = pool, pool }

// UnderWay returns how many runs have begun and not ended.
func (w *Worker) UnderWay() int { return w.runs.Len() }

// Work runs a delivery once. It always returns nil: whichever way the run went, it has ended in the database, unless
// the process gives up on what it could not tell it; then others take it for a dead worker's.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	r := newRun(job)
	defer w.panicked(ctx, r)
	w.work(ctx, r)
	return nil
}

func (w *Worker) work(ctx context.Context, r *run) {
	if !w.presence.Held() {
		// Others may take this process for dead.
		w.giveBack(ctx, r, causeLease, nil, ledger.TroubleWait())
		return
	}

	args := r.job.Args
	d, err := w.loader.load(ctx, loadKey{args.EventID, args.EndpointID, r.job.ID})
	if d != nil {
		r.own(d)
	}

	switch {
	case ctx.Err() != nil:
		w.interrupted(ctx, r)
	case err != nil:
		w.giveBack(ctx, r, causeLoad, err, ledger.TroubleWait())
	case d == nil || d.JobID != r.job.ID:
		// The delivery is gone, or was replayed since with a job of its own.
		w.endJob(ctx, r, "")
	case !r.current():
		// The job was rescued or cancelled while this run was held up. Its number was not used.
		w.giveBack(ctx, r, causeOvertook, nil, 0)
	default:
		w.obey(ctx, r)
	}
}

// obey does what the endpoint's status and the delivery's history ask for.
func (w *Worker) obey(ctx context.Context, r *run) {
	switch {
	case r.Deleted:
		w.settle(ctx, r, db.DeliveryStateCancelled, ledger.ReasonEndpointDeleted)
	case r.Status == db.EndpointStatusDisabled && !r.job.Args.Probe:
		w.settle(ctx, r, db.DeliveryStateCancelled, ledger.ReasonEndpointDisabled)
	case r.Withdrawn:
		w.settle(ctx, r, db.DeliveryStateCancelled, ledger.ReasonWithdrawn)
	case r.Payload == "":
		// A replay was ordered at the moment at which the payload was erased.
		w.settle(ctx, r, db.DeliveryStateCancelled, ledger.ReasonPayloadGone)
	case r.depth > ledger.MaxDepth:
		w.settle(ctx, r, db.DeliveryStateFailed, ledger.ReasonLoop)
	case r.paused():
		w.setAside(ctx, r)
	case r.metadata.Begun >= maxDeaths:
		w.settle(ctx, r, db.DeliveryStateFailed, ledger.ReasonWorkerDied)
	case r.job.Args.Probe:
		w.enter(ctx, r) // nothing else of a disabled endpoint's is under way, whatever its lane
	case !r.home():
		w.setAside(ctx, r)
	case r.Lane == ledger.LaneSlow || r.Lane == ledger.LaneLimited:
		w.approach(ctx, r, func(d time.Duration) int { return w.lanes.Gate.Pass(r.EndpointID, d) }, func() {})
	default:
		w.enter(ctx, r)
	}
}

// enter waits for the endpoint's other requests of this process, a moment only, so that none takes all slots.
func (w *Worker) enter(ctx context.Context, r *run) {
	patience := lane.Patience
	if r.Lane == ledger.LaneBulk {
		patience = 0
	}

	started, err := w.lanes.Gate.Enter(ctx, r.EndpointID, int(r.MaxInFlight), patience)
	switch {
	case ctx.Err() != nil && err != nil:
		w.interrupted(ctx, r)
	case err != nil:
		w.note(ctx, r, w.lanes.NoteBusy(ctx, r.EndpointID, err.Error()))
		w.setAside(ctx, r)
	default:
		w.approach(ctx, r,
			func(d time.Duration) int { return w.lanes.Gate.Leave(r.EndpointID, started, d) },
			func() { w.lanes.Gate.Forgo(r.EndpointID, started) })
	}
}

// approach makes the attempt if one more request of the tenant to the endpoint's host may be under way, and else sets
// the run aside for a while. That takes no attempt number. forgo is called instead of leave if no attempt is made.
func (w *Worker) approach(ctx context.Context, r *run, leave func(time.Duration) int, forgo func()) {
	site := lane.Site{TenantID: r.TenantID, Host: w.cfg.Egress.Host(r.URL)}
	hold, err := w.lanes.Hosts.Enter(ctx, site, w.lanes.Gate.Quick(r.EndpointID))

	switch {
	case err != nil:
		forgo()
		w.interrupted(ctx, r)
	case hold > 0:
		forgo()
		w.crowded(ctx, r, hold)
	default:
		w.attempt(ctx, r, func(d time.Duration) int {
			w.lanes.Hosts.Leave(site, d)
			return leave(d)
		})
	}
}

// crowded sets a run aside whose tenant has as many requests to the host as it may.
func (w *Worker) crowded(ctx context.Context, r *run, hold time.Duration) {
	w.metrics.crowded.Inc()
	w.calm.LogAttrs(ctx, slog.LevelInfo, "a tenant has as many requests to one host as it may",
		r.attrs(slog.String(logthrottle.Cause, "host"), slog.String("receiver_host", ledger.HostOf(r.URL)))...)

	rec := r.record(back, w.clock.Now().Add(hold))
	w.save(ctx, &rec)
}

// setAside moves the job to its endpoint's queue, where the pacer finds it. That takes no attempt number.
func (w *Worker) setAside(ctx context.Context, r *run) {
	if r.burst() && !r.paused() && r.Lane != ledger.LaneBulk {
		w.bulk.Turn(time.Now(), false)
	}

	rec := r.record(aside, w.clock.Now())
	w.save(ctx, &rec)
}

// note logs that the database was not told that an endpoint is slow.
func (w *Worker) note(ctx context.Context, r *run, err error) {
	if err != nil {
		w.calm.LogAttrs(ctx, slog.LevelWarn, "noting that an endpoint is slow", r.attrs(slog.Any("error", err))...)
	}
}

// attempt sends the request and records its outcome. leave is told how long the request took and returns how many of
// the endpoint's were slow in a row.
func (w *Worker) attempt(ctx context.Context, r *run, leave func(time.Duration) int) {
	res, rec := w.send(ctx, r)
	inARow := leave(res.Duration)
	if rec == nil {
		return
	}

	w.metrics.attempt(res)
	w.judge(r, rec, res)
	w.lines.write(ctx, r, rec, res)
	w.save(ctx, rec)
	w.follow(ctx, rec)
	w.note(ctx, r, w.lanes.NoteSignal(ctx, r.EndpointID, r.Lane, res, w.clock.Now(), inARow))
}

// send makes the request. It returns no record if none left: then the run is over.
func (w *Worker) send(ctx context.Context, r *run) (res egress.Result, rec *record) {
	startedAt := w.clock.Now()
	body := []byte(r.Payload)
	header, err := w.sign(r, body, startedAt)
	if err != nil {
		w.giveBack(ctx, r, causeSecret, err, unsignedDelay+rand.N(unsignedDelay))
		return res, nil
	}
	if !w.begin(ctx, r) {
		return res, nil
	}

	if r.burst() {
		w.bulk.Turn(time.Now(), true)
	}

	span := w.startSpan(ctx, r, header)
	r.sent = true
	res = w.cfg.Egress.Post(ctx, egress.Request{
		URL: r.URL, Header: header, Body: body, Tenant: r.TenantID, Timeout: time.Duration(r.TimeoutMS) * time.Millisecond,
		Conceal: r.credentials.conceal.Answer(header.Get(signature.HeaderSignature)),
	})
	endSpan(span, res)

	if res.Outcome == egress.Unknown && !res.Sent {
		r.sent = false
		w.notLeft(ctx, r, res)
		w.interrupted(ctx, r)
		return res, nil
	}

	ended := r.record(done, w.clock.Now())
	ended.attempt = newAttempt(r, startedAt, header, res)
	return res, &ended
}

// notLeft logs why a request did not leave. Nothing is counted against its endpoint.
func (w *Worker) notLeft(ctx context.Context, r *run, res egress.Result) {
	if trouble := w.cfg.Egress.Trouble(); trouble != "" {
		w.calm.WarnContext(ctx, "this machine keeps requests from leaving", slog.String("trouble", trouble))
		return
	}
	w.logger.LogAttrs(ctx, slog.LevelDebug, "a request did not leave", r.attrs(slog.String("error", res.Error))...)
}

// begin tells whether the request may leave: not if others may take this process for dead, which was frozen since it
// asked last. A delivery that has brought workers down before is noted first, so that it alone is charged with that.
func (w *Worker) begin(ctx context.Context, r *run) bool {
	if !w.presence.Held() {
		w.giveBack(ctx, r, causeLease, nil, ledger.TroubleWait())
		return false
	}
	if r.metadata.Rescues == 0 {
		return true
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	n, err := db.New().MarkBegun(ctx, w.pool, r.job.ID, r.JobAttempt, r.job.AttemptedAt)
	switch {
	case err != nil:
		w.giveBack(ctx, r, causeMark, err, ledger.TroubleWait())
	case n == 0:
		w.giveBack(ctx, r, causeOvertook, nil, ledger.TroubleWait())
	}
	return err == nil && n > 0
}

// judge decides what the outcome means for the delivery.
func (w *Worker) judge(r *run, rec *record, res egress.Result) {
	switch {
	case res.Outcome == egress.Succeeded:
		rec.state = db.DeliveryStateSucceeded
	case res.Outcome == egress.Unknown:
		// Our stop cut it. It may have arrived, so it uses up no delay and is tried again at once.
		rec.ending = wait
	case res.StatusCode == http.StatusGone:
		rec.state, rec.reason, rec.failed = db.DeliveryStateFailed, ledger.ReasonGone, true
		rec.disable = "gone: it answered 410"
	case res.StatusCode == http.StatusLoopDetected && res.Header.Get(ledger.HeaderLoop) != "":
		rec.state, rec.reason, rec.failed = db.DeliveryStateFailed, ledger.ReasonLoop, true
		rec.disable = "loop: it leads to an API of Outhook"
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
			break
		}
		// On top of Retry-After too: it may have told many the same time. Nor is it early by a clock that is known badly.
		rec.ending, rec.at = wait, rec.at.Add(w.clock.Error()+w.jitter(r).Lengthen(delay))
	}

	if rec.state != db.DeliveryStateSucceeded {
		rec.jobError = fmt.Sprintf("attempt %d: %s", r.number, summary(res))
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

func (w *Worker) jitter(r *run) retry.Jitter {
	if r.RetryJitter != nil {
		return retry.Jitter(*r.RetryJitter)
	}
	return w.cfg.Jitter
}

// save ends a run in the database and logs what it refuses. What could not be recorded when the process gives up
// becomes an unknown attempt of a later run. What is next in the delivery's line follows.
func (w *Worker) save(ctx context.Context, rec *record) {
	err := w.order.Settle(ctx, rec.inLine, func() error { return w.recorder.save(ctx, rec) })
	switch {
	case err == nil:
		w.metrics.recorded(rec)
	case refused(err):
		w.calm.ErrorContext(ctx, "dropping an outcome that can't be recorded",
			slog.String("event_id", rec.eventID.String()),
			slog.String("endpoint_id", rec.endpointID.String()),
			slog.Any("error", err))
	}
}

// summary is the error that River stores with the job: short, without anything of the answer.
func summary(res egress.Result) string {
	if res.StatusCode != 0 {
		return fmt.Sprintf("%s with status %d", res.Outcome, res.StatusCode)
	}
	return string(res.Outcome)
}
