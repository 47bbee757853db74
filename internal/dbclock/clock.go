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

// Clock tells the database's time, the only clock that stored times are on: the latest good sample of it, and what has
// gone by since then on the process's monotonic clock. So nobody who sets the machine's clock makes a retry early or
// late. It is also River's clock.
type Clock struct {
	Stub func() time.Time // nil but in tests

	mu       sync.Mutex
	measured time.Time     // when the sample was taken, by the monotonic clock; zero: never
	database time.Time     // what the database said then
	trip     time.Duration // the sample's round trip: its error is at most half of that
}

// Now returns the database's time; before the first sample, this process's.
func (c *Clock) Now() time.Time {
	if c.Stub != nil {
		return c.Stub()
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(time.Now())
}

// at returns the database's time at a moment that time.Now returned.
func (c *Clock) at(moment time.Time) time.Time {
	if c.measured.IsZero() {
		return moment
	}
	return c.database.Add(moment.Sub(c.measured))
}

// Error returns by how much the database's time may be ahead of Now, but for its drift since: who must not be early
// by it waits so much longer.
func (c *Clock) Error() time.Duration {
	if c.Stub != nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trip / 2
}

// NowOrNil makes River use now() of the database itself in its queries, unless time is stubbed.
func (c *Clock) NowOrNil() *time.Time {
	if c.Stub == nil {
		return nil
	}
	now := c.Stub()
	return &now
}

// Offset returns how far the database's clock is ahead of this process's, as that is set now.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return c.at(now).Sub(now.Round(0))
}

// Sample takes a sample: the database said databaseTime between sent and received, which time.Now returned. It is taken
// to be the middle. A sample that contradicts the one before, whatever their errors, means that the database's clock
// was set, or another database answers, or this machine slept.
func (c *Clock) Sample(sent, received, databaseTime time.Time) {
	trip := received.Sub(sent)
	middle := sent.Add(trip / 2)
	databaseTime = databaseTime.Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()

	set := databaseTime.Sub(c.at(middle)).Abs() > (trip+c.trip)/2+drift
	if !c.measured.IsZero() && trip > c.trip && middle.Sub(c.measured) < sampleLife && !set {
		return
	}
	c.measured, c.database, c.trip = middle, databaseTime, trip
}
