package dbclock

import (
	"sync"
	"time"
)

// sampleLife is how long a good sample of the database's clock is kept before a worse one may replace it. Quartz drifts
// by less than 100 ppm, so a minute costs at most 6 ms.
const sampleLife = time.Minute

// drift is what two clocks may drift apart in sampleLife.
const drift = 10 * time.Millisecond

// Samples are taken at the start; the one with the shortest round trip counts.
const Samples = 5

// Clock tells the database's time, the only clock that stored times are on. It is the process's clock plus an offset,
// which each load measures. It is also River's clock, so that a worker whose own clock is wrong schedules
// no retry early or late.
type Clock struct {
	Stub func() time.Time // nil but in tests

	mu       sync.Mutex
	offset   time.Duration
	trip     time.Duration // round trip of the sample behind offset: its error is at most half of that
	measured time.Time
}

// Now returns the database's time.
func (c *Clock) Now() time.Time {
	if c.Stub != nil {
		return c.Stub()
	}
	return time.Now().Add(c.Offset())
}

// NowOrNil makes River use now() of the database itself in its queries, unless time is stubbed.
func (c *Clock) NowOrNil() *time.Time {
	if c.Stub == nil {
		return nil
	}
	now := c.Stub()
	return &now
}

// Offset returns how far the database's clock is ahead of this process's.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// Sample takes a sample: the database said databaseTime between sent and received. It is taken to be the middle. A
// sample that contradicts the one before, whatever their errors, means that one of the clocks was set.
func (c *Clock) Sample(sent, received, databaseTime time.Time) {
	trip := received.Sub(sent)
	c.mu.Lock()
	defer c.mu.Unlock()

	offset := databaseTime.Sub(sent.Add(trip / 2))
	set := (offset - c.offset).Abs() > (trip+c.trip)/2+drift
	if !c.measured.IsZero() && trip > c.trip && received.Sub(c.measured) < sampleLife && !set {
		return
	}

	c.offset, c.trip, c.measured = offset, trip, received
}
