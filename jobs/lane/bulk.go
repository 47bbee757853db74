package lane

import (
	"sync"
	"time"
)

const (
	// otherLife is how long after the last delivery of the shared queue others count as present.
	otherLife = time.Second

	// minBulkRate is the least rate of which saveFor holds a whole delivery.
	minBulkRate = 20

	// A look that finds less than it asked for and takes slowLook has read past the rows of a large transaction that is
	// still open, and would again (see Turns, too): the next one waits restFactor times as long, at most maxRest.
	slowLook   = 5 * time.Millisecond
	restFactor = 10
	maxRest    = time.Second

	// vainRuns runs of the bulk queue in a row that found no turn, since their endpoints have a lane, let it rest for
	// vainRest: the pacer moves such deliveries in chunks, which costs less.
	vainRuns = 50
	vainRest = 500 * time.Millisecond

	// While others are there and looks for their deliveries take longer than strainedLook, and strainFactor times as long
	// as they do without bursts, the processors or the database have more to do than they can: every shareStep the bulk
	// queue's rate is cut, to a quarter of what is configured at least, since the others' looks may be slower for another
	// reason. Otherwise it rises, to all of it within 3 s.
	strainedLook = time.Millisecond
	strainFactor = 1.5
	strainJobs   = 20 // a look that brings more takes its time for that
	shareStep    = 100 * time.Millisecond
	cutFactor    = 0.7
	riseStep     = 0.025
	leastShare   = 0.25

	// calmAfter is how long after a burst's last delivery looks are as they are without bursts.
	calmAfter = time.Second

	// saveFor is for how much time the bulk queue may save up what it did not take.
	saveFor = 50 * time.Millisecond
)

// BulkLimiter bounds how fast a process takes deliveries of the bulk queue while it has others too. Workers of their
// own keep a burst from standing in front of others, but not from taking all processors, where the others then wait.
type BulkLimiter struct {
	rate int // the most deliveries a second while there are others

	mu      sync.Mutex
	share   float64   // of rate that it is at now; 0: it has not begun
	looks   [2]looks  // at the shared queue: those that brought nothing (no lock, no commit), and the others
	bulkAt  time.Time // when the bulk queue last had a delivery
	stepAt  time.Time // when share was changed
	otherAt time.Time // when the shared queue last had a delivery
	saved   float64   // what the bulk queue may take, as of savedAt
	savedAt time.Time
	restAt  time.Time // nothing before
	vain    int       // how many runs in a row found no turn
}

// looks is how long looks take.
type looks struct {
	now  time.Duration // smoothed over 8 of them
	calm time.Duration // without bursts, smoothed over 64; as of the first at least
}

// add takes in a look of d, and tells whether looks take long now.
func (l *looks) add(d time.Duration, calm bool) (strained bool) {
	if l.now == 0 {
		l.now, l.calm = d, d
	}
	l.now += (d - l.now) / 8
	if calm {
		l.calm += (d - l.calm) / 64
	}
	return l.now > max(strainedLook, time.Duration(strainFactor*float64(l.calm)))
}

// NewBulkLimiter returns one for a rate of deliveries a second.
func NewBulkLimiter(rate int) *BulkLimiter { return &BulkLimiter{rate: rate} }

// Other notes that a look at the shared queue brought n deliveries and took d.
func (y *BulkLimiter) Other(now time.Time, d time.Duration, n int) {
	y.mu.Lock()
	defer y.mu.Unlock()

	if n > 0 {
		y.otherAt = now
	}
	if n > strainJobs {
		return
	}

	if y.share == 0 {
		y.share, y.stepAt = 1, now
	}
	strained := y.looks[min(n, 1)].add(d, now.Sub(y.bulkAt) > calmAfter)
	if now.Sub(y.stepAt) < shareStep || now.Sub(y.otherAt) > otherLife {
		return
	}

	y.stepAt = now
	if strained {
		y.share = max(cutFactor*y.share, leastShare)
	} else {
		y.share = min(y.share+riseStep, 1)
	}
}

// current returns the rate at which bursts may go.
func (y *BulkLimiter) current() float64 {
	if y.share == 0 {
		return float64(y.rate)
	}
	return y.share * float64(y.rate)
}

// Most returns how many of n deliveries of the bulk queue may be taken now.
func (y *BulkLimiter) Most(now time.Time, n int) int {
	y.mu.Lock()
	defer y.mu.Unlock()

	elapsed := min(now.Sub(y.savedAt), saveFor)
	y.savedAt = now
	rate := y.current()
	y.saved = min(y.saved+rate*elapsed.Seconds(), max(rate*saveFor.Seconds(), 1))

	switch {
	case now.Before(y.restAt):
		return 0
	case now.Sub(y.otherAt) > otherLife:
		return n
	}

	return min(n, int(y.saved))
}

// Took notes that n of the deliveries that were asked for were taken from the bulk queue, which took d.
func (y *BulkLimiter) Took(now time.Time, d time.Duration, n, asked int) {
	y.mu.Lock()
	defer y.mu.Unlock()

	y.saved = max(y.saved-float64(n), 0)
	if n > 0 {
		y.bulkAt = now
	}
	if n < asked && d >= slowLook {
		y.restAt = now.Add(min(restFactor*d, maxRest))
	}
}

// Turn notes whether a run of the bulk queue got its turn, or was set aside.
func (y *BulkLimiter) Turn(now time.Time, got bool) {
	y.mu.Lock()
	defer y.mu.Unlock()

	if got {
		y.vain = 0
		return
	}

	if y.vain++; y.vain >= vainRuns {
		y.vain = 0
		if at := now.Add(vainRest); at.After(y.restAt) {
			y.restAt = at
		}
	}
}
