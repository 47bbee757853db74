package jobs

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/internal/calm"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/signature"
)

// Queues of River. An endpoint that is paused or has a lane has a queue of its own, endpoint-<id>, that nobody works:
// the pacer releases jobs from there to deliver_slow and deliver_limited.
const (
	QueueDeliver        = "deliver"
	QueueDeliverBulk    = "deliver_bulk"
	queueDeliverSlow    = "deliver_slow"
	queueDeliverLimited = "deliver_limited"
	queueOperations     = "operations"
	queueMaintenance    = "maintenance"

	laneQueuePrefix = "endpoint-"
)

// workedShared are the queues of endpoints without a lane.
func workedShared() []string { return []string{QueueDeliver, QueueDeliverBulk} }

// operationWorkers is how many long operations and cancellations one process works at the same time.
const operationWorkers = 2

// Day is what the retention counts in: each day (UTC) has partitions of its own.
const Day = 24 * time.Hour

// DefaultRetention is Config.Retention's default.
const DefaultRetention = 30 * Day

const (
	// jobTimeout is above the longest request (30 s) by what load and record may take on a bad day.
	jobTimeout = 40 * time.Second

	// rescueAfter is above jobTimeout by the worst stall of River's completer (10 s × 3 tries): a run that is still
	// going on is not rescued. What a dead worker left runs again long before that (see rescuer); a paused one's
	// deliveries run again in at most rescueAfter + 30 s (the tick of River's rescuer) + 5 s (its scheduler) + a poll.
	rescueAfter = 75 * time.Second

	// rescueSlack tells a rescue from a run that ended late.
	rescueSlack = 5 * time.Second
)

// Config configures New. The zero value of a field is its default.
type Config struct {
	// Pool is the database, directly or through a pooler in session mode (LISTEN needs a session). Required. New workers
	// need about 14 connections: a listener, fetches, River's completer and maintenance. Beside the pool, with its
	// configuration, are up to 3 of the loader and the recorder, one of the worker's lock (see
	// presence) and one of the pacer.
	Pool *pgxpool.Pool

	// OwnerPool is the database as the schema's owner, for what only an owner may do: to remove old partitions and to
	// finish interrupted removals. Needed if Pool's user is not the owner.
	//
	// Defaults to Pool.
	OwnerPool *pgxpool.Pool

	// NotOwner says that Pool's user is not the schema's owner: River's nightly REINDEX of its table is left out, and
	// without an OwnerPool the retention is too.
	NotOwner bool

	// Keyring decrypts the endpoints' secrets. Required.
	Keyring *signature.Keyring

	// Egress sends the requests. Required.
	Egress *egress.Client

	// Schedule is the retry schedule of endpoints that have none of their own.
	//
	// Defaults to FastSchedule: 1m, 2m, 4m.
	Schedule Schedule

	// MaxWorkers is how many deliveries one process attempts at the same time.
	//
	// Defaults to 500.
	MaxWorkers int

	// MaxBulkWorkers is the same for bursts: enqueue calls with 100 deliveries or more for one endpoint.
	//
	// Defaults to 100.
	MaxBulkWorkers int

	// BulkRate is the most deliveries of bursts that one process begins a second while it has others too, so that they
	// find a processor free; fewer while the others wait longer. Without others there is no bound.
	//
	// Defaults to 1,000 for each processor.
	BulkRate int

	// MaxSlowWorkers is how many deliveries to slow endpoints are attempted at the same time by all processes together.
	//
	// Defaults to 200.
	MaxSlowWorkers int

	// MaxLimitedWorkers is the same for endpoints with a rate limit.
	//
	// Defaults to 200.
	MaxLimitedWorkers int

	// MaxLanes is how many slow endpoints have a queue of their own. Any more share the queue of bursts.
	//
	// Defaults to 1,000.
	MaxLanes int

	// LaneProve is how long a slow endpoint must answer quickly before its deliveries wait with everybody's again. It
	// doubles, up to an hour, each time that the endpoint turns out to be slow again soon afterwards.
	//
	// Defaults to 1 minute.
	LaneProve time.Duration

	// MaxRetryAfter bounds the delay that an answer's Retry-After asks for.
	//
	// Defaults to 1 hour.
	MaxRetryAfter time.Duration

	// FetchCooldown is the least time between two fetches, and so the size of their groups under load.
	//
	// Defaults to 4 ms.
	FetchCooldown time.Duration

	// FetchPollInterval bounds how long a job waits that nobody was notified of: a retry that is due, or an event
	// enqueued while another open transaction was to notify. 50 ms costs about 1 % of a core.
	//
	// Defaults to 50 ms.
	FetchPollInterval time.Duration

	// Retention is how long events, deliveries, attempts and idempotency keys are kept, in whole days. It must be more
	// than a day longer than any retry schedule: see CheckRetention.
	//
	// Defaults to 30 days.
	Retention time.Duration

	// PayloadRetention is how long payloads are kept, in whole days, at most Retention. Those of pending deliveries stay.
	//
	// Defaults to Retention.
	PayloadRetention time.Duration

	// OnRetained is told what each run of the retention has done, also one that ended with an error. Nil: nobody is.
	OnRetained func(Retained)

	// SettledJobRetention is how long River keeps jobs of succeeded deliveries, for River UI. The history is in
	// delivery_attempts.
	//
	// Defaults to 15 minutes. Cancelled ones are kept for a day, failed ones for 7 days.
	SettledJobRetention time.Duration

	// KeptJobRate is how many jobs of succeeded deliveries this process keeps a second. Those beyond it are deleted with
	// the end of their delivery, which costs Postgres a third of keeping them. Below 0: none is kept.
	//
	// Defaults to 20, which is at most 18,000 rows in 15 minutes.
	KeptJobRate int

	// StopTimeout is how long Stop lets attempts finish before it cuts them.
	//
	// Defaults to 30 s.
	StopTimeout time.Duration

	// PartitionsAhead is how many days of partitions exist in advance.
	//
	// Defaults to 30.
	PartitionsAhead int

	// FailingFailures is how many failed attempts in a row make an endpoint failing.
	//
	// Defaults to 5.
	FailingFailures int

	// DisableAfter is how long an endpoint may fail, without any success, before it is disabled. Below 0: for ever.
	//
	// Defaults to 5 days.
	DisableAfter time.Duration

	// DisableFailures is how many failed attempts in a row that takes at least.
	//
	// Defaults to 20.
	DisableFailures int

	// ProbeAfter is how long after it was disabled for failing an endpoint is probed: by one event of the type
	// outhook.test, whose success enables it again. The wait doubles with each probe, four times. Below 0: never.
	//
	// Defaults to 1 hour.
	ProbeAfter time.Duration

	// HealthInterval is how often a process tells the database what it saw of the endpoints, and so the most that is lost
	// of their health when it dies.
	//
	// Defaults to 5 s.
	HealthInterval time.Duration

	// HealthHold is how long an endpoint stays healthy or failing at least, so that one that fails now and then does not
	// make an operational event every few seconds.
	//
	// Defaults to 1 minute.
	HealthHold time.Duration

	// ReplayBacklog is how many deliveries of bursts and operations may wait for their turn while an operation goes
	// on: with more, it waits.
	//
	// Defaults to 1,000.
	ReplayBacklog int

	// Version is told to receivers in user-agent: Outhook/<version>.
	//
	// Defaults to "dev".
	Version string

	// Logger gets one line per attempt at info level.
	//
	// Defaults to discarding.
	Logger *slog.Logger

	// Metrics is where the metrics are registered (docs/metrics.md). One registry takes one Client.
	//
	// Defaults to nil: they are counted and not shown.
	Metrics prometheus.Registerer

	// Tracing makes a span of each attempt, which continues the trace that its event was enqueued in and is sent on in the
	// header traceparent.
	//
	// Defaults to nil: no spans; the event's own traceparent is sent on.
	Tracing trace.TracerProvider

	// Now stubs the database's clock in tests.
	//
	// Defaults to nil, the database's clock.
	Now func() time.Time

	// calm says of trouble that may come with each group or fetch what Logger would say, but seldom.
	calm *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.OwnerPool == nil {
		c.OwnerPool = c.Pool
	}
	if c.Schedule == nil {
		c.Schedule = FastSchedule()
	}

	c.MaxWorkers = cmp.Or(c.MaxWorkers, 500)
	c.MaxBulkWorkers = cmp.Or(c.MaxBulkWorkers, 100)
	c.BulkRate = cmp.Or(c.BulkRate, 1000*runtime.GOMAXPROCS(0))
	c.MaxSlowWorkers = cmp.Or(c.MaxSlowWorkers, 200)
	c.MaxLimitedWorkers = cmp.Or(c.MaxLimitedWorkers, 200)

	c.MaxLanes = cmp.Or(c.MaxLanes, 1000)
	c.LaneProve = cmp.Or(c.LaneProve, time.Minute)

	c.MaxRetryAfter = cmp.Or(c.MaxRetryAfter, time.Hour)
	c.FetchCooldown = cmp.Or(c.FetchCooldown, 4*time.Millisecond)
	c.FetchPollInterval = cmp.Or(c.FetchPollInterval, 50*time.Millisecond)

	c.Retention = cmp.Or(c.Retention, DefaultRetention)
	c.PayloadRetention = cmp.Or(c.PayloadRetention, c.Retention)
	c.SettledJobRetention = cmp.Or(c.SettledJobRetention, 15*time.Minute)
	c.KeptJobRate = cmp.Or(c.KeptJobRate, 20)

	c.StopTimeout = cmp.Or(c.StopTimeout, 30*time.Second)
	c.PartitionsAhead = cmp.Or(c.PartitionsAhead, 30)

	c.FailingFailures = cmp.Or(c.FailingFailures, 5)
	c.DisableAfter = cmp.Or(c.DisableAfter, 5*24*time.Hour)
	c.DisableFailures = cmp.Or(c.DisableFailures, 20)
	c.ProbeAfter = cmp.Or(c.ProbeAfter, time.Hour)
	c.HealthInterval = cmp.Or(c.HealthInterval, 5*time.Second)
	c.HealthHold = cmp.Or(c.HealthHold, time.Minute)

	c.ReplayBacklog = cmp.Or(c.ReplayBacklog, 1000)
	c.Version = cmp.Or(c.Version, "dev")

	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.calm = slog.New(calm.Handler(c.Logger.Handler()))
	return c
}

func (c Config) validate() error {
	switch {
	case c.Pool == nil:
		return errors.New("jobs: Config.Pool is missing")
	case c.Keyring == nil:
		return errors.New("jobs: Config.Keyring is missing")
	case c.Egress == nil:
		return errors.New("jobs: Config.Egress is missing")

	case c.LaneProve < time.Millisecond || c.LaneProve > time.Hour:
		return fmt.Errorf("jobs: Config.LaneProve is %v, it must be 1ms to 1h", c.LaneProve)
	case c.MaxRetryAfter < time.Second || c.MaxRetryAfter > MaxDelay:
		return fmt.Errorf("jobs: Config.MaxRetryAfter is %v, it must be 1s to %v", c.MaxRetryAfter, MaxDelay)
	case c.FetchPollInterval < c.FetchCooldown || c.FetchCooldown < time.Millisecond:
		return errors.New("jobs: Config.FetchCooldown must be at least 1 ms and at most FetchPollInterval")

	case c.BulkRate < minBulkRate || c.BulkRate > 1_000_000:
		return fmt.Errorf("jobs: Config.BulkRate is %d, it must be %d to 1000000", c.BulkRate, minBulkRate)
	case c.KeptJobRate > 1_000_000:
		return fmt.Errorf("jobs: Config.KeptJobRate is %d, it must be at most 1000000", c.KeptJobRate)
	case c.ReplayBacklog < 1 || c.ReplayBacklog > 1_000_000:
		return fmt.Errorf("jobs: Config.ReplayBacklog is %d, it must be 1 to 1000000", c.ReplayBacklog)

	case c.FailingFailures < 1 || c.DisableFailures < c.FailingFailures:
		return errors.New("jobs: Config.FailingFailures must be at least 1 and at most DisableFailures")
	case c.DisableAfter > 0 && c.DisableAfter < time.Minute || c.ProbeAfter > 0 && c.ProbeAfter < time.Second:
		return errors.New("jobs: Config.DisableAfter must be at least 1 min and ProbeAfter at least 1 s, or below 0: never")
	case c.HealthInterval < 10*time.Millisecond || c.HealthHold < 0:
		return errors.New("jobs: Config.HealthInterval must be at least 10 ms and HealthHold not below 0")

	case c.PartitionsAhead < 1 || c.PartitionsAhead > 365:
		return fmt.Errorf("jobs: Config.PartitionsAhead is %d, it must be 1 to 365", c.PartitionsAhead)
	case c.Retention < Day || c.Retention%Day != 0:
		return fmt.Errorf("jobs: Config.Retention is %v, it must be whole days", c.Retention)
	case c.PayloadRetention < Day || c.PayloadRetention%Day != 0 || c.PayloadRetention > c.Retention:
		return fmt.Errorf("jobs: Config.PayloadRetention is %v, it must be whole days and at most Retention",
			c.PayloadRetention)
	}

	for _, limit := range []struct {
		name  string
		value int
	}{
		{"MaxWorkers", c.MaxWorkers},
		{"MaxBulkWorkers", c.MaxBulkWorkers},
		{"MaxSlowWorkers", c.MaxSlowWorkers},
		{"MaxLimitedWorkers", c.MaxLimitedWorkers},
		{"MaxLanes", c.MaxLanes},
	} {
		if limit.value < 1 || limit.value > 10_000 {
			return fmt.Errorf("jobs: Config.%s is %d, it must be 1 to 10000", limit.name, limit.value)
		}
	}

	return c.Schedule.Validate()
}
