package lane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// maxLooks is how often one fetch looks: what one tenant does not use of its share goes to those that have more.
	maxLooks = 3

	// leastCircle is how many queues a look finds at least, so that a process with one free place may know a small
	// circle as a whole.
	leastCircle = 8
)

// Turns takes the jobs of bursts for one process. Each tenant's wait in a queue of its own, and those that somebody has
// put into deliver_bulk itself in that. The queues stand in a circle: a fetch of n jobs takes from the next n of them
// at most, beginning behind the one that the fetch before it ended with, and from each the same. So whoever enqueues a
// few deliveries waits for as many of everybody else's, and not for all that stood there before.
type Turns struct {
	mu   sync.Mutex
	last string // the queue that had the last turn

	// What the last look has found, from the next turn on, and until when it is gone by if that is the whole circle and
	// the look was slow: it has read past the rows of a large transaction that is still open, and would again.
	found []string
	until time.Time
}

// NewTurns returns one that begins anywhere, so that processes that start together do not go in step.
func NewTurns() *Turns {
	return &Turns{last: fmt.Sprintf("%s%07x", ledger.BulkQueuePrefix, rand.N(1<<28))}
}

// Take takes n jobs at most, with what else p says, and lets the next fetch go on behind them. Jobs that were taken
// before something went wrong are returned without an error, since they are taken.
func (t *Turns) Take(ctx context.Context, dbtx db.DBTX, n int, p db.TakeJobsParams) ([]db.RiverJob, error) {
	t.mu.Lock()
	defer t.mu.Unlock()

	var jobs []db.RiverJob
	for more, looks := true, 0; more && looks < maxLooks && len(jobs) < n; looks++ {
		taken, left, err := t.take(ctx, dbtx, n-len(jobs), p)
		if err != nil && len(jobs) == 0 {
			return nil, err
		}
		jobs, more = append(jobs, taken...), left
	}
	return jobs, nil
}

// take takes n jobs at most, and tells whether a queue has given its whole share and so may have more.
func (t *Turns) take(
	ctx context.Context, dbtx db.DBTX, n int, p db.TakeJobsParams,
) (jobs []db.RiverJob, more bool, err error) {
	if err := t.look(ctx, dbtx, n, p.Now); err != nil || len(t.found) == 0 {
		return nil, false, err
	}

	queues := t.found[:min(n, len(t.found))]
	extra := n % len(queues)
	if extra == 0 {
		extra = len(queues)
	}
	p.Queues, p.Counts, t.last = queues, shares(n, len(queues)), queues[extra-1]
	if jobs, err = db.New().TakeJobs(ctx, dbtx, p); err != nil {
		return nil, false, fmt.Errorf("taking jobs of bursts: %w", err)
	}

	left := make(map[string]int32, len(queues))
	for i, queue := range queues {
		left[queue] = p.Counts[i]
	}
	for _, j := range jobs {
		left[j.Queue]--
	}

	// Behind those that were not asked are those that had one more.
	found := slices.Concat(queues[extra:], t.found[len(queues):], queues[:extra])
	t.found = slices.DeleteFunc(found, func(queue string) bool { return left[queue] > 0 })
	return jobs, slices.ContainsFunc(queues, func(queue string) bool { return left[queue] == 0 }), nil
}

// look finds the queues that have something due, n at most, unless what was found before is still gone by.
func (t *Turns) look(ctx context.Context, dbtx db.DBTX, n int, now *time.Time) (err error) {
	began := time.Now()
	if len(t.found) > 0 && began.Before(t.until) {
		return nil
	}

	most := max(n, leastCircle)
	t.found, err = db.New().ListBulkQueues(ctx, dbtx, now, int32(most), t.last) //nolint:gosec // at most 10,000
	if err != nil {
		return fmt.Errorf("looking for bursts: %w", err)
	}

	t.until = time.Time{}
	if took := time.Since(began); took >= slowLook && len(t.found) < most {
		t.until = time.Now().Add(min(restFactor*took, maxRest))
	}
	return nil
}

// shares returns how many of n jobs each of so many queues gives, n of them at most: all the same, the first ones one
// more.
func shares(n, queues int) []int32 {
	counts := make([]int32, queues)
	for i := range counts {
		counts[i] = int32(n / queues) //nolint:gosec // at most 10,000
		if i < n%queues {
			counts[i]++
		}
	}
	return counts
}
