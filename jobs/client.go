package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/deliver"
	"github.com/outhook/outhook/jobs/erasure"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/lane"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/line"
	"github.com/outhook/outhook/jobs/operation"
	"github.com/outhook/outhook/jobs/presence"
	"github.com/outhook/outhook/jobs/reconcile"
	"github.com/outhook/outhook/jobs/retention"
	"github.com/outhook/outhook/jobs/rollup"
)

const (
	// maxSkew is how wrong this process's clock may be before it is not ready: times are corrected by what was measured,
	// but a machine whose clock is that wrong needs somebody's attention.
	maxSkew = time.Minute

	// failureRest is how long a job rests after a run that failed.
	failureRest = 5 * time.Second

	// operationWorkers is how many long operations one process works at the same time.
	operationWorkers = 2
)

// Errors that Client.Ready returns.
var (
	ErrNotFetching = errors.New("workers are not fetching jobs")
	ErrWrongClock  = errors.New("this machine's clock is more than a minute off the database's")
	ErrNoNetwork   = errors.New("this machine reaches no receiver")
)

// Client runs the workers of one process. Create one with New.
type Client struct {
	cfg   Config
	river *river.Client[pgx.Tx]
	clock *dbclock.Clock

	lastFetch atomic.Int64 // Unix nanoseconds, 0 before the first

	deliver  *deliver.Worker
	due      *deliver.Due
	presence *presence.Lease
	pacer    *lane.Pacer
	health   *health.Keeper
	rollups  *rollup.Writer
	driver   *driver
	fetches  *fetchMetrics

	giveUp   chan struct{} // closed when outcomes that are not recorded are given up
	stopOnce sync.Once

	// From Start to Stop.
	keyPool   *pgxpool.Pool // of the loader and the recorder
	fetchPool *pgxpool.Pool // of River's fetches
}

// New returns a Client that works nothing before Start.
func New(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}

	calm := logthrottle.New(cfg.Logger)
	c := &Client{
		cfg: cfg, clock: &dbclock.Clock{Stub: cfg.Now}, giveUp: make(chan struct{}), fetches: newFetchMetrics(cfg.Metrics),
	}

	// What one process has one of, and what works with all of it.
	c.presence = presence.NewLease(cfg.Pool, c.clock, cfg.Logger, calm, cfg.Metrics)
	tracker, bulk := &health.Tracker{}, lane.NewBulkLimiter(cfg.Lane.BulkRate)
	c.health = health.NewKeeper(cfg.Health, cfg.Pool, cfg.Logger, tracker, c.clock)
	counter := &rollup.Counter{}
	c.rollups = rollup.NewWriter(cfg.Pool, cfg.Logger, counter, c.clock)
	c.pacer = lane.NewPacer(cfg.Lane, cfg.Pool, cfg.Logger)

	runs := presence.NewRuns()
	c.deliver = deliver.NewWorker(cfg.Deliver, deliver.Parts{
		Pool: cfg.Pool, Clock: c.clock, Presence: c.presence, Runs: runs, Lanes: lane.NewKeeper(cfg.Lane, cfg.Pool),
		Bulk: bulk, Tracker: tracker, Rollups: counter, Logger: cfg.Logger, Calm: calm, Done: c.giveUp, Metrics: cfg.Metrics,
		Order: line.NewKeeper(cfg.Pool, func(queues []string) { c.driver.own.add(queues) }, calm, c.giveUp),
	})
	c.due = deliver.NewDue(c.deliver, cfg.Slots())
	c.driver = newDriver(cfg.Pool, c.clock, runs, bulk, cfg.River.FetchCooldown)

	var err error
	if c.river, err = river.NewClient[pgx.Tx](c.driver, c.riverConfig(c.workers())); err != nil {
		return nil, fmt.Errorf("configuring River: %w", err)
	}
	c.addState(cfg.Metrics)
	return c, nil
}

// workers are what works each kind of job.
func (c *Client) workers() *river.Workers {
	cfg, workers := c.cfg, river.NewWorkers()
	river.AddWorker(workers, c.deliver)
	river.AddWorker(workers, retention.NewWorker(cfg.Retention, cfg.Pool, cfg.Logger, cfg.Metrics))
	river.AddWorker(workers, reconcile.NewWorker(cfg.Retention, cfg.Pool, cfg.Logger, cfg.Metrics))
	river.AddWorker(workers, erasure.NewWorker(cfg.Pool, cfg.Logger))
	river.AddWorker(workers, operation.NewWorker(cfg.Operation, cfg.Pool, cfg.Logger))
	river.AddWorker(workers, &tendWorker{pool: cfg.Pool, logger: cfg.Logger, health: c.health, keep: cfg.Retention.Keep})
	return workers
}

// riverConfig holds what was measured, not River's defaults.
func (c *Client) riverConfig(workers *river.Workers) *river.Config {
	return &river.Config{
		ID:      c.cfg.River.ClientID,
		Schema:  pg.Schema,
		Workers: workers,
		Queues: map[string]river.QueueConfig{
			ledger.QueueDeliver:     {MaxWorkers: c.cfg.River.MaxWorkers},
			ledger.QueueDeliverBulk: {MaxWorkers: c.cfg.River.MaxBulkWorkers},
			// The pacer notifies these.
			ledger.QueueDeliverSlow:    {MaxWorkers: c.cfg.Lane.MaxSlowWorkers, FetchPollInterval: time.Second},
			ledger.QueueDeliverLimited: {MaxWorkers: c.cfg.Lane.MaxLimitedWorkers, FetchPollInterval: time.Second},
			// One that waits has no slot, so the poll is what it waits for in the end.
			ledger.QueueOperations: {
				MaxWorkers: operationWorkers, FetchCooldown: 100 * time.Millisecond, FetchPollInterval: 250 * time.Millisecond,
			},
			// Two, so that reconcile does not wait for a VACUUM of the retention.
			ledger.QueueMaintenance: {MaxWorkers: 2, FetchCooldown: 100 * time.Millisecond, FetchPollInterval: time.Second},
		},
		FetchCooldown:     c.cfg.River.FetchCooldown,
		FetchPollInterval: c.cfg.River.FetchPollInterval,

		JobTimeout:           ledger.JobTimeout,
		RescueStuckJobsAfter: presence.StuckAfter, // of other kinds: see JobGetStuck
		SoftStopTimeout:      c.cfg.River.StopTimeout,
		MaxAttempts:          1000, // exhaustion is ours to decide
		RetryPolicy:          resting{c.clock},

		CompletedJobRetentionPeriod: c.cfg.River.SettledJobRetention,
		CancelledJobRetentionPeriod: ledger.Day,
		DiscardedJobRetentionPeriod: min(7*ledger.Day, c.cfg.Retention.Keep),

		// Without the indexes that a migration drops. A reindex that times out leaves an invalid index behind.
		ReindexerIndexNames: c.reindexed(),
		ReindexerTimeout:    15 * time.Minute,

		PeriodicJobs: []*river.PeriodicJob{retention.Periodic(), reconcile.Periodic(), tendPeriodically()},
		Plugins:      []rivertype.Plugin{river.HookMetricEmitFunc(c.noteFetch)},
		Logger:       slog.New(logthrottle.Handler(c.cfg.Logger.Handler(), slog.LevelWarn)),
		Test:         river.TestConfig{Time: c.clock},
	}
}

// resting is how long a failed run of a job rests, but for those of deliveries: on the database's clock, since River
// takes a time that is past on it for none at all and waits by its own policy, which is hours after ten attempts.
type resting struct{ clock *dbclock.Clock }

// NextRetry returns when the job runs again.
func (r resting) NextRetry(*rivertype.JobRow) time.Time { return r.clock.Now().Add(failureRest) }

// reindexed names the indexes that River rebuilds each night.
func (c *Client) reindexed() []string {
	if c.cfg.Retention.NotOwner {
		return []string{}
	}
	return []string{
		"river_job_pkey",
		"river_job_prioritized_fetching_index",
		"river_job_state_and_finalized_at_index",
		"river_job_unique_idx",
	}
}

// Start begins to work jobs. It returns when the workers run, or with the error that kept them from it. ctx bounds only
// the start.
func (c *Client) Start(ctx context.Context) error {
	// Good samples of the database's clock from the start: a process's first load is a slow one.
	for range dbclock.Samples {
		sent := time.Now()
		databaseTime, err := db.New().GetDatabaseTime(ctx, c.cfg.Pool)
		if err != nil {
			return fmt.Errorf("reaching the database: %w", err)
		}
		c.clock.Sample(sent, time.Now(), databaseTime)
	}

	if err := c.openPools(ctx); err != nil {
		return err
	}
	if err := c.presence.Start(ctx, c.river.ID()); err != nil {
		c.closePools()
		return err
	}
	if err := c.river.Start(context.WithoutCancel(ctx)); err != nil {
		c.presence.Stop()
		c.closePools()
		return fmt.Errorf("starting River: %w", err)
	}

	c.due.Start(ctx, c.river.ID())
	c.pacer.Start(ctx, c.river.ID())
	c.health.Start(ctx)
	c.rollups.Start(ctx)
	return nil
}

func (c *Client) openPools(ctx context.Context) (err error) {
	if c.keyPool, err = pg.NewKeyPool(ctx, c.cfg.Pool); err != nil {
		return err
	}
	if c.fetchPool, err = pg.NewFetchPool(ctx, c.cfg.Pool); err != nil {
		c.keyPool.Close()
		return err
	}

	c.deliver.UsePool(c.keyPool)
	c.driver.useFetchPool(c.fetchPool)
	return nil
}

func (c *Client) closePools() {
	c.keyPool.Close()
	c.fetchPool.Close()
}

// UnderWay returns how many deliveries are worked at this moment.
func (c *Client) UnderWay() int { return c.deliver.UnderWay() }

// GivingBack returns why a run was given back within the last 30 s by trouble of ours, "" if none was.
func (c *Client) GivingBack() string { return c.deliver.GivingBack() }

// ID returns the id of River's client, which names this process in the database.
func (c *Client) ID() string { return c.river.ID() }

// TakeNoMore begins a stop: no job that is enqueued from now on is taken. River's own stop needs a moment to get there.
func (c *Client) TakeNoMore() { c.driver.stopped.Store(true) }

// Stop takes no more jobs, from the first moment on, and lets attempts finish for RiverConfig.StopTimeout; then it cuts
// them, and they are logged as unknown and attempted again by another worker. Outcomes are still recorded. When ctx
// ends first, what is not recorded is given up: it becomes an unknown attempt of a later run.
func (c *Client) Stop(ctx context.Context) error {
	c.TakeNoMore()
	stopped := make(chan error, 1)
	go func() { stopped <- c.river.Stop(ctx) }()
	c.due.Stop()
	c.pacer.Stop() // what it would release goes to another process then

	err := <-stopped
	if err != nil {
		c.stopOnce.Do(func() { close(c.giveUp) })
		cutCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, c.river.StopAndCancel(cutCtx))
	}

	c.stopOnce.Do(func() { close(c.giveUp) })
	c.health.Stop(ctx)
	c.rollups.Stop(ctx)
	c.presence.Stop()
	c.closePools()

	if err != nil {
		return fmt.Errorf("stopping River: %w", err)
	}
	return nil
}

// River returns River's own client, for River UI and for tests.
func (c *Client) River() *river.Client[pgx.Tx] { return c.river }

// Ready returns ErrWrongClock if this process's clock is more than a minute off the database's, and ErrNotFetching if
// for 10 s it has taken no delivery of a queue that is not paused, although some were due and there were free slots, or
// if it has lost its lease and so starts nothing: also if the database can't be reached, or the workers have not
// started. ErrNoNetwork says that this machine itself is what keeps requests from leaving.
func (c *Client) Ready(context.Context) error {
	if c.clock.Offset().Abs() > maxSkew {
		return ErrWrongClock
	}

	if !c.presence.Held() {
		return fmt.Errorf("%w: this worker's lease is lost", ErrNotFetching)
	}
	if queue := c.due.Left(); queue != "" {
		return fmt.Errorf("%w of the queue %s", ErrNotFetching, queue)
	}

	if trouble := c.cfg.Deliver.Egress.Trouble(); trouble != "" {
		return fmt.Errorf("%w: %s", ErrNoNetwork, trouble)
	}
	return nil
}

// noteFetch notes each fetch that succeeded.
func (c *Client) noteFetch(_ context.Context, params *rivertype.HookMetricEmitParams) {
	c.fetches.fetch(params.Metric)
	m, ok := params.Metric.(*rivertype.JobGetAvailableCountMetric)
	switch {
	case !ok:
		return
	case m.Queue == ledger.QueueDeliver:
		c.lastFetch.Store(time.Now().UnixNano())
	}

	if m.Count > 0 {
		c.due.Took(m.Queue)
	}
}
