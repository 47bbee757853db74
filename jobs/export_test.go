package jobs

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
)

// ExecutorOf returns what River's maintenance uses in a process whose clock the database's is ahead of by offset.
func ExecutorOf(pool *pgxpool.Pool, offset time.Duration) riverdriver.Executor {
	return newDriver(pool, newEnded(), &clock{offset: offset}).GetExecutor()
}

// ObservedClock returns a clock that is fed by observe, and what it takes the offset to be.
func ObservedClock() (observe func(sent, received, databaseTime time.Time), offset func() time.Duration) {
	c := &clock{}
	return c.observe, c.Offset
}

// InFlight returns how many runs of a client's have begun and not ended.
func InFlight(c *Client) int { return int(c.inFlight.Load()) }
