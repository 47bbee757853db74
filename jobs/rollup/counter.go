package rollup

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/bucket"
)

// Grain is the finest that is kept.
const Grain = time.Minute

// Observation is the end of one run: an attempt, the end of a delivery, or both.
type Observation struct {
	TenantID   string
	EndpointID uuid.UUID
	At         time.Time         // when it ended
	Outcome    db.AttemptOutcome // of the attempt, "" if none was made
	Duration   time.Duration     // of the attempt; below 0: nobody knows
	Latency    time.Duration     // from the enqueue, or its deliver_at, to the end of a first attempt; below 0 of others
	State      db.DeliveryState  // pending: another attempt follows
}

// subject is whose a row is: an endpoint, a tenant with all its endpoints, or all tenants.
type subject struct {
	tenantID   string
	endpointID uuid.UUID
}

// every is the subject of all tenants.
var every = subject{} //nolint:gochecknoglobals // a constant

// key is a row's.
type key struct {
	subject

	minute int64 // since 1970
}

// counts are what happened to a subject in a minute.
type counts struct {
	outcomes                     [outcomes]int32
	delivered, failed, cancelled int32
	firstLatency, duration       buckets
}

// outcomes is the number of attempts' outcomes, in the order of the table's columns.
const outcomes = 6

func outcomeIndex(o db.AttemptOutcome) int {
	switch o { // their order is that of the stored arrays

	case db.AttemptOutcomeSucceeded:
		return 0
	case db.AttemptOutcomeRejected:
		return 1
	case db.AttemptOutcomeTimedOut:
		return 2
	case db.AttemptOutcomeUnreachable:
		return 3
	case db.AttemptOutcomeBlocked:
		return 4
	case db.AttemptOutcomeUnknown:
	}
	return 5
}

// buckets are how many durations are in each bucket.
type buckets [bucket.Count]int32

// String returns an array as Postgres reads it, "" if there are none.
func (b *buckets) String() string {
	if *b == (buckets{}) {
		return ""
	}

	var text strings.Builder
	for i, n := range b {
		text.WriteByte("{,"[min(i, 1)])
		if n == 0 {
			text.WriteString("NULL")
			continue
		}
		text.WriteString(strconv.Itoa(int(n)))
	}
	text.WriteByte('}')
	return text.String()
}

func (c *counts) add(o *Observation) {
	if o.Outcome != "" {
		c.outcomes[outcomeIndex(o.Outcome)]++
	}
	if o.Duration >= 0 {
		c.duration[bucket.Of(o.Duration)]++
	}
	if o.Latency >= 0 {
		c.firstLatency[bucket.Of(o.Latency)]++
	}

	switch o.State {
	case db.DeliveryStateSucceeded:
		c.delivered++
	case db.DeliveryStateFailed:
		c.failed++
	case db.DeliveryStateCancelled:
		c.cancelled++
	case db.DeliveryStatePending:
	}
}

// merge adds other counts.
func (c *counts) merge(other *counts) {
	for i, n := range other.outcomes {
		c.outcomes[i] += n
	}
	c.delivered += other.delivered
	c.failed += other.failed
	c.cancelled += other.cancelled
	for i := range c.duration {
		c.firstLatency[i] += other.firstLatency[i]
		c.duration[i] += other.duration[i]
	}
}

// Counter adds up what this process records. The zero value is ready.
type Counter struct {
	mu     sync.Mutex
	rows   map[key]*counts
	toldAt map[subject]time.Time // of the last minute
}

// Observe takes in runs that were recorded.
func (c *Counter) Observe(list []Observation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows, c.toldAt = make(map[key]*counts), make(map[subject]time.Time)
	}

	for i := range list {
		o := &list[i]
		minute := o.At.Unix() / int64(Grain/time.Second)
		for _, s := range [...]subject{{o.TenantID, o.EndpointID}, {tenantID: o.TenantID}, every} {
			c.row(key{s, minute}).add(o)
		}
	}
}

func (c *Counter) row(k key) *counts {
	row := c.rows[k]
	if row == nil {
		row = &counts{}
		c.rows[k] = row
	}
	return row
}

// take returns what is to be written now, and forgets it: of all tenants each time, of others what is new after a
// pause, and else what has been added up for a while.
func (c *Counter) take(now time.Time, patience time.Duration) map[key]*counts {
	c.mu.Lock()
	defer c.mu.Unlock()

	due := make(map[key]*counts)
	for k, row := range c.rows {
		if k.subject == every || now.Sub(c.toldAt[k.subject]) >= patience {
			due[k] = row
			delete(c.rows, k)
		}
	}

	for k := range due {
		c.toldAt[k.subject] = now
	}
	for s, at := range c.toldAt {
		if now.Sub(at) >= patience {
			delete(c.toldAt, s)
		}
	}
	return due
}

// putBack takes back what could not be written, but for what is older than oldest.
func (c *Counter) putBack(rows map[key]*counts, oldest time.Time) (dropped int) {
	c.mu.Lock()
	defer c.mu.Unlock()

	for k, row := range rows {
		if k.at().Before(oldest) {
			dropped++
			continue
		}
		c.row(k).merge(row)
	}
	return dropped
}

// at is the beginning of the key's minute.
func (k key) at() time.Time { return time.Unix(k.minute*int64(Grain/time.Second), 0) }
