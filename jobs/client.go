package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
)

// schema holds River's tables and ours (package migrations).
const schema = "outhook"

// fetchSilence is how long a worker that has free slots may go without a successful fetch before it is not ready.
const fetchSilence = 10 * time.Second

// keyConns are the loader's connection, the recorder's, and one to spare while a broken one is closed; fetchConns is
// one for each of the six queues, and one to spare.
const (
	keyConns   = 3
	fetchConns = 7
)

// How old plans may be. To plan a fetch takes less than a millisecond, and what comes to a quiet system in a second is
// enough to make the plan of that time slow (p99 of the receipt 600 to 950 ms instead of 84 to 133).
const (
	fetchPlanAge = 100 * time.Millisecond
	keyPlanAge   = 10 * time.Second
)

// maxSkew is how wrong this process's clock may be before it is not ready: times are corrected by what was measured,
// but a machine whose clock is that wrong needs somebody's attention.
const maxSkew = time.Minute

// Errors that Client.Ready returns.
var (
	ErrNotFetching = errors.New("workers are not fetching jobs")
	ErrWrongClock  = errors.New("this machine's clock is more than a minute off the database's")
)

// Client runs the workers of one process. Create one with New.
type Client struct {
	cfg   Config
	river *river.Client[pgx.Tx]
	clock *clock

	lastFetch atomic.Int64 // Unix nanoseconds, 0 before the first
	inFlight  atomic.Int64

	presence *presence
	metrics  *workerMetrics
	pacer    *pacer
	health   *healthKeeper

	giveUp   chan struct{} // closed when outcomes that are not recorded are given up
	stopOnce sync.Once
	loader   *loader
	recorder *recorder
	driver   *driver

	// From Start to Stop.
	keyPool   *pgxpool.Pool // of the loader and the recorder
	fetchPool *pgxpool.Pool // of River's fetches
}

// New returns a Client that works nothing before Start.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}

	c := &Client{cfg: cfg, clock: &clock{stub: cfg.Now}, giveUp: make(chan struct{})}
	tracker := &tracker{}
	c.loader, c.recorder = newLoader(cfg, c.clock), newRecorder(cfg, tracker, c.giveUp)
	c.metrics = newWorkerMetrics(cfg.Metrics)
	c.health = &healthKeeper{cfg: cfg, tracker: tracker, clock: c.clock}

	workers := river.NewWorkers()
	deliver := &deliverWorker{
		cfg: cfg, clock: c.clock, loader: c.loader, recorder: c.recorder, lanes: newLaneKeeper(cfg),
		inFlight: &c.inFlight, done: c.giveUp, ended: newEnded(),
		metrics: c.metrics, tracer: newTracer(cfg.Tracing), yield: &yield{rate: cfg.BulkRate},
	}
	river.AddWorker(workers, deliver)
	river.AddWorker(workers, &retainWorker{cfg: cfg, metrics: c.metrics})
	river.AddWorker(workers, &reconcileWorker{cfg: cfg, metrics: c.metrics})
	river.AddWorker(workers, &eraseWorker{cfg: cfg})
	river.AddWorker(workers, &tendWorker{cfg: cfg, health: c.health})
	river.AddWorker(workers, &cancelWorker{cfg: cfg})
	river.AddWorker(workers, &operateWorker{cfg: cfg})

	c.driver = newDriver(cfg.Pool, deliver.ended, c.clock, deliver.yield)
	var err error
	if c.river, err = river.NewClient[pgx.Tx](c.driver, c.riverConfig(workers)); err != nil {
		return nil, fmt.Errorf("configuring River: %w", err)
	}

	// River's client names the lock, so it is made before the lock's keeper.
	c.presence, c.pacer = newPresence(cfg, c.river.ID(), c.clock, c.metrics), newPacer(cfg)
	deliver.presence = c.presence

	c.addState(cfg.Metrics)
	return c, nil
}

// riverConfig holds what was measured, not River's defaults.
func (c *Client) riverConfig(workers *river.Workers) *river.Config {
	return &river.Config{
		Schema:  schema,
		Workers: workers,
		Queues: map[string]river.QueueConfig{
			QueueDeliver:     {MaxWorkers: c.cfg.MaxWorkers},
			QueueDeliverBulk: {MaxWorkers: c.cfg.MaxBulkWorkers},
			// The pacer notifies these.
			queueDeliverSlow:    {MaxWorkers: c.cfg.MaxSlowWorkers, FetchPollInterval: time.Second},
			queueDeliverLimited: {MaxWorkers: c.cfg.MaxLimitedWorkers, FetchPollInterval: time.Second},
			queueOperations: {
				MaxWorkers: operationWorkers, FetchCooldown: 100 * time.Millisecond, FetchPollInterval: time.Second,
			},
			// Two, so that reconcile does not wait for a VACUUM of the retention.
			queueMaintenance: {MaxWorkers: 2, FetchCooldown: 100 * time.Millisecond, FetchPollInterval: time.Second},
		},
		FetchCooldown:     c.cfg.FetchCooldown,
		FetchPollInterval: c.cfg.FetchPollInterval,

		JobTimeout:           jobTimeout,
		RescueStuckJobsAfter: rescueAfter,
		SoftStopTimeout:      c.cfg.StopTimeout,
		MaxAttempts:          1000, // exhaustion is ours to decide

		CompletedJobRetentionPeriod: c.cfg.SettledJobRetention,
		CancelledJobRetentionPeriod: Day,
		DiscardedJobRetentionPeriod: min(7*Day, c.cfg.Retention),

		// Without the indexes that a migration drops. A reindex that times out leaves an invalid index behind.
		ReindexerIndexNames: c.reindexed(),
		ReindexerTimeout:    15 * time.Minute,

		PeriodicJobs: []*river.PeriodicJob{retainPeriodically(), reconcilePeriodically(), tendPeriodically()},
		Plugins:      []rivertype.Plugin{river.HookMetricEmitFunc(c.observe)},
		Logger:       c.cfg.calm,
		Test:         river.TestConfig{Time: c.clock},
	}
}

// reindexed names the indexes that River rebuilds each night.
func (c *Client) reindexed() []string {
	if c.cfg.NotOwner {
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
	for range clockSamples {
		sent := time.Now()
		databaseTime, err := db.New().GetDatabaseTime(ctx, c.cfg.Pool)
		if err != nil {
			return fmt.Errorf("reaching the database: %w", err)
		}
		c.clock.observe(sent, time.Now(), databaseTime)
	}

	if err := c.openPools(ctx); err != nil {
		return err
	}
	if err := c.presence.start(ctx); err != nil {
		c.closePools()
		return err
	}
	if err := c.river.Start(context.WithoutCancel(ctx)); err != nil {
		c.presence.stop()
		c.closePools()
		return fmt.Errorf("starting River: %w", err)
	}

	c.pacer.start(ctx)
	c.health.start(ctx)
	return nil
}

func (c *Client) openPools(ctx context.Context) (err error) {
	if c.keyPool, err = newKeyPool(ctx, c.cfg.Pool); err != nil {
		return err
	}
	if c.fetchPool, err = newFetchPool(ctx, c.cfg.Pool); err != nil {
		c.keyPool.Close()
		return err
	}

	c.loader.pool, c.recorder.pool, c.driver.fetches = c.keyPool, c.keyPool, riverpgxv5.New(c.fetchPool).GetExecutor()
	return nil
}

func (c *Client) closePools() {
	c.keyPool.Close()
	c.fetchPool.Close()
}

// newKeyPool returns a pool for the two groups' statements, which look rows up by their keys. To
// plan one takes up to 20 ms.
func newKeyPool(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	return newPlanPool(ctx, pool, keyConns, keyPlanAge, "SET enable_seqscan = off")
}

// newFetchPool returns a pool for River's fetches. With few jobs the best plan reads all of them for each one that it
// takes, and with many one for an unknown number to take reads a whole index, so joins go by the key.
func newFetchPool(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	return newPlanPool(ctx, pool, fetchConns, fetchPlanAge,
		"SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
}

// newPlanPool returns a pool for statements that run many times a second and whose plans are kept: a custom one can't
// be better than the generic one, and planning takes longer than they do themselves.
//
// A plan may be from a time at which river_job, or the day's partition, had a few rows. It must not read all of it,
// which would be done for each row of a group once there are many; and any index of so small a table is as good as the
// right one, so no plan is older than age.
func newPlanPool(
	ctx context.Context, pool *pgxpool.Pool, conns int32, age time.Duration, settings string,
) (*pgxpool.Pool, error) {
	cfg := pool.Config()
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = conns, 0, 0

	cfg.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		const planned = "outhook_planned"
		data := conn.PgConn().CustomData()
		if last, ok := data[planned].(time.Time); ok && time.Since(last) < age {
			return true, nil
		}

		data[planned] = time.Now()
		_, err := conn.Exec(ctx, "DISCARD PLANS")
		return err == nil, nil // if not, the pool opens another connection, or says why it can't
	}

	afterConnect := cfg.AfterConnect
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if afterConnect != nil {
			if err := afterConnect(ctx, conn); err != nil {
				return err
			}
		}

		// Here, since the worker's pool may have set the first, and PgBouncer refuses startup parameters
		// that it does not know.
		_, err := conn.Exec(ctx, "SET plan_cache_mode = force_generic_plan; SET jit = off; "+settings)
		return err
	}

	planPool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg) // connects when it is used
	if err != nil {
		return nil, fmt.Errorf("opening a pool that keeps plans: %w", err)
	}
	return planPool, nil
}

// Stop takes no more jobs and lets attempts finish for Config.StopTimeout; then it cuts them, and they are logged as
// unknown and attempted again by another worker. Outcomes are still recorded. When ctx ends first, what is not recorded
// is given up: it becomes an unknown attempt of a later run.
func (c *Client) Stop(ctx context.Context) error {
	c.pacer.stop() // what it would release goes to another process then

	err := c.river.Stop(ctx)
	if err != nil {
		c.stopOnce.Do(func() { close(c.giveUp) })
		cutCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, c.river.StopAndCancel(cutCtx))
	}

	c.stopOnce.Do(func() { close(c.giveUp) })
	c.health.stop(ctx)
	c.presence.stop()
	c.closePools()

	if err != nil {
		return fmt.Errorf("stopping River: %w", err)
	}
	return nil
}

// River returns River's own client, for River UI and for tests.
func (c *Client) River() *river.Client[pgx.Tx] { return c.river }

// Ready returns ErrWrongClock if this process's clock is more than a minute off the database's, and ErrNotFetching if
// no fetch succeeded for 10 s although there are free slots, or if this process has lost its lock and so starts
// nothing: the database can't be reached, or the workers have not started.
func (c *Client) Ready(context.Context) error {
	if c.clock.Offset().Abs() > maxSkew {
		return ErrWrongClock
	}
	if int(c.inFlight.Load()) >= c.cfg.MaxWorkers {
		return nil
	}

	last := c.lastFetch.Load()
	if last == 0 || !c.presence.held() || time.Since(time.Unix(0, last)) > fetchSilence {
		return ErrNotFetching
	}
	return nil
}

// observe notes each fetch that succeeded.
func (c *Client) observe(_ context.Context, params *rivertype.HookMetricEmitParams) {
	c.metrics.fetch(params.Metric)
	if m, ok := params.Metric.(*rivertype.JobGetAvailableCountMetric); ok && m.Queue == QueueDeliver {
		c.lastFetch.Store(time.Now().UnixNano())
	}
}
