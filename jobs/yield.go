package jobs

import (
	"sync"
	"time"
)

const (
	// otherLife is how long after the last delivery of the shared queue others count as present.
	otherLife = time.Second

	// minBulkRate is the least rate of which yieldBurst holds a whole delivery.
	minBulkRate = 20

	// A look that finds less than it asked for and takes slowLook has read past the rows of a large transaction that is still
	// open, and would again: the next one waits restFactor times as long, at most maxRest.
	slowLook   = 5 * time.Millisecond
	restFactor = 10
	maxRest    = time.Second

	// vainRuns runs of the bulk queue in a row that found no turn, since their endpoints have a lane, let it rest for vainRest:
	// the pacer moves such deliveries in a hundredth of the time.
	vainRuns = 50
	vainRest = 500 * time.Millisecond

	// yieldBurst is for how much time the bulk queue may save up what it did not take.
	yieldBurst = 50 * time.Millisecond
)

// yield bounds how fast a process takes deliveries of the bulk queue while it has others too. Workers of their own keep a
// burst from standing in front of others, but not from taking all processors, where the others then wait.
type yield struct {
	rate int // deliveries a second while there are others

	mu      sync.Mutex
	otherAt time.Time // when the shared queue last had a delivery
	saved   float64   // what the bulk queue may take, as of savedAt
	savedAt time.Time
	restAt  time.Time // nothing before
	vain    int       // how many runs in a row found no turn
}

// other notes that the shared queue had deliveries.
func (y *yield) other(now time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.otherAt = now
}

// most returns how many of n deliveries of the bulk queue may be taken now.
func (y *yield) most(now time.Time, n int) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	elapsed := min(now.Sub(y.savedAt), yieldBurst)
	y.savedAt = now
	y.saved = min(y.saved+float64(y.rate)*elapsed.Seconds(), float64(y.rate)*yieldBurst.Seconds())
	switch {
	case now.Before(y.restAt):
		return 0
	case now.Sub(y.otherAt) > otherLife:
		return n
	}
	return min(n, int(y.saved))
}

// took notes that n of the deliveries that were asked for were taken from the bulk queue, which took d.
func (y *yield) took(now time.Time, d time.Duration, n, asked int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.saved = max(y.saved-float64(n), 0)
	if n < asked && d >= slowLook {
		y.restAt = now.Add(min(restFactor*d, maxRest))
	}
}

// turn notes whether a run of the bulk queue got its turn, or was set aside.
func (y *yield) turn(now time.Time, got bool) {
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
