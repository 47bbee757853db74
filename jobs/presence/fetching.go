package presence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// fetchSilence is how long deliveries may be due of which this process takes none although it could.
	fetchSilence = 10 * time.Second

	// slowFetch is how long a fetch may be under way and what it brings still be known for not having been lost.
	slowFetch = 4 * time.Second

	// LostAfter is how long ago a delivery was fetched at least that this process was given and knows nothing of, for the
	// answer to have been lost: above slowFetch by what the database's clock may be wrong.
	LostAfter = slowFetch + time.Second
)

// Fetching tells whether this process takes what is due. A look each second finds out which queues have jobs that are
// due; that a fetch brings none of them, for so long, is nobody's order: neither is the queue paused, nor are all of
// this process's places taken. What is due is on the database's clock, and for how long on this process's own, since a
// job becomes visible when the transaction commits that has enqueued it, which may be long after it was due.
type Fetching struct {
	slots map[string]int
	runs  *Runs

	mu   sync.Mutex
	well map[string]time.Time // by queue: when nothing was left lying, or the first look was
}

// NewFetching returns a Fetching of a process with so many slots for each queue, whose runs r knows.
func NewFetching(slots map[string]int, r *Runs) *Fetching {
	return &Fetching{slots: slots, runs: r, well: map[string]time.Time{}}
}

// Took notes that a fetch has brought deliveries of a queue.
func (f *Fetching) Took(queue string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.well[queue] = time.Now()
}

// Left returns a queue whose deliveries are left lying: for 10 s some were due, and this process had places for them
// and took none; or nobody knows, since the database did not say. Empty: there is none.
func (f *Fetching) Left() string {
	f.mu.Lock()
	defer f.mu.Unlock()

	for queue := range f.slots {
		if time.Since(f.well[queue]) > fetchSilence {
			return queue
		}
	}
	return ""
}

// Look notes the queues of which nothing is left lying.
func (f *Fetching) Look(ctx context.Context, dbtx db.DBTX) error {
	now := time.Now()
	due, err := db.New().ListDueQueues(ctx, dbtx, slices.Collect(maps.Keys(f.slots)))
	if err != nil {
		return fmt.Errorf("looking for what is due: %w", err)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	for queue, slots := range f.slots {
		if f.well[queue].IsZero() || !slices.Contains(due, queue) || f.runs.Of(queue) >= slots {
			f.well[queue] = now
		}
	}
	return nil
}

// Runs are the jobs that this process has in hand: those that a fetch has brought and whose run has not begun, and
// those of the runs that have begun and not ended.
type Runs struct {
	mu      sync.Mutex
	fetches map[*time.Time]bool // when those that are under way began
	fetched map[int64]bool
	jobs    map[int64]int  // how many runs of a job: one that was taken for dead may go on beside the next
	queues  map[string]int // by the queue whose workers work them
}

// NewRuns returns those of a process that runs none yet.
func NewRuns() *Runs {
	return &Runs{
		fetches: map[*time.Time]bool{}, fetched: map[int64]bool{}, jobs: map[int64]int{}, queues: map[string]int{},
	}
}

// Fetch notes that a fetch begins. end notes what it has brought, and is to be called before anybody else hears of
// that.
func (r *Runs) Fetch() (end func([]*rivertype.JobRow)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	began := new(time.Now())
	r.fetches[began] = true

	return func(jobs []*rivertype.JobRow) {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.fetches, began)
		for _, j := range jobs {
			r.fetched[j.ID] = true
		}
	}
}

// Begin notes that a run of a job begins.
func (r *Runs) Begin(job *rivertype.JobRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.fetched, job.ID)
	r.jobs[job.ID]++
	r.queues[ledger.WorkedAs(job.Queue)]++
}

// End notes that it has ended.
func (r *Runs) End(job *rivertype.JobRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queues[ledger.WorkedAs(job.Queue)]--
	if r.jobs[job.ID]--; r.jobs[job.ID] == 0 {
		delete(r.jobs, job.ID)
	}
}

// Of returns how many of them are a queue's.
func (r *Runs) Of(queue string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queues[queue]
}

// Len returns how many jobs have a run.
func (r *Runs) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs)
}

// Known returns the jobs in hand, in no order. ok says that all are among them that this process was given more than
// LostAfter ago and has not ended since: no fetch has been under way for long, on either clock, since the monotonic one
// stands still while the machine is suspended.
func (r *Runs) Known() (ids []int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for began := range r.fetches {
		if time.Since(*began) > slowFetch || time.Now().Round(0).Sub(*began) > slowFetch {
			return nil, false
		}
	}
	return slices.AppendSeq(slices.Collect(maps.Keys(r.jobs)), maps.Keys(r.fetched)), true
}
