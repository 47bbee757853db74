// Package bucket counts durations in 24 buckets, four to each power of ten of milliseconds, from which percentiles are
// estimated: a stored format, since rollups hold the counts.
package bucket

import (
	"math"
	"sort"
	"time"
)

// Count is the number of buckets. The last one has no upper bound.
const Count = 24

// perDecade is the number of buckets to a power of ten: each is 1.78 times as wide as the one before.
const perDecade = 4

// Bound returns the greatest duration of bucket i, from 0 to Count − 2: 1 ms, 1.78 ms, 3.16 ms, 5.62 ms, 10 ms and so
// on up to 316 s.
func Bound(i int) time.Duration {
	return time.Duration(math.Pow(10, float64(i)/perDecade) * float64(time.Millisecond))
}

// bounds are all of them.
var bounds = func() (list [Count - 1]time.Duration) { //nolint:gochecknoglobals // a constant
	for i := range list {
		list[i] = Bound(i)
	}
	return list
}()

// Of returns the bucket of a duration.
func Of(d time.Duration) int {
	return sort.Search(len(bounds), func(i int) bool { return d <= bounds[i] })
}

// Counts are how many durations are in each bucket.
type Counts [Count]int64

// Total returns how many there are.
func (c *Counts) Total() (n int64) {
	for _, in := range c {
		n += in
	}
	return n
}

// Percentile estimates the duration that a share of all, from 0 to 1, are no longer than: within its bucket they are
// taken to be spread evenly on a logarithmic scale, so the estimate is off by less than the width of a bucket. Of the
// last bucket its lower bound is known. Returns 0 if there are none.
func (c *Counts) Percentile(share float64) time.Duration {
	rank := share * float64(c.Total())
	if rank <= 0 {
		return 0
	}

	for i, n := range c {
		if rank > float64(n) {
			rank -= float64(n)
			continue
		}

		if i == Count-1 {
			break
		}
		exponent := (float64(i-1) + rank/float64(n)) / perDecade
		return min(bounds[i], time.Duration(math.Pow(10, exponent)*float64(time.Millisecond)))
	}
	return bounds[Count-2]
}
