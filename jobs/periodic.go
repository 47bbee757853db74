package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/line"
	"github.com/outhook/outhook/jobs/operation"
	"github.com/outhook/outhook/jobs/rollup"
	"github.com/outhook/outhook/jobs/sample"
)

// tendInterval is how often what waits for its time is looked after.
const tendInterval = time.Minute

// TendArgs are the arguments of a "tend" job, which does what is due about endpoints and operations by the
// clock: a stored format.
type TendArgs struct{}

// Kind returns "tend".
func (TendArgs) Kind() string { return "tend" }

type tendWorker struct {
	river.WorkerDefaults[TendArgs]

	pool   *pgxpool.Pool
	logger *slog.Logger
	health *health.Keeper
	keep   time.Duration // how long ended operations, and lines with nothing in them, are kept
}

// Work revisits held states, begins the probes that are due, gives operations without a job one, forgets lines, counts
// the events of the last minute, and holds a sample of them against the catalogue.
func (w *tendWorker) Work(ctx context.Context, _ *river.Job[TendArgs]) error {
	err := errors.Join(
		w.health.Revisit(ctx), w.health.Probe(ctx), operation.Tend(ctx, w.pool, w.logger, w.keep),
		line.Forget(ctx, w.pool, w.keep), rollup.CountEvents(ctx, w.pool), sample.Events(ctx, w.pool))
	if err != nil {
		w.logger.ErrorContext(ctx, "tending", slog.Any("error", err))
	}
	return err
}

// tendPeriodically runs the job when a process becomes leader and every minute. A failed run is not retried: the
// next one does the same.
func tendPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(tendInterval), func() (river.JobArgs, *river.InsertOpts) {
		return TendArgs{}, &river.InsertOpts{Queue: ledger.QueueMaintenance, MaxAttempts: 1}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}
