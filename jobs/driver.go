package jobs

import (
	"context"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// driver is River's, but for the maintenance that compares times of the database with the process's own clock: River's
// rescuer would take a running delivery for a dead worker's if this process's clock were 2 minutes ahead.
type driver struct {
	*riverpgxv5.Driver

	clock *clock
}

// GetExecutor returns River's executor on the database's clock.
func (d *driver) GetExecutor() riverdriver.Executor {
	return &executor{Executor: d.Driver.GetExecutor(), clock: d.clock}
}

type executor struct {
	riverdriver.Executor

	clock *clock
}

// JobGetStuck returns the jobs that have been running for too long on the database's clock.
func (e *executor) JobGetStuck(ctx context.Context, params *riverdriver.JobGetStuckParams) ([]*rivertype.JobRow, error) {
	corrected := *params
	corrected.StuckHorizon = params.StuckHorizon.Add(e.clock.Offset())
	return e.Executor.JobGetStuck(ctx, &corrected)
}

// JobRescueMany rescues those of them that still are.
func (e *executor) JobRescueMany(ctx context.Context, params *riverdriver.JobRescueManyParams) (*struct{}, error) {
	corrected := *params
	corrected.StuckHorizon = params.StuckHorizon.Add(e.clock.Offset())
	return e.Executor.JobRescueMany(ctx, &corrected)
}

// JobDeleteBefore deletes the jobs that have been settled for long enough on the database's clock.
func (e *executor) JobDeleteBefore(ctx context.Context, params *riverdriver.JobDeleteBeforeParams) (int, error) {
	corrected, offset := *params, e.clock.Offset()
	corrected.CancelledFinalizedAtHorizon = params.CancelledFinalizedAtHorizon.Add(offset)
	corrected.CompletedFinalizedAtHorizon = params.CompletedFinalizedAtHorizon.Add(offset)
	corrected.DiscardedFinalizedAtHorizon = params.DiscardedFinalizedAtHorizon.Add(offset)
	return e.Executor.JobDeleteBefore(ctx, &corrected)
}
