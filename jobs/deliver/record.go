package deliver

import (
	"context"
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
)

const (
	recordItems = 200

	// The wait between two tries to record grows from minBackoff to maxBackoff and is jittered down to its half.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// record is what one run found out about its delivery.
type record struct {
	eventID    uuid.UUID
	endpointID uuid.UUID
	jobID      int64
	jobAttempt int32 // the run, as River counts it
	number     int32
	attempt    *attempt         // nil if no request left
	state      db.DeliveryState // the delivery's state from now on
	reason     string
	failed     bool      // a known failure, which uses up one delay of the schedule
	reopened   bool      // the delivery was settled and a person ordered it again
	gap        bool      // numbers below this one have no row
	gone       bool      // the endpoint answered 410 and is to be disabled
	probe      bool      // it was to find out whether a disabled endpoint works again
	drop       bool      // its job is not kept for River UI if this run is the last one
	repeated   bool      // an earlier try to record it failed, or its COMMIT did and nobody knows what became of it
	at         time.Time // when the next attempt is due if state is pending, else when the delivery was settled
}

// attempt is one request that left, or that could not leave for a reason of the receiver's.
type attempt struct {
	startedAt       time.Time
	durationMS      int32 // below 0: unknown
	outcome         db.AttemptOutcome
	trigger         db.AttemptTrigger
	statusCode      int32
	error           string
	remoteAddr      string
	requestHeaders  string // JSON
	responseHeaders string // JSON
	responseBody    string
	truncated       bool
}

// bare returns the attempt without what came from outside, for the case that the database refuses to store that.
func (a attempt) bare() *attempt {
	a.error, a.truncated = "unrecordable: the answer could not be stored", true
	a.remoteAddr, a.responseHeaders, a.responseBody = "", "", ""
	return &a
}

// recorder writes the outcomes of many runs in one transaction: attempt rows, deliveries and settled jobs.
type recorder struct {
	pool    *pgxpool.Pool
	logger  *slog.Logger
	tracker *health.Tracker
	done    <-chan struct{} // closed when the process gives up on what is not recorded
	kept    *rate.Limiter   // of the jobs of succeeded deliveries that River UI shows
	group   *batch.Group[record, struct{}]
	metric  *metrics.Group
}

func newRecorder(cfg Config, p Parts) *recorder {
	r := &recorder{logger: p.Calm, tracker: p.Tracker, done: p.Done}
	r.kept = rate.NewLimiter(rate.Limit(cfg.KeptJobRate), cfg.KeptJobRate)
	r.group = batch.New(batch.Config{MaxItems: recordItems, Parallel: 1, Split: refused}, size, r.run)
	r.metric = metrics.NewGroup(p.Metrics, "record", func() int { return r.group.Stats().Waiting })
	return r
}

// save returns when rec is committed. A known outcome is kept and tried again until then or until the process ends: the
// job's slot stays taken meanwhile, which holds back new work while the database is away.
func (r *recorder) save(ctx context.Context, rec record) error {
	ctx = context.WithoutCancel(ctx)
	rec.drop = rec.state == db.DeliveryStateSucceeded && !r.kept.Allow()

	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		_, err := r.group.Do(ctx, rec)
		switch {
		case err == nil:
			return nil
		case !refused(err):
			rec.repeated = true
		case rec.attempt != nil && rec.attempt.responseBody+rec.attempt.responseHeaders+rec.attempt.remoteAddr != "":
			rec.attempt = rec.attempt.bare()
			continue
		default:
			// Only a partition that is gone is left: the retention has dropped this event.
			return fmt.Errorf("recording attempt %d: %w", rec.number, err)
		}

		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		case <-r.done:
			return fmt.Errorf("recording attempt %d: %w", rec.number, err)
		}
	}
}

func (r *recorder) run(ctx context.Context, recs []record) ([]struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, ledger.RecordTimeout)
	defer cancel()

	began := time.Now()
	insert := insertNewAttempts
	if slices.ContainsFunc(recs, func(rec record) bool { return rec.repeated }) {
		insert = insertAttempts
	}

	err := r.commit(ctx, recs, insert)
	if sqlstate.Of(err) == sqlstate.UniqueViolation {
		// A run was taken for dead, and the one after it has filled its number.
		err = r.commit(ctx, recs, insertAttempts)
	}
	r.metric.Observe(len(recs), began, err)
	if err != nil {
		r.logger.WarnContext(ctx, "recording attempts", slog.Int("count", len(recs)), slog.Any("error", err))
		return nil, err
	}

	r.tracker.Observe(observations(recs))
	return make([]struct{}, len(recs)), nil
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
			EndpointID: rec.endpointID, At: a.startedAt.Add(time.Duration(a.durationMS) * time.Millisecond),
			Succeeded: a.outcome == db.AttemptOutcomeSucceeded, StatusCode: a.statusCode, Class: errorClass(a),
		})
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

// commit records in one transaction.
func (r *recorder) commit(ctx context.Context, recs []record, insert insertFunc) error {
	return pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{BeginQuery: pg.BeginByKey}, func(tx pgx.Tx) error {
		rest, err := unrecorded(ctx, tx, recs)
		if err != nil {
			return err
		}

		for len(rest) > 0 {
			var round []record
			round, rest = distinct(rest)
			if err := write(ctx, tx, round, insert); err != nil {
				return err
			}
		}
		return nil
	})
}

// unrecorded leaves out those that an earlier transaction has recorded whose COMMIT was not heard of: to
// record a failure twice would use up two delays of the schedule. All of a record is in one transaction, so
// its attempt stands for it.
func unrecorded(ctx context.Context, tx pgx.Tx, recs []record) ([]record, error) {
	var p db.ListRecordedAttemptsParams
	for _, rec := range recs {
		if rec.repeated && rec.attempt != nil {
			p.EventIDs, p.EndpointIDs = append(p.EventIDs, rec.eventID), append(p.EndpointIDs, rec.endpointID)
			p.Numbers = append(p.Numbers, rec.number)
		}
	}

	if len(p.Numbers) == 0 {
		return recs, nil
	}

	p.Low, p.High = pg.Bounds(p.EventIDs)
	q := db.New()

	// The COMMIT may be on its way still.
	lock := db.LockAttemptedDeliveriesParams{EventIDs: p.EventIDs, EndpointIDs: p.EndpointIDs, Low: p.Low, High: p.High}
	if err := q.LockAttemptedDeliveries(ctx, tx, lock); err != nil {
		return nil, fmt.Errorf("waiting for an earlier try: %w", err)
	}

	rows, err := q.ListRecordedAttempts(ctx, tx, p)
	if err != nil {
		return nil, fmt.Errorf("looking for recorded attempts: %w", err)
	}

	return slices.DeleteFunc(slices.Clone(recs), func(rec record) bool {
		row := db.ListRecordedAttemptsRow{EventID: rec.eventID, EndpointID: rec.endpointID, Number: rec.number}
		return rec.repeated && rec.attempt != nil && slices.Contains(rows, row)
	}), nil
}

// distinct splits recs into those that are the first of their delivery, and the rest: one UPDATE must not meet the same
// row twice. Nearly always there is no rest.
func distinct(recs []record) (first, rest []record) {
	type key struct{ eventID, endpointID uuid.UUID }
	seen := make(map[key]struct{}, len(recs))

	for _, rec := range recs {
		k := key{rec.eventID, rec.endpointID}
		if _, ok := seen[k]; ok {
			rest = append(rest, rec)
			continue
		}
		seen[k] = struct{}{}
		first = append(first, rec)
	}
	return first, rest
}

// write stores one round. The attempts come first: a number that is below its delivery's attempt_count afterwards has
// its row already.
func write(ctx context.Context, tx pgx.Tx, recs []record, insert insertFunc) error {
	q := db.New()
	if p := attemptParams(recs); len(p.Numbers) > 0 {
		if err := insert(ctx, tx, p); err != nil {
			return fmt.Errorf("inserting attempts: %w", err)
		}
	}
	if p := gapParams(recs); len(p.Numbers) > 0 {
		if err := q.InsertUnknownAttempts(ctx, tx, p); err != nil {
			return fmt.Errorf("inserting unknown attempts: %w", err)
		}
	}

	for _, rec := range recs {
		if rec.reopened {
			if err := q.ReopenDelivery(ctx, tx, rec.eventID, rec.endpointID, rec.jobID); err != nil {
				return fmt.Errorf("reopening a delivery: %w", err)
			}
		}
	}
	if err := q.RecordDeliveries(ctx, tx, deliveryParams(recs)); err != nil {
		return fmt.Errorf("updating deliveries: %w", err)
	}

	if err := endJobs(ctx, tx, recs); err != nil {
		return err
	}
	return tell(ctx, tx, recs)
}

// endJobs ends the jobs of settled deliveries. Those to be dropped that have had a later run are kept
// and ended with the others.
func endJobs(ctx context.Context, tx pgx.Tx, recs []record) error {
	q := db.New()
	toDrop := make(map[int32][]int64) // by run, nearly always the first
	for _, rec := range recs {
		if rec.drop {
			toDrop[rec.jobAttempt] = append(toDrop[rec.jobAttempt], rec.jobID)
		}
	}

	all := false
	for run, ids := range toDrop {
		dropped, err := q.DropJobs(ctx, tx, ids, run)
		if err != nil {
			return fmt.Errorf("dropping jobs: %w", err)
		}
		all = all || dropped < int64(len(ids))
	}

	for state, ids := range endedJobs(recs, all) {
		if err := q.FinishJobs(ctx, tx, state, ids); err != nil {
			return fmt.Errorf("finishing jobs: %w", err)
		}
	}
	return nil
}

// insertFunc inserts attempts.
type insertFunc func(context.Context, db.DBTX, db.InsertAttemptsParams) error

func insertAttempts(ctx context.Context, tx db.DBTX, p db.InsertAttemptsParams) error {
	return db.New().InsertAttempts(ctx, tx, p)
}

// insertNewAttempts fails if one of them is there already.
func insertNewAttempts(ctx context.Context, tx db.DBTX, p db.InsertAttemptsParams) error {
	return db.New().InsertNewAttempts(ctx, tx, db.InsertNewAttemptsParams(p))
}

func attemptParams(recs []record) (p db.InsertAttemptsParams) {
	for _, rec := range recs {
		a := rec.attempt
		if a == nil {
			continue
		}

		p.EventIDs = append(p.EventIDs, rec.eventID)
		p.EndpointIDs = append(p.EndpointIDs, rec.endpointID)
		p.Numbers = append(p.Numbers, rec.number)

		p.StatusCodes = append(p.StatusCodes, a.statusCode)
		p.StartedAts = append(p.StartedAts, a.startedAt)
		p.DurationsMS = append(p.DurationsMS, a.durationMS)
		p.Outcomes = append(p.Outcomes, string(a.outcome))
		p.Triggers = append(p.Triggers, string(a.trigger))
		p.ResponsesTruncated = append(p.ResponsesTruncated, a.truncated)
		p.Errors = append(p.Errors, a.error)
		p.RemoteAddrs = append(p.RemoteAddrs, a.remoteAddr)
		p.RequestHeaders = append(p.RequestHeaders, a.requestHeaders)
		p.ResponseHeaders = append(p.ResponseHeaders, a.responseHeaders)
		p.ResponseBodies = append(p.ResponseBodies, a.responseBody)
	}
	return p
}

func gapParams(recs []record) (p db.InsertUnknownAttemptsParams) {
	for _, rec := range recs {
		if !rec.gap {
			continue
		}

		p.EventIDs = append(p.EventIDs, rec.eventID)
		p.EndpointIDs = append(p.EndpointIDs, rec.endpointID)
		p.Numbers = append(p.Numbers, rec.number)
		p.StartedAts = append(p.StartedAts, rec.seenAt())
	}

	if len(p.EventIDs) > 0 {
		p.Low, p.High = pg.Bounds(p.EventIDs)
	}
	return p
}

// seenAt returns a time of this run for the rows of the runs before it, whose time nobody knows.
func (r record) seenAt() time.Time {
	if r.attempt != nil {
		return r.attempt.startedAt
	}
	return r.at
}

func deliveryParams(recs []record) (p db.RecordDeliveriesParams) {
	for _, rec := range recs {
		var failures int32
		if rec.failed {
			failures = 1
		}

		number := rec.number
		if rec.attempt == nil {
			number-- // this run has no row, only those before it
		}

		p.EventIDs = append(p.EventIDs, rec.eventID)
		p.EndpointIDs = append(p.EndpointIDs, rec.endpointID)
		p.JobIDs = append(p.JobIDs, rec.jobID)
		p.Numbers = append(p.Numbers, number)
		p.States = append(p.States, string(rec.state))
		p.Reasons = append(p.Reasons, rec.reason)
		p.Failures = append(p.Failures, failures)
		p.Ats = append(p.Ats, rec.at)
	}
	return p
}

// endedJobs returns, by how they end, the jobs that end with their delivery; all: also those that were to be dropped.
// The job of a pending one is River's to retry.
func endedJobs(recs []record, all bool) map[string][]int64 {
	byState := make(map[string][]int64)
	for _, rec := range recs {
		if rec.drop && !all {
			continue
		}

		var state string
		switch rec.state {
		case db.DeliveryStatePending:
			continue
		case db.DeliveryStateSucceeded:
			state = "completed"
		case db.DeliveryStateFailed:
			state = "discarded"
		case db.DeliveryStateCancelled:
			state = ledger.JobCancelled
		}

		byState[state] = append(byState[state], rec.jobID)
	}
	return byState
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
