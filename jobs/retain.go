package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
)

// retainInterval is how often partitions are looked after. One day's are made each day, with weeks to spare.
const retainInterval = time.Hour

// RetainArgs are the arguments of a "retain" job, which keeps the partitions of the log tables: a stored format.
type RetainArgs struct{}

// Kind returns "retain".
func (RetainArgs) Kind() string { return "retain" }

type retainWorker struct {
	river.WorkerDefaults[RetainArgs]

	cfg Config
}

// Work makes the partitions of the coming days.
func (w *retainWorker) Work(ctx context.Context, _ *river.Job[RetainArgs]) error {
	made, err := CreatePartitions(ctx, w.cfg.Pool, w.cfg.PartitionsAhead)
	if err != nil {
		w.cfg.Logger.ErrorContext(ctx, "creating partitions", slog.Any("error", err))
		return err
	}
	if made > 0 {
		w.cfg.Logger.InfoContext(ctx, "created partitions", slog.Int("count", made))
	}
	return nil
}

// NextRetry lets a failed run rest for a minute.
func (w *retainWorker) NextRetry(*river.Job[RetainArgs]) time.Time {
	return time.Now().Add(time.Minute)
}

// retainPeriodically runs the job when a process becomes leader and every hour.
func retainPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(retainInterval), func() (river.JobArgs, *river.InsertOpts) {
		return RetainArgs{}, &river.InsertOpts{Queue: queueMaintenance, MaxAttempts: 20}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}
