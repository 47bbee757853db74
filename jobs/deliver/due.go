package deliver

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/outhook/outhook/db"
)

const (
	// dueInterval is how often a process looks for jobs whose time has come.
	dueInterval = time.Second

	// dueChunk is how many one statement makes available, and dueTimeout how long that may take.
	dueChunk   = 1000
	dueTimeout = 10 * time.Second
)

// Due makes the jobs available whose time has come: retries, and those that were given back. Every worker process does,
// so that none of them waits for the election of a leader; two at the same time share the work. And it frees what this
// process has fetched without hearing of it.
type Due struct {
	worker   *Worker
	clientID string
	cancel   context.CancelFunc
	done     chan struct{}
}

// NewDue returns a Due of the process in which a worker works. It does nothing before Start.
func NewDue(w *Worker) *Due { return &Due{worker: w, done: make(chan struct{})} }

// Start begins to look, until Stop. clientID is that of River's client.
func (d *Due) Start(ctx context.Context, clientID string) {
	d.clientID = clientID
	ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go d.run(ctx)
}

// Stop returns when no look is under way.
func (d *Due) Stop() {
	if d.cancel != nil {
		d.cancel()
		<-d.done
	}
}

func (d *Due) run(ctx context.Context) {
	defer close(d.done)
	tick := time.NewTicker(dueInterval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		if err := d.look(ctx); err != nil && ctx.Err() == nil {
			d.worker.calm.WarnContext(ctx, "looking for jobs that are due", slog.Any("error", err))
		}
	}
}

func (d *Due) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dueTimeout)
	defer cancel()

	w := d.worker
	for n := int64(dueChunk); n == dueChunk; {
		var err error
		if n, err = db.New().WakeJobs(ctx, w.pool, dueChunk); err != nil {
			return err
		}
	}

	n, err := db.New().FreeLostRuns(ctx, w.pool, d.clientID, w.runs.ids())
	if n > 0 {
		w.logger.WarnContext(ctx, "gave back deliveries that were fetched and not heard of", slog.Int64("count", n))
	}
	return err
}

// runs are the jobs of the runs that have begun and not ended.
type runs struct {
	mu   sync.Mutex
	jobs map[int64]int // how many runs of a job: one that was taken for dead may go on beside the next
}

func (r *runs) begin(jobID int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs[jobID]++
}

func (r *runs) end(jobID int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs[jobID]--; r.jobs[jobID] == 0 {
		delete(r.jobs, jobID)
	}
}

func (r *runs) ids() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.jobs))
}
