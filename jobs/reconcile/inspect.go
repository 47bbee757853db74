package reconcile

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/retention"
)

const (
	// window is how many pending deliveries or live jobs one statement examines, in some 50 ms.
	window = 10_000

	// maxExamples bounds Finding.Examples.
	maxExamples = 5
)

// Invariants, by what breaks them. Each that Reconcile repairs says how.
const (
	checkWithoutJob   = "deliveries_without_job"       // pending, the job is gone or has ended: it gets a new job
	checkCancelledJob = "deliveries_of_cancelled_jobs" // pending, River UI's Cancel ended the job: it is cancelled
	checkWithoutEvent = "deliveries_without_event"     // pending, its event's or endpoint's row is gone: it is cancelled
	checkIdleQueue    = "deliveries_in_idle_queues"    // pending, the job is in a queue that nobody works: told only
	checkStrayJob     = "jobs_without_delivery"        // live, no delivery is theirs: they are cancelled
	checkSettled      = "jobs_of_settled_deliveries"   // live, by a person's order
	checkPartitions   = "missing_partitions"           // of today and the coming 7 days: they are made
	checkDetaches     = "interrupted_detaches"         // of partitions: they are finished
	checkSequences    = "sequences_behind"             // their next value is in their column already: they are set
)

// checks lists the invariants in the order of reports. jobs_of_settled_deliveries is told and never repaired: it is
// River UI's Retry waiting for its turn.
func checks() []string {
	return []string{
		checkWithoutJob, checkCancelledJob, checkWithoutEvent, checkIdleQueue,
		checkStrayJob, checkSettled,
		checkPartitions, checkDetaches, checkSequences,
	}
}

// repairable tells whether reconcile repairs what breaks an invariant. The pacer moves jobs, all the time.
func repairable(check string) bool { return check != checkSettled && check != checkIdleQueue }

// Finding says how often an invariant does not hold.
type Finding struct {
	// Check names the invariant by what breaks it, like deliveries_without_job.
	Check string
	// Violation is false for what is only worth knowing.
	Violation bool
	// Count is how many there are. For a repair, how many were repaired.
	Count int
	// Examples names at most five: <event id>/<endpoint id> for deliveries, ids for jobs, names for partitions.
	Examples []string
}

// findings collects by invariant.
type findings map[string]*Finding

func (f findings) add(check, example string) {
	found := f[check]
	if found == nil {
		found = &Finding{}
		f[check] = found
	}

	found.Count++
	if len(found.Examples) < maxExamples {
		found.Examples = append(found.Examples, example)
	}
}

// list returns a Finding for every invariant, also for those that hold.
func (f findings) list() []Finding {
	list := make([]Finding, 0, len(checks()))
	for _, check := range checks() {
		found := Finding{Check: check, Violation: check != checkSettled, Examples: []string{}}
		if part := f[check]; part != nil {
			found.Count, found.Examples = part.Count, part.Examples
		}
		list = append(list, found)
	}
	return list
}

// Inspect checks every invariant and changes nothing. Give it a transaction with the isolation level REPEATABLE
// READ, so that all of it is one snapshot. It reads the backlog (pending deliveries and live jobs), not the
// log: 10,000 a statement.
func Inspect(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
	found := make(findings)
	if _, err := tx.Exec(ctx, pg.ByKey); err != nil {
		return nil, fmt.Errorf("preparing: %w", err)
	}

	for after, more := int64(0), true; more; {
		w, err := examine(ctx, tx, after)
		if err != nil {
			return nil, err
		}
		for i, problem := range w.Problems {
			found.add(problem, w.EventIDs[i].String()+"/"+w.EndpointIDs[i].String())
		}

		_, err = w.strays(ctx, tx, found)
		if err != nil {
			return nil, err
		}

		after, more = w.LastJobID, w.full()
	}

	if err := inspectPartitions(ctx, tx, found); err != nil {
		return nil, err
	}
	if err := sequences(ctx, tx, found, false); err != nil {
		return nil, err
	}
	return found.list(), nil
}

// sequences finds those that lag behind their columns, as after a logical replication, and sets them if that is to be
// repaired.
func sequences(ctx context.Context, q db.DBTX, found findings, repair bool) error {
	names, err := db.New().CheckSequences(ctx, q, repair)
	if err != nil {
		return fmt.Errorf("comparing sequences with their columns: %w", err)
	}
	for _, name := range names {
		found.add(checkSequences, name)
	}
	return nil
}

func inspectPartitions(ctx context.Context, tx db.DBTX, found findings) error {
	missing, err := retention.MissingPartitions(ctx, tx, retention.MinPartitionsAhead)
	if err != nil {
		return err
	}
	for _, name := range missing {
		found.add(checkPartitions, name)
	}

	detaches, err := db.New().ListInterruptedDetaches(ctx, tx)
	if err != nil {
		return fmt.Errorf("listing interrupted detaches: %w", err)
	}
	for _, d := range detaches {
		found.add(checkDetaches, d.Name)
	}
	return nil
}

// windowOf is what one statement saw of pending deliveries.
type windowOf struct {
	db.FindBrokenDeliveriesRow
	after int64
}

// examine reads the pending deliveries of the window after a job id.
func examine(ctx context.Context, tx db.DBTX, after int64) (windowOf, error) {
	row, err := db.New().FindBrokenDeliveries(ctx, tx, ledger.WorkedQueues(), after, window)
	if err != nil {
		return windowOf{}, fmt.Errorf("examining pending deliveries: %w", err)
	}
	return windowOf{FindBrokenDeliveriesRow: row, after: after}, nil
}

// full tells whether more pending deliveries follow.
func (w windowOf) full() bool { return w.Examined == window }

// strays reads the live jobs of the same range of job ids and adds those that own no pending delivery to found; it
// returns the ones that are to be cancelled.
func (w windowOf) strays(ctx context.Context, tx db.DBTX, found findings) (jobIDs []int64, err error) {
	p := db.FindStrayJobsParams{
		WorkedQueues: ledger.WorkedQueues(), After: w.after, Upto: math.MaxInt64, OwnedJobIDs: w.ExaminedJobIDs,
		MaxRows: window,
	}
	if w.full() {
		p.Upto = w.LastJobID
	}

	for {
		row, err := db.New().FindStrayJobs(ctx, tx, p)
		if err != nil {
			return nil, fmt.Errorf("examining live jobs: %w", err)
		}

		for i, problem := range row.Problems {
			found.add(problem, strconv.FormatInt(row.JobIDs[i], 10))
			if problem == checkStrayJob {
				jobIDs = append(jobIDs, row.JobIDs[i])
			}
		}

		if row.Examined < window {
			return jobIDs, nil
		}
		p.After = row.LastJobID
	}
}
