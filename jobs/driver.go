package jobs

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/jobs/deliver"
	"github.com/outhook/outhook/jobs/lane"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/presence"
)

// driver is River's driver for pgx on the database's clock, with a bulk queue that yields to others (see
// lane.BulkLimiter), without the completion of runs that have ended in the database, and without River's scheduler.
//
// Its maintenance would compare times of the database with this process's own clock: its rescuer would take a running
// delivery for a dead worker's if that clock were 2 minutes ahead.
//
// The completer would match a run by its job's id alone, up to 50 ms late: it would take the job's next run, or a
// person's order of that time, for this one's end. And it would lock and log each row once more, 21 µs of Postgres for
// each delivery.
type driver struct {
	*riverpgxv5.Driver

	pool     *pgxpool.Pool
	clock    *dbclock.Clock
	runs     *presence.Runs
	bulk     *lane.BulkLimiter
	turns    *lane.Turns
	cooldown time.Duration // RiverConfig.FetchCooldown
	stopped  atomic.Bool   // it takes no more jobs
	own      *ownHints

	// The pool that keeps plans (see pg.NewFetchPool), and what River's own fetches go through on it; set before River
	// starts.
	fetchPool *pgxpool.Pool
	fetches   riverdriver.Executor
}

func newDriver(
	pool *pgxpool.Pool, c *dbclock.Clock, r *presence.Runs, b *lane.BulkLimiter, cooldown time.Duration,
) *driver {
	return &driver{
		Driver: riverpgxv5.New(pool), pool: pool, clock: c, runs: r, bulk: b, turns: lane.NewTurns(), cooldown: cooldown,
		own: &ownHints{},
	}
}

// useFetchPool makes fetches go by a pool.
func (d *driver) useFetchPool(pool *pgxpool.Pool) {
	d.fetchPool, d.fetches = pool, riverpgxv5.New(pool).GetExecutor()
}

// GetExecutor returns what River's client runs its statements with.
func (d *driver) GetExecutor() riverdriver.Executor {
	return &executor{Executor: d.Driver.GetExecutor(), driver: d}
}

// UnwrapExecutor returns what runs River's statements in a transaction of a caller's.
func (d *driver) UnwrapExecutor(tx pgx.Tx) riverdriver.ExecutorTx {
	return d.within(d.Driver.UnwrapExecutor(tx))
}

// UnwrapTx returns the transaction of what Begin or UnwrapExecutor has returned.
func (d *driver) UnwrapTx(tx riverdriver.ExecutorTx) pgx.Tx {
	if t, ok := tx.(*transaction); ok {
		tx = t.tx
	}
	return d.Driver.UnwrapTx(tx)
}

func (d *driver) within(tx riverdriver.ExecutorTx) *transaction {
	return &transaction{executor: executor{Executor: tx, driver: d}, tx: tx}
}

type executor struct {
	riverdriver.Executor

	driver *driver
}

// transaction does in a transaction what executor does outside: River's scheduler works in one.
type transaction struct {
	executor

	tx riverdriver.ExecutorTx
}

func (t *transaction) Commit(ctx context.Context) error {
	return t.tx.Commit(ctx)
}

func (t *transaction) Rollback(ctx context.Context) error {
	return t.tx.Rollback(ctx)
}

// Begin begins a transaction in which the same holds.
func (e *executor) Begin(ctx context.Context) (riverdriver.ExecutorTx, error) {
	tx, err := e.Executor.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return e.driver.within(tx), nil
}

// JobGetAvailable takes jobs of a queue, until the process stops, and notes which deliveries it was given.
func (e *executor) JobGetAvailable(
	ctx context.Context, params *riverdriver.JobGetAvailableParams,
) (*riverdriver.JobGetAvailableResult, error) {
	if e.driver.stopped.Load() {
		return &riverdriver.JobGetAvailableResult{}, nil
	}

	end := e.driver.runs.Fetch()
	res, err := e.take(ctx, params)
	if err != nil {
		end(nil)
		return nil, err
	}
	end(slices.DeleteFunc(slices.Clone(res.Jobs), func(j *rivertype.JobRow) bool {
		return j.Kind != deliver.Args{}.Kind() || res.DecodeErrors[j.ID] != nil
	}))
	return res, nil
}

// take takes jobs of a queue: of bursts as many as leave room for others, each tenant's in turn. River asks again
// with its poll.
func (e *executor) take(
	ctx context.Context, params *riverdriver.JobGetAvailableParams,
) (*riverdriver.JobGetAvailableResult, error) {
	began := time.Now()
	if params.Queue != ledger.QueueDeliverBulk {
		res, err := e.driver.fetches.JobGetAvailable(ctx, params)
		if err == nil && params.Queue == ledger.QueueDeliver {
			e.driver.bulk.Other(time.Now(), time.Since(began), len(res.Jobs))
		}
		return res, err
	}

	most := e.driver.bulk.Most(began, params.MaxToLock)
	if most == 0 {
		return &riverdriver.JobGetAvailableResult{}, nil
	}

	jobs, err := e.driver.turns.Take(ctx, e.driver.fetchPool, most, db.TakeJobsParams{
		Now: params.Now, AttemptedBy: params.ClientID, Kinds: params.Kind,
		MaxAttemptedBy: int32(min(params.MaxAttemptedBy, math.MaxInt32)), //nolint:gosec // bounded
	})
	if err != nil {
		return nil, err
	}
	e.driver.bulk.Took(time.Now(), time.Since(began), len(jobs), most)
	return fetched(jobs), nil
}

// JobGetCancelRequested finds none: a run that is under way ends as it does, and then its job is cancelled.
func (e *executor) JobGetCancelRequested(context.Context, *riverdriver.JobGetCancelRequestedParams) ([]int64, error) {
	return nil, nil
}

// JobSchedule has nothing to do: every worker process looks for what is due (deliver.Due).
func (e *executor) JobSchedule(
	context.Context, *riverdriver.JobScheduleParams,
) ([]*riverdriver.JobScheduleResult, error) {
	return nil, nil
}

// JobSetStateIfRunningMany ends runs, of which River's completer collects many, but for those of deliveries.
func (e *executor) JobSetStateIfRunningMany(
	ctx context.Context, params *riverdriver.JobSetStateIfRunningManyParams,
) ([]*rivertype.JobRow, error) {
	var others []int
	for i, updates := range params.MetadataUpdates {
		if !deliver.Settled(updates) {
			others = append(others, i)
		}
	}

	switch len(others) {
	case 0:
		return nil, nil
	case len(params.ID):
		return e.Executor.JobSetStateIfRunningMany(ctx, params)
	}
	return e.Executor.JobSetStateIfRunningMany(ctx, only(params, others))
}

// only returns the runs with these indexes.
func only(p *riverdriver.JobSetStateIfRunningManyParams, indexes []int) *riverdriver.JobSetStateIfRunningManyParams {
	return &riverdriver.JobSetStateIfRunningManyParams{
		ID: pick(p.ID, indexes), Attempt: pick(p.Attempt, indexes), ErrData: pick(p.ErrData, indexes),
		FinalizedAt: pick(p.FinalizedAt, indexes), MetadataDoMerge: pick(p.MetadataDoMerge, indexes),
		MetadataUpdates: pick(p.MetadataUpdates, indexes), Now: p.Now, ScheduledAt: pick(p.ScheduledAt, indexes),
		Schema: p.Schema, State: pick(p.State, indexes),
	}
}

func pick[T any](list []T, indexes []int) []T {
	picked := make([]T, len(indexes))
	for i, index := range indexes {
		picked[i] = list[index]
	}
	return picked
}

// JobGetStuck returns the jobs that have been running for too long on the database's clock, but for deliveries: River
// would have them run again whatever their schedule says, and package presence looks after them.
func (e *executor) JobGetStuck(
	ctx context.Context, params *riverdriver.JobGetStuckParams,
) ([]*rivertype.JobRow, error) {
	corrected := *params
	corrected.StuckHorizon = params.StuckHorizon.Add(e.driver.clock.Offset())
	jobs, err := e.Executor.JobGetStuck(ctx, &corrected)
	return slices.DeleteFunc(jobs, func(j *rivertype.JobRow) bool { return j.Kind == deliver.Args{}.Kind() }), err
}

// JobRescueMany rescues those of them that still are.
func (e *executor) JobRescueMany(ctx context.Context, params *riverdriver.JobRescueManyParams) (*struct{}, error) {
	corrected := *params
	corrected.StuckHorizon = params.StuckHorizon.Add(e.driver.clock.Offset())
	return e.Executor.JobRescueMany(ctx, &corrected)
}

// JobDeleteBefore deletes the jobs that have been settled for long enough on the database's clock.
func (e *executor) JobDeleteBefore(ctx context.Context, params *riverdriver.JobDeleteBeforeParams) (int, error) {
	corrected, offset := *params, e.driver.clock.Offset()
	corrected.CancelledFinalizedAtHorizon = params.CancelledFinalizedAtHorizon.Add(offset)
	corrected.CompletedFinalizedAtHorizon = params.CompletedFinalizedAtHorizon.Add(offset)
	corrected.DiscardedFinalizedAtHorizon = params.DiscardedFinalizedAtHorizon.Add(offset)
	return e.Executor.JobDeleteBefore(ctx, &corrected)
}
