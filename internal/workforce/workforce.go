// Package workforce tells who works, and what waits for them; begin with [Read].
package workforce

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

const (
	// maxWorkers bounds each list of the answer: leases, queues that are paused, and what runs by worker and queue.
	maxWorkers = 1000

	// maxQueued is how far jobs are counted, by queue and state, as for the metrics.
	maxQueued = 50_000

	// River's states of jobs that are to be worked.
	jobAvailable = "available"
	jobRetryable = "retryable"
	jobScheduled = "scheduled"
	jobRunning   = "running"

	// byIndex keeps the planner to the index that counts are made for, and away from compiling.
	byIndex = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off"

	// workerLease begins the names of the workers' leases.
	workerLease = "worker/"
)

// Workforce is who works, and what waits for them.
type Workforce struct {
	At           time.Time     `json:"at" doc:"On the database's clock."`
	Workers      []Worker      `json:"workers" nullable:"false" doc:"The worker processes that live, and those that are gone and whose deliveries nobody has taken over yet. None: nothing is delivered."`
	Leases       []Lease       `json:"leases" nullable:"false" doc:"Who does what only one process may."`
	PausedQueues []PausedQueue `json:"paused_queues" nullable:"false" doc:"Queues that are paused, by a person in River UI or by a pause of everything (GET /api/pauses): nothing of theirs is worked until River UI's Resume, or its end."`
	Queues       []QueueDepth  `json:"queues" nullable:"false" doc:"What waits, by queue."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (Workforce) SchemaName() string { return "Workforce" }

// Worker is a process that works.
type Worker struct {
	ID      string       `json:"id" doc:"The process's River client id."`
	Since   *time.Time   `json:"since" doc:"Since when it lives, without a gap of 10 s. Null: it is gone, and what it had is taken over within seconds if another lives."`
	Running int64        `json:"running" doc:"Deliveries that it has under way."`
	Runs    []WorkerRuns `json:"runs" nullable:"false" doc:"The same by queue."`
}

// WorkerRuns is what a worker has under way of a queue.
type WorkerRuns struct {
	Queue    string    `json:"queue" example:"deliver"`
	Running  int64     `json:"running"`
	OldestAt time.Time `json:"oldest_at" doc:"When it took the oldest of them."`
}

// Lease is what only one process may do.
type Lease struct {
	Name   string    `json:"name" example:"pacer" doc:"pacer (releases what waits in lanes) or retention (removes old days)."`
	Holder string    `json:"holder" doc:"The process: of pacer the worker's id, of others a name of the moment."`
	Since  time.Time `json:"since"`
}

// PausedQueue is a queue that nothing is taken of.
type PausedQueue struct {
	Queue    string    `json:"queue" example:"deliver"`
	PausedAt time.Time `json:"paused_at"`
	Due      int32     `json:"due" doc:"Jobs of it that are due, counted up to 50,000."`
}

// QueueDepth is how much waits in a queue. Each number is counted up to 50,000.
type QueueDepth struct {
	Queue      string  `json:"queue" enum:"deliver,deliver_bulk,deliver_slow,deliver_limited,lane" doc:"lane: all lanes of slow, limited and paused endpoints together."`
	Due        int64   `json:"due" doc:"Deliveries that are due, counted up to 50,000. Those of paused endpoints are due in their lane."`
	OldestDueS float64 `json:"oldest_due_s" doc:"For how many seconds the oldest of them has been due."`
	Later      int64   `json:"later" doc:"Deliveries whose next attempt is due later, counted up to 50,000 retries and as many others."`
	Running    int64   `json:"running" doc:"Deliveries that are under way, counted up to 50,000."`
}

// Read returns what a transaction sees.
func Read(ctx context.Context, tx pgx.Tx) (w Workforce, err error) {
	w = Workforce{Workers: []Worker{}, Leases: []Lease{}, PausedQueues: []PausedQueue{}, Queues: []QueueDepth{}}
	if _, err := tx.Exec(ctx, byIndex); err != nil {
		return w, err
	}

	q := db.New()
	if w.At, err = q.GetTransactionTime(ctx, tx); err != nil {
		return w, err
	}
	w.At = w.At.UTC()

	leases, err := q.ListLeases(ctx, tx, maxWorkers)
	if err != nil {
		return w, err
	}
	runs, err := q.CountRunning(ctx, tx, maxQueued)
	if err != nil {
		return w, err
	}
	w.join(leases, runs[:min(len(runs), maxWorkers)])

	paused, err := q.ListPausedQueues(ctx, tx, maxQueued, maxWorkers)
	if err != nil {
		return w, err
	}
	for _, p := range paused {
		w.PausedQueues = append(w.PausedQueues, PausedQueue{p.Name, p.PausedAt.UTC(), p.Due})
	}

	depths, err := q.ReadBacklog(ctx, tx, maxQueued)
	if err != nil {
		return w, err
	}
	w.count(depths)
	return w, nil
}

// join tells the workers' leases from the others, and adds what runs to who runs it.
func (w *Workforce) join(leases []db.ListLeasesRow, runs []db.CountRunningRow) {
	at := map[string]int{}
	for _, l := range leases {
		id, isWorker := strings.CutPrefix(l.Name, workerLease)
		if !isWorker {
			w.Leases = append(w.Leases, Lease{l.Name, l.Holder, l.Since.UTC()})
			continue
		}
		since := l.Since.UTC()
		at[id] = len(w.Workers)
		w.Workers = append(w.Workers, Worker{ID: id, Since: &since, Runs: []WorkerRuns{}})
	}

	for _, r := range runs {
		i, known := at[r.ClientID]
		if !known {
			i = len(w.Workers)
			at[r.ClientID] = i
			w.Workers = append(w.Workers, Worker{ID: r.ClientID, Runs: []WorkerRuns{}})
		}
		w.Workers[i].Running += r.Jobs
		w.Workers[i].Runs = append(w.Workers[i].Runs, WorkerRuns{r.Queue, r.Jobs, r.OldestAt.UTC()})
	}
}

// count puts the states of each queue together.
func (w *Workforce) count(depths []db.ReadBacklogRow) {
	at := map[string]int{}
	for _, d := range depths {
		i, known := at[d.Queue]
		if !known {
			i = len(w.Queues)
			at[d.Queue] = i
			w.Queues = append(w.Queues, QueueDepth{Queue: d.Queue})
		}

		switch depth := &w.Queues[i]; d.State {
		case jobAvailable:
			depth.Due, depth.OldestDueS = d.Jobs, d.OldestSeconds
		case jobRunning:
			depth.Running = d.Jobs
		case jobRetryable, jobScheduled:
			depth.Later += d.Jobs
		}
	}
}
