package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/time/rate"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/line"
	"github.com/outhook/outhook/jobs/rollup"
)

const (
	recordItems = 200

	// The wait between two tries to record grows from minBackoff to maxBackoff and is jittered down to its half.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// errLocked says that somebody has locked a run's delivery or job.
var errLocked = errors.New("the delivery or its job is locked by another transaction")

// ending is how a run ends, as SettleRuns has it.
type ending string

const (
	done  ending = "done"  // the delivery ends, or the job alone
	wait  ending = "wait"  // another attempt follows
	back  ending = "back"  // no request left; the job waits
	aside ending = "aside" // no request left; the job goes where its endpoint's jobs wait
)

// record is how one run ends, and what it found out about its delivery.
type record struct {
	ending      ending
	tenantID    string     // "" if the delivery was not loaded
	deliverAt   *time.Time // when its publisher wanted it to be delivered; nil: at once
	eventID     uuid.UUID
	endpointID  uuid.UUID
	jobID       int64
	jobAttempt  int32 // the run, as River counts it, and
	attemptedAt time.Time
	number      int32
	attempt     *attempt         // nil if no request left
	state       db.DeliveryState // the delivery's state from now on
	reason      string
	jobError    string    // for River UI
	failed      bool      // a known failure, which uses up one delay of the schedule
	reopened    bool      // the delivery was settled and a person ordered it again
	disable     string    // why the endpoint is to be disabled by what it answered, else ""
	probe       bool      // it was to find out whether a disabled endpoint works again
	drop        bool      // its job is not kept for River UI if this run is the last one
	died        bool      // the run panicked
	late        cause     // what gives it back, else "": the job notes that, and since when it is due
	uniqueKey   []byte    // the job's, by which it is in a line
	at          time.Time // when the job is due if it waits, else when the delivery was settled
}

// dueSince returns since when the delivery should be on its way: the latency counts from then.
func (r *record) dueSince() time.Time {
	if r.deliverAt != nil {
		return *r.deliverAt
	}
	return pg.IDTime(r.eventID)
}

// jobState is the state of the job of a run that is done.
func (r *record) jobState() string {
	switch {
	case r.state == db.DeliveryStateCancelled:
		return ledger.JobCancelled
	case r.state == db.DeliveryStateFailed || r.state == db.DeliveryStatePending && r.jobError != "":
		return "discarded"
	}
	return "completed"
}

func (r *record) inLine() line.End {
	return line.End{
		Key: line.KeyOf(r.uniqueKey), EventID: r.eventID, EndpointID: r.endpointID, At: r.at,
		Over:    r.ending == done || r.state == db.DeliveryStateCancelled,
		GivenUp: r.ending == done && (r.reason == ledger.ReasonExhausted || r.reason == ledger.ReasonWorkerDied),
	}
}

// attempt is one request that left, or that could not leave for a reason of the receiver's.
type attempt struct {
	startedAt       time.Time
	durationMS      int32         // below 0: unknown
	took            time.Duration // the same, exactly
	outcome         db.AttemptOutcome
	trigger         db.AttemptTrigger
	statusCode      int32
	error           string
	remoteAddr      string
	phases          egress.Phases
	requestHeaders  string // JSON
	responseHeaders string // JSON
	responseBody    string
	truncated       bool
}

// endedAt is when its outcome was known.
func (a *attempt) endedAt() time.Time {
	return a.startedAt.Add(time.Duration(a.durationMS) * time.Millisecond)
}

// texts returns the length of what came from outside.
func (a attempt) texts() int { return len(a.remoteAddr) + len(a.responseHeaders) + len(a.responseBody) }

// bare returns the attempt without what came from outside, for the case that the database refuses to store that.
func (a attempt) bare() *attempt {
	a.error, a.truncated = "unrecordable: the answer could not be stored", true
	a.remoteAddr, a.responseHeaders, a.responseBody = "", "", ""
	return &a
}

// recorder ends many runs in one transaction: attempt rows, deliveries and jobs.
type recorder struct {
	pool    *pgxpool.Pool
	logger  *slog.Logger
	tracker *health.Tracker
	rollups *rollup.Counter
	done    <-chan struct{} // closed when the process gives up on what is not recorded
	kept    *rate.Limiter   // of the jobs of succeeded deliveries that River UI shows
	group   *batch.Group[record, settled]
	metric  *metrics.Group
}

// settled is what became of a record.
type settled struct {
	ok        bool
	cancelled bool // instead of what was to come next, by an order in River UI
}

func newRecorder(cfg Config, p Parts) *recorder {
	r := &recorder{logger: p.Calm, tracker: p.Tracker, rollups: p.Rollups, done: p.Done}
	r.kept = rate.NewLimiter(rate.Limit(cfg.KeptJobRate), cfg.KeptJobRate)
	r.group = batch.New(batch.Config{MaxItems: recordItems, Parallel: 1, Split: refused}, size, r.run)
	r.metric = metrics.NewGroup(p.Metrics, "record", func() int { return r.group.Stats().Waiting })
	return r
}

// save returns when rec is committed. A known outcome is kept and tried again until then or until the process ends:
// the job's slot stays taken meanwhile, which holds back new work while the database is away. What somebody has
// locked waits alone.
func (r *recorder) save(ctx context.Context, rec *record) error {
	ctx = context.WithoutCancel(ctx)
	rec.drop = rec.state == db.DeliveryStateSucceeded && !r.kept.Allow()

	var refusal error
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		s, err := r.group.Do(ctx, *rec)
		switch {
		case err == nil && s.ok:
			if s.cancelled {
				rec.state, rec.reason = db.DeliveryStateCancelled, ledger.ReasonOperator
			}
			return refusal
		case err == nil:
			err = errLocked
		case refused(err) && rec.attempt != nil:
			if rec.attempt.texts() > 0 {
				rec.attempt = rec.attempt.bare()
				continue
			}
			// Only a partition that is gone is left: the retention has dropped this event, and its job ends.
			refusal = fmt.Errorf("recording attempt %d: %w", rec.number, err)
			rec.ending, rec.attempt, rec.number = done, nil, 0
			continue
		}

		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		case <-r.done:
			return fmt.Errorf("recording attempt %d: %w", rec.number, err)
		}
	}
}

// run ends a group's runs. A delivery's second one waits for another group, and so do those of more than a few days.
func (r *recorder) run(ctx context.Context, recs []record) ([]settled, error) {
	ctx, cancel := context.WithTimeout(ctx, ledger.RecordTimeout)
	defer cancel()

	began := time.Now()
	out := make([]settled, len(recs))
	err := r.commit(ctx, recs, byDay(recs, distinct(recs)), out)
	r.metric.Observe(len(recs), began, err)
	if err != nil {
		r.logger.WarnContext(ctx, "recording attempts", slog.Int("count", len(recs)), slog.Any("error", err))
		return nil, err
	}

	ended := make([]record, 0, len(recs))
	for i, s := range out {
		if s.ok {
			ended = append(ended, recs[i])
		}
		if s.cancelled {
			ended[len(ended)-1].ending, ended[len(ended)-1].state = done, db.DeliveryStateCancelled
		}
	}
	r.tracker.Observe(observations(ended))
	r.rollups.Observe(rollups(ended))
	return out, nil
}

// recordDays bounds the days of one transaction, each of which takes a dozen locks.
const recordDays = 3

// dayRuns are a group's runs whose events are of one day, by their place in the group.
type dayRuns struct {
	day   pg.Day
	runs  []int
	fails bool // a delivery fails, which is to be told of
}

// byDay returns the runs of the first few days among the chosen ones. Nearly always that is all of them.
func byDay(recs []record, chosen []int) []dayRuns {
	var days []dayRuns
	for _, i := range chosen {
		day := pg.DayOf(recs[i].eventID)
		at := slices.IndexFunc(days, func(d dayRuns) bool { return d.day == day })

		switch {
		case at < 0 && len(days) == recordDays:
			continue
		case at < 0:
			at, days = len(days), append(days, dayRuns{day: day})
		}

		days[at].runs = append(days[at].runs, i)
		days[at].fails = days[at].fails || recs[i].state == db.DeliveryStateFailed
	}
	return days
}

// commit ends the runs of some days, all or none of them, and writes into out what became of each: in one round trip,
// so that nobody who is frozen in the middle of it keeps anything locked, unless there is a second day, or are failed
// deliveries to tell of in the same transaction.
func (r *recorder) commit(ctx context.Context, recs []record, days []dayRuns, out []settled) error {
	if len(days) == 1 && !days[0].fails {
		return days[0].settle(ctx, r.pool, recs, out)
	}

	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		for _, d := range days {
			if err := d.settle(ctx, tx, recs, out); err != nil {
				return err
			}
			if err := d.tell(ctx, tx, recs); err != nil {
				return err
			}
		}
		return nil
	})
}

// settle ends the day's runs.
func (d dayRuns) settle(ctx context.Context, conn pg.Conn, recs []record, out []settled) error {
	var p db.SettleRunsParams
	for _, i := range d.runs {
		add(&p, &recs[i])
	}

	rows, err := db.New().SettleRuns(ctx, d.day.Of(conn), p)
	for _, row := range rows {
		out[d.runs[row.I-1]] = settled{ok: true, cancelled: row.Cancelled}
	}
	return err
}

// tell tells of the day's deliveries that have failed.
func (d dayRuns) tell(ctx context.Context, tx pgx.Tx, recs []record) error {
	if !d.fails {
		return nil
	}

	var eventIDs, endpointIDs []uuid.UUID
	var jobIDs []int64
	for _, i := range d.runs {
		if recs[i].state == db.DeliveryStateFailed {
			eventIDs, endpointIDs = append(eventIDs, recs[i].eventID), append(endpointIDs, recs[i].endpointID)
			jobIDs = append(jobIDs, recs[i].jobID)
		}
	}
	_, err := db.New().TellFailedDeliveries(ctx, tx, eventIDs, endpointIDs, jobIDs)
	return err
}

// observations returns what attempts tell of their endpoints. One whose outcome is unknown tells nothing.
func observations(recs []record) []health.Observation {
	list := make([]health.Observation, 0, len(recs))
	for _, rec := range recs {
		a := rec.attempt
		if a == nil || a.outcome == db.AttemptOutcomeUnknown {
			continue
		}
		list = append(list, health.Observation{
			EndpointID: rec.endpointID, At: a.endedAt(),
			Succeeded: a.outcome == db.AttemptOutcomeSucceeded, StatusCode: a.statusCode, Class: errorClass(a),
		})
	}
	return list
}

// rollups returns what runs add to what is counted.
func rollups(recs []record) []rollup.Observation {
	list := make([]rollup.Observation, 0, len(recs))
	for i := range recs {
		rec := &recs[i]
		if rec.tenantID == "" {
			continue
		}

		o := rollup.Observation{
			TenantID: rec.tenantID, EndpointID: rec.endpointID, At: rec.at, Duration: -1, Latency: -1,
			State: db.DeliveryStatePending,
		}
		if rec.ending == done {
			o.State = rec.state
		}
		if a := rec.attempt; a != nil {
			o.Outcome, o.At = a.outcome, a.endedAt()
			if a.durationMS >= 0 {
				o.Duration = a.took
			}
			if rec.number == 1 && a.trigger == db.AttemptTriggerScheduled && a.outcome != db.AttemptOutcomeUnknown {
				o.Latency = max(0, o.At.Sub(rec.dueSince()))
			}
		}
		list = append(list, o)
	}
	return list
}

// errorClass returns the class of an attempt's error, "" if an answer with a bad status came.
func errorClass(a *attempt) string {
	if a.outcome == db.AttemptOutcome(egress.Rejected) {
		return ""
	}
	class, _, _ := strings.Cut(a.error, ":")
	return class
}

// distinct returns the indexes of those records that are the first of their delivery: one statement must not meet the
// same row twice. Nearly always they are all.
func distinct(recs []record) []int {
	type key struct {
		eventID, endpointID uuid.UUID
		jobID               int64
	}
	seen := make(map[key]struct{}, len(recs))
	first := make([]int, 0, len(recs))

	for i := range recs {
		k := key{recs[i].eventID, recs[i].endpointID, 0}
		if k.eventID == uuid.Nil {
			k.jobID = recs[i].jobID
		}
		if _, ok := seen[k]; !ok {
			seen[k] = struct{}{}
			first = append(first, i)
		}
	}
	return first
}

// add appends a record to the statement's parameters.
func add(p *db.SettleRunsParams, rec *record) {
	a, failures := rec.attempt, int32(0)
	if rec.failed {
		failures = 1
	}

	p.EventIDs, p.EndpointIDs = append(p.EventIDs, rec.eventID), append(p.EndpointIDs, rec.endpointID)
	p.JobIDs, p.JobAttempts = append(p.JobIDs, rec.jobID), append(p.JobAttempts, rec.jobAttempt)
	p.AttemptedAts, p.Numbers = append(p.AttemptedAts, rec.attemptedAt), append(p.Numbers, rec.number)
	p.Endings, p.States = append(p.Endings, string(rec.ending)), append(p.States, string(rec.state))
	p.Reasons, p.EndedAs = append(p.Reasons, rec.reason), append(p.EndedAs, rec.jobState())
	p.Ats, p.Failures = append(p.Ats, rec.at), append(p.Failures, failures)
	p.Reopened, p.Dropped = append(p.Reopened, rec.reopened), append(p.Dropped, rec.drop)
	p.Died, p.Late = append(p.Died, rec.died), append(p.Late, string(rec.late))
	p.JobErrors = append(p.JobErrors, rec.jobError)

	if a == nil {
		a = &attempt{startedAt: rec.at} // the time of the unknown attempts before it
	}
	p.StatusCodes, p.StartedAts = append(p.StatusCodes, a.statusCode), append(p.StartedAts, a.startedAt)
	p.DurationsMS, p.Outcomes = append(p.DurationsMS, a.durationMS), append(p.Outcomes, string(a.outcome))
	p.Triggers, p.Errors = append(p.Triggers, string(a.trigger)), append(p.Errors, a.error)
	p.ResponsesTruncated = append(p.ResponsesTruncated, a.truncated)
	p.RemoteAddrs, p.RequestHeaders = append(p.RemoteAddrs, a.remoteAddr), append(p.RequestHeaders, a.requestHeaders)
	p.ResponseHeaders = append(p.ResponseHeaders, a.responseHeaders)
	p.ResponseBodies = append(p.ResponseBodies, a.responseBody)
	p.DNSUs, p.ConnectUs = append(p.DNSUs, micros(a.phases.LookUp)), append(p.ConnectUs, micros(a.phases.Connect))
	p.TLSUs = append(p.TLSUs, micros(a.phases.Handshake))
	p.FirstByteUs = append(p.FirstByteUs, micros(a.phases.FirstByte))
}

// micros returns how long a phase took as it is stored: 0 only if there was none.
func micros(d time.Duration) int32 {
	return int32((d + time.Microsecond - 1) / time.Microsecond) //nolint:gosec // at most some 30 s
}

// size returns about how many bytes a record takes in a statement.
func size(rec record) int {
	if rec.attempt == nil {
		return 200
	}
	return 300 + len(rec.attempt.responseBody) + len(rec.attempt.responseHeaders) + len(rec.attempt.requestHeaders)
}

// refused tells whether the database refused the data of a record, as opposed to being in trouble itself: class 22 is
// data exception, class 23 integrity constraint violation (a row without a partition is 23514).
func refused(err error) bool {
	class := sqlstate.Class(sqlstate.Of(err))
	return class == "22" || class == "23"
}
