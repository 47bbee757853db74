package deliver

import (
	"context"
	"log/slog"
	"time"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/presence"
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
// process has fetched without hearing of it, and looks whether it fetches what is due.
type Due struct {
	*presence.Fetching

	worker   *Worker
	clientID string
	cancel   context.CancelFunc
	done     chan struct{}
}

// NewDue returns a Due of the process in which a worker works, with so many slots for each queue. It does nothing
// before Start.
func NewDue(w *Worker, slots map[string]int) *Due {
	return &Due{Fetching: presence.NewFetching(slots, w.runs), worker: w, done: make(chan struct{})}
}

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
		if err := d.look(ctx); err != nil && ctx.Err() == nil {
			d.worker.calm.WarnContext(ctx, "looking for jobs that are due", slog.Any("error", err))
		}

		select {
		case <-ctx.Done():
			return
		case <-tick.C:
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

	if err := d.free(ctx); err != nil {
		return err
	}
	return d.Look(ctx, w.pool)
}

// free gives back what this process was given and does not know. Until when that was given is said before what it
// knows is asked: whenever it is frozen on the way, what it then hears of was given later, or the fetch that brings
// it is under way.
func (d *Due) free(ctx context.Context) error {
	w := d.worker
	before := w.clock.Now().Add(-presence.LostAfter)
	known, ok := w.runs.Known()
	if !ok {
		return nil
	}

	n, err := db.New().FreeLostRuns(ctx, w.pool, d.clientID, before, known)
	if n > 0 {
		w.calm.WarnContext(ctx, "gave back deliveries that were fetched and not heard of", slog.Int64("count", n))
	}
	return err
}
