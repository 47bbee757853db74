package jobs

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
)

// BeginByKey begins the recorder's transactions.
const BeginByKey = beginByKey

// KeyPool is newKeyPool.
func KeyPool(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	return newKeyPool(ctx, pool)
}

// FetchPool is newFetchPool.
func FetchPool(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	return newFetchPool(ctx, pool)
}

// ExecutorOf returns what River's maintenance uses in a process whose clock the database's is ahead of by offset.
func ExecutorOf(pool *pgxpool.Pool, offset time.Duration) riverdriver.Executor {
	return newDriver(pool, newEnded(), &clock{offset: offset}, &yield{}).GetExecutor()
}

// ObservedClock returns a clock that is fed by observe, and what it takes the offset to be.
func ObservedClock() (observe func(sent, received, databaseTime time.Time), offset func() time.Duration) {
	c := &clock{}
	return c.observe, c.Offset
}

// Gate is the gate in front of an endpoint's requests.
type Gate struct{ g *gate }

// NewGate returns one that knows nothing.
func NewGate() Gate { return Gate{newGate()} }

// Remembered returns how many endpoints it remembers.
func (g Gate) Remembered() int { return len(g.g.flows) }

// Enter is gate.enter.
func (g Gate) Enter(ctx context.Context, id uuid.UUID, limit int, patience time.Duration) (time.Time, error) {
	return g.g.enter(ctx, id, limit, patience)
}

// Leave is gate.leave.
func (g Gate) Leave(id uuid.UUID, started time.Time, d time.Duration) int {
	return g.g.leave(id, started, d)
}

// Verdicts of a gate.
var (
	ErrBusy = errBusy
	ErrSlow = errSlow
)

// RetryAfter is retryAfter.
func RetryAfter(value string, now time.Time, limit time.Duration) time.Duration {
	return retryAfter(value, now, limit)
}

// InFlight returns how many runs of a client's have begun and not ended.
func InFlight(c *Client) int { return int(c.inFlight.Load()) }

// SetOffset pretends that the database's clock is ahead of this process's, until it is measured again.
func SetOffset(c *Client, offset time.Duration) {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	c.clock.offset = offset
}

// Yield is yield, for tests.
type Yield struct{ yield }

// NewYield returns one with a rate per second.
func NewYield(rate int) *Yield { return &Yield{yield{rate: rate}} }

// Other is other, of one delivery that was found at once.
func (y *Yield) Other(now time.Time) { y.other(now, 0, 1) }

// Looked is other.
func (y *Yield) Looked(now time.Time, d time.Duration, n int) { y.other(now, d, n) }

// Most is most.
func (y *Yield) Most(now time.Time, n int) int { return y.most(now, n) }

// Took is took.
func (y *Yield) Took(now time.Time, d time.Duration, n, asked int) { y.took(now, d, n, asked) }

// Turn is turn.
func (y *Yield) Turn(now time.Time, got bool) { y.turn(now, got) }
