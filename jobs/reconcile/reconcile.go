package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/riverqueue/river"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/retention"
)

const (
	// interval is how often what must hold is checked.
	interval = time.Minute

	// budget is how long one run goes on examining, so that it takes at most a twentieth of one core. That is
	// about a million pending deliveries; the next run goes on where it stopped.
	budget = 3 * time.Second

	// repairChunk is how many deliveries are repaired in one transaction, so that no lock is held for long.
	repairChunk = 500
)

// Args are the arguments of a "reconcile" job, which repairs what must hold between deliveries, jobs and
// partitions: a stored format.
type Args struct{}

// Kind returns "reconcile".
func (Args) Kind() string { return "reconcile" }

// Worker repairs what it finds, every minute.
type Worker struct {
	river.WorkerDefaults[Args]

	cfg      retention.Config
	pool     *pgxpool.Pool
	logger   *slog.Logger
	repaired *prometheus.CounterVec

	at atomic.Pointer[position] // where the last run in this process stopped; nil is the beginning
}

// NewWorker returns a worker that keeps the partitions that cfg asks for.
func NewWorker(
	cfg retention.Config, pool *pgxpool.Pool, logger *slog.Logger, reg prometheus.Registerer,
) *Worker {
	repaired := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_reconciled_total", Help: "What the reconcile job found broken and repaired.",
	}, []string{"check"})
	for _, check := range checks() {
		if repairable(check) {
			repaired.WithLabelValues(check)
		}
	}
	return &Worker{cfg: cfg, pool: pool, logger: logger, repaired: repaired}
}

// Work repairs what it finds and logs one line if that is anything.
func (w *Worker) Work(ctx context.Context, _ *river.Job[Args]) error {
	r := &repair{
		pool: w.pool, owner: w.cfg.Owner(w.pool), ahead: w.cfg.PartitionsAhead,
		budget: budget, found: make(findings),
	}
	if at := w.at.Load(); at != nil {
		r.at = *at
	}

	err := r.run(ctx)
	w.at.Store(&r.at)

	// What was repaired counts also if the run ended with an error.
	for _, f := range r.found.list() {
		if repairable(f.Check) {
			w.repaired.WithLabelValues(f.Check).Add(float64(f.Count))
		}
	}
	logRepair(ctx, w.logger, r.found.list())

	if err != nil {
		w.logger.ErrorContext(ctx, "reconciling", slog.Any("error", err))
		return fmt.Errorf("reconciling: %w", err)
	}
	return nil
}

// logRepair logs the counts. jobs_of_settled_deliveries alone is no news: somebody has just pressed Retry.
func logRepair(ctx context.Context, logger *slog.Logger, list []Finding) {
	level := slog.LevelDebug
	attrs := make([]any, 0, len(list))
	for _, f := range list {
		if f.Count > 0 && f.Violation {
			level = slog.LevelWarn
		}
		attrs = append(attrs, slog.Int(f.Check, f.Count))
	}

	logger.Log(ctx, level, "reconciled", attrs...)
}

// Periodic runs the job when a process becomes leader and every minute. A failed run is not retried: the
// next one does the same.
func Periodic() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(interval), func() (river.JobArgs, *river.InsertOpts) {
		return Args{}, &river.InsertOpts{Queue: ledger.QueueMaintenance, MaxAttempts: 1}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}

// Repair repairs everything that Inspect finds, except what a person ordered, and returns what it repaired (and,
// with Violation false, what it left). It takes each delivery's lock, and leaves alone what somebody else is
// working on at this moment.
func Repair(ctx context.Context, pool *pgxpool.Pool) ([]Finding, error) {
	r := &repair{pool: pool, owner: pool, ahead: retention.MinPartitionsAhead, found: make(findings)}
	err := r.run(ctx)
	return r.found.list(), err
}

// repair is one run of reconcile.
type repair struct {
	pool   *pgxpool.Pool
	owner  *pgxpool.Pool // as the schema's owner
	ahead  int           // days of partitions
	budget time.Duration // 0: no limit
	at     position      // where to begin, and in the end where to go on
	found  findings
}

// run goes on after an error: a sequence that can't be set or a partition that can't be made must not keep deliveries
// from being repaired.
func (r *repair) run(ctx context.Context) error {
	return errors.Join(sequences(ctx, r.pool, r.found, true), r.backlog(ctx), r.lines(ctx), r.partitions(ctx))
}

// backlog repairs one window of pending deliveries or live jobs after the other.
func (r *repair) backlog(ctx context.Context) error {
	for began := time.Now(); ; {
		w, err := r.window(ctx)
		if err != nil {
			return err
		}

		r.at = w.next
		if !w.more || r.budget > 0 && time.Since(began) > r.budget {
			return nil
		}
	}
}

// window examines a window, and then repairs what is broken in it, piece by piece.
func (r *repair) window(ctx context.Context) (w windowOf, err error) {
	err = pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{BeginQuery: pg.BeginRepair}, func(tx pgx.Tx) (err error) {
		w, err = examine(ctx, tx, r.at)
		return err
	})
	if err != nil {
		return w, err
	}

	var strays []int64
	for i, problem := range w.strays.Problems {
		r.found.add(problem, strconv.FormatInt(w.strays.JobIDs[i], 10))
		if problem == checkStrayJob {
			strays = append(strays, w.strays.JobIDs[i])
		}
	}
	if len(strays) > 0 {
		if err := db.New().CancelStrayJobs(ctx, r.pool, strays); err != nil {
			return w, fmt.Errorf("cancelling %d stray jobs: %w", len(strays), err)
		}
	}

	for from := 0; from < len(w.broken.EventIDs); from += repairChunk {
		to := min(from+repairChunk, len(w.broken.EventIDs))
		err := r.deliveries(ctx, w.broken.EventIDs[from:to], w.broken.EndpointIDs[from:to])
		// A job that somebody holds is for a later run, and must not keep this one from the others.
		if err != nil && sqlstate.Of(err) != sqlstate.LockNotAvailable {
			return w, fmt.Errorf("repairing %d deliveries: %w", to-from, err)
		}
	}
	return w, nil
}

func (r *repair) deliveries(ctx context.Context, eventIDs, endpointIDs []uuid.UUID) error {
	var repaired []db.ClassifyDeliveriesRow
	err := pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{BeginQuery: pg.BeginRepair}, func(tx pgx.Tx) (err error) {
		repaired, err = repairDeliveries(ctx, tx, eventIDs, endpointIDs)
		return err
	})
	if err != nil {
		return err
	}

	for _, d := range repaired {
		r.found.add(d.Problem, d.EventID.String()+"/"+d.EndpointID.String())
	}
	return nil
}

// partitions makes the missing ones and finishes interrupted detaches.
func (r *repair) partitions(ctx context.Context) error {
	missing, err := retention.MissingPartitions(ctx, r.pool, min(r.ahead, retention.MinPartitionsAhead))
	if err != nil {
		return err
	}

	detaches, err := db.New().ListInterruptedDetaches(ctx, r.owner)
	if err != nil {
		return fmt.Errorf("listing interrupted detaches: %w", err)
	}
	for _, d := range detaches {
		done, err := retention.FinishDetach(ctx, r.owner, d.Parent, d.Name)
		if err != nil {
			return err
		}
		if done {
			r.found.add(checkDetaches, d.Name)
		}
	}

	if len(missing) == 0 {
		return nil
	}
	if _, err := retention.CreatePartitions(ctx, r.pool, r.ahead); err != nil {
		return err
	}

	for _, name := range missing {
		r.found.add(checkPartitions, name)
	}
	return nil
}

// repairDeliveries mends those of the given deliveries that are still broken once it holds their locks, and returns
// them. The order of locks is everybody's: deliveries, then jobs.
func repairDeliveries(
	ctx context.Context, tx pgx.Tx, eventIDs, endpointIDs []uuid.UUID,
) ([]db.ClassifyDeliveriesRow, error) {
	low, high := pg.Bounds(eventIDs)
	locked, err := db.New().LockPendingDeliveries(ctx, tx, db.LockPendingDeliveriesParams{
		EventIDs: eventIDs, EndpointIDs: endpointIDs, Low: low, High: high,
	})
	if err != nil || len(locked) == 0 {
		return nil, err
	}

	params := db.ClassifyDeliveriesParams{WorkedQueues: ledger.WorkedQueues(), Low: low, High: high}
	for _, d := range locked {
		params.EventIDs, params.EndpointIDs = append(params.EventIDs, d.EventID), append(params.EndpointIDs, d.EndpointID)
	}
	rows, err := db.New().ClassifyDeliveries(ctx, tx, params)
	if err != nil {
		return nil, err
	}

	var broken []db.ClassifyDeliveriesRow
	for _, row := range rows {
		if row.Problem != "" && row.Problem != checkIdleQueue {
			broken = append(broken, row)
		}
	}
	if len(broken) == 0 {
		return nil, nil
	}

	err = errors.Join(replaceJobs(ctx, tx, broken), cancelBroken(ctx, tx, broken))
	if err != nil {
		return nil, err
	}
	return broken, ledger.Notify(ctx, tx, ledger.QueueDeliver)
}

// replaceJobs gives new jobs to deliveries whose job is gone or has ended. A late run of the old job finds that it no
// longer owns the delivery.
func replaceJobs(ctx context.Context, tx pgx.Tx, broken []db.ClassifyDeliveriesRow) error {
	var p db.ReplaceJobsParams
	for _, d := range broken {
		if d.Problem != checkWithoutJob {
			continue
		}
		p.EventIDs, p.EndpointIDs = append(p.EventIDs, d.EventID), append(p.EndpointIDs, d.EndpointID)
		p.Bases, p.Replays = append(p.Bases, d.Number), append(p.Replays, d.Replay)
	}

	if len(p.EventIDs) == 0 {
		return nil
	}

	p.Low, p.High = pg.Bounds(p.EventIDs)
	if err := db.New().ReplaceJobs(ctx, tx, p); err != nil {
		return fmt.Errorf("replacing jobs: %w", err)
	}
	return nil
}

// cancelBroken cancels deliveries whose job River UI has cancelled, or whose event or endpoint somebody deleted by
// hand. A run that never reported gets its row in the log: nothing runs later that would find the gap.
func cancelBroken(ctx context.Context, tx pgx.Tx, broken []db.ClassifyDeliveriesRow) error {
	p := db.CancelDeliveriesParams{Reason: ledger.ReasonOperator}
	var gaps db.InsertUnknownAttemptsParams
	for _, d := range broken {
		if d.Problem != checkCancelledJob && d.Problem != checkWithoutEvent {
			continue
		}
		p.EventIDs, p.EndpointIDs = append(p.EventIDs, d.EventID), append(p.EndpointIDs, d.EndpointID)
		p.Numbers = append(p.Numbers, d.Number)
		gaps.Numbers, gaps.StartedAts = append(gaps.Numbers, d.Number+1), append(gaps.StartedAts, d.DatabaseTime)
	}

	if len(p.EventIDs) == 0 {
		return nil
	}

	p.Low, p.High = pg.Bounds(p.EventIDs)
	gaps.EventIDs, gaps.EndpointIDs, gaps.Low, gaps.High = p.EventIDs, p.EndpointIDs, p.Low, p.High
	if err := db.New().InsertUnknownAttempts(ctx, tx, gaps); err != nil {
		return fmt.Errorf("inserting unknown attempts: %w", err)
	}
	if err := db.New().CancelDeliveries(ctx, tx, p); err != nil {
		return fmt.Errorf("cancelling deliveries: %w", err)
	}
	return nil
}
