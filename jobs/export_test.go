package jobs

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/jobs/lane"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/presence"
)

// ExecutorOf returns what River's maintenance uses in a process whose clock the database's is ahead of by offset.
func ExecutorOf(pool *pgxpool.Pool, offset time.Duration) riverdriver.Executor {
	clock, now := &dbclock.Clock{}, time.Now()
	clock.Sample(now, now, now.Add(offset))
	return newDriver(pool, clock, presence.NewRuns(), lane.NewBulkLimiter(lane.DefaultConfig().BulkRate), time.Millisecond).GetExecutor()
}

// ListenerOf returns what River's client hears with, which passes a hint on every so often at most.
func ListenerOf(pool *pgxpool.Pool, every time.Duration) riverdriver.Listener {
	d := newDriver(pool, &dbclock.Clock{}, presence.NewRuns(), lane.NewBulkLimiter(1), every)
	return d.GetListener(&riverdriver.GetListenenerParams{Schema: "outhook"})
}

// Fetched returns jobs as River gets them that were taken in turn.
func Fetched(list []db.RiverJob) *riverdriver.JobGetAvailableResult { return fetched(list) }

// InFlight returns how many runs of a client's have begun and not ended.
func InFlight(c *Client) int { return c.deliver.UnderWay() }

// RunsOf returns what a client has in hand.
func RunsOf(c *Client) *presence.Runs { return c.driver.runs }

// ClockOf returns the clock of a client.
func ClockOf(c *Client) *dbclock.Clock { return c.clock }

// CountFetch returns what counts a fetch.
func CountFetch(reg prometheus.Registerer) func() {
	m := newFetchMetrics(reg)
	count := &rivertype.JobGetAvailableCountMetric{Queue: ledger.QueueDeliver, Count: 1}
	duration := &rivertype.JobGetAvailableDurationMetric{Queue: ledger.QueueDeliver, Duration: time.Millisecond}
	return func() {
		m.fetch(count)
		m.fetch(duration)
	}
}

// NextRetry is when a job runs again that is no delivery's.
func NextRetry(c *dbclock.Clock, job *rivertype.JobRow) time.Time { return resting{c}.NextRetry(job) }
