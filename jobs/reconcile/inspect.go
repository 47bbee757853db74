package reconcile

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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
	checkLocks        = "locks_of_a_report"            // that the server has no room for: told only
	checkVacuum       = "vacuum_held_back"             // by old transactions: told only
	checkStanding     = "lines_standing"               // something is due and nothing is live: what is next is released
	checkLate         = "deliveries_given_back"        // again and again, by trouble of ours: told only
)

// MaxHold is how long a transaction may keep vacuum from removing dead rows before it is told. Of river_job each
// delivery leaves two, and who looks for jobs reads them.
const MaxHold = time.Minute

// maxLate is how far behind its time a delivery may be whose run was given back, before it is told; lateRows is how
// many are counted.
const (
	maxLate  = 2 * time.Minute
	lateRows = 10_000
)

// checks lists the invariants in the order of reports. jobs_of_settled_deliveries is told and never repaired: it is
// River UI's Retry waiting for its turn.
func checks() []string {
	return []string{
		checkWithoutJob, checkCancelledJob, checkWithoutEvent, checkIdleQueue, checkStanding, checkLate,
		checkStrayJob, checkSettled,
		checkPartitions, checkDetaches, checkSequences, checkLocks, checkVacuum,
	}
}

// repairable tells whether reconcile repairs what breaks an invariant. The pacer moves jobs, all the time, and why a
// run is given back is for people to mend.
func repairable(check string) bool {
	return violates(check) && check != checkIdleQueue && check != checkLate
}

// violates tells whether what breaks an invariant is more than worth knowing.
func violates(check string) bool {
	return check != checkSettled && check != checkLocks && check != checkVacuum
}

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
		found := Finding{Check: check, Violation: violates(check), Examples: []string{}}
		if part := f[check]; part != nil {
			found.Count, found.Examples = part.Count, part.Examples
		}
		list = append(list, found)
	}
	return list
}

// Inspect checks every invariant and changes nothing. It reads the backlog (pending deliveries and live jobs), not the
// log: 10,000 a statement, and the events of a week at most, each in a read-only transaction of its own, which locks
// the partitions of that week; timeout bounds each. A delivery and its job are compared in one statement.
func Inspect(ctx context.Context, pool *pgxpool.Pool, timeout time.Duration) ([]Finding, error) {
	found := make(findings)
	options := pgx.TxOptions{BeginQuery: fmt.Sprintf("BEGIN READ ONLY; SET LOCAL statement_timeout = %d; %s; %s",
		timeout.Milliseconds(), pg.Planned, pg.ByKey)}
	read := func(run func(tx pgx.Tx) error) error { return pgx.BeginTxFunc(ctx, pool, options, run) }

	for at, more := (position{}), true; more; {
		err := read(func(tx pgx.Tx) error {
			w, err := examine(ctx, tx, at)
			at, more = w.next, w.more
			for i, problem := range w.broken.Problems {
				found.add(problem, w.broken.EventIDs[i].String()+"/"+w.broken.EndpointIDs[i].String())
			}
			for i, problem := range w.strays.Problems {
				found.add(problem, strconv.FormatInt(w.strays.JobIDs[i], 10))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}

	standing, err := standing(ctx, func(look func(db.DBTX) error) error {
		return read(func(tx pgx.Tx) error { return look(tx) })
	})
	if err != nil {
		return nil, err
	}
	for _, key := range standing {
		found.add(checkStanding, hex.EncodeToString([]byte(key)))
	}

	err = read(func(tx pgx.Tx) error {
		return errors.Join(inspectPartitions(ctx, tx, found), sequences(ctx, tx, found, false),
			inspectLate(ctx, tx, found), inspectLocks(ctx, tx, found), inspectVacuum(ctx, tx, found))
	})
	if err != nil {
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

// inspectLate finds the deliveries that trouble of ours keeps from being sent.
func inspectLate(ctx context.Context, tx db.DBTX, found findings) error {
	late, err := db.New().ListLateJobs(ctx, tx, maxLate.Seconds(), lateRows)
	if err != nil {
		return fmt.Errorf("looking for deliveries that were given back: %w", err)
	}
	for _, delivery := range late {
		found.add(checkLate, delivery)
	}
	return nil
}

// reports is how many reports over all days the server should have room for at a time.
const reports = 2

// inspectLocks compares the locks of reports over all days with what the server has room for.
func inspectLocks(ctx context.Context, tx db.DBTX, found findings) error {
	locks, err := db.New().CountLocks(ctx, tx)
	if err != nil {
		return fmt.Errorf("counting locks: %w", err)
	}
	if lacks := reports*locks.Wanted - locks.Room; lacks > 0 {
		found[checkLocks] = &Finding{Count: int(lacks), Examples: []string{fmt.Sprintf(
			"a report over all days takes %d locks, and the server has room for %d: raise max_locks_per_transaction",
			locks.Wanted, locks.Room)}}
	}
	return nil
}

// inspectVacuum names who keeps vacuum from removing dead rows.
func inspectVacuum(ctx context.Context, tx db.DBTX, found findings) error {
	holders, err := db.New().ListVacuumHolders(ctx, tx, MaxHold.Seconds())
	if err != nil {
		return fmt.Errorf("looking for old transactions: %w", err)
	}
	for _, holder := range holders {
		found.add(checkVacuum, holder)
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

// span is the days of events whose partitions one statement may lock.
const span = 7

// position is where an examination goes on: first the pending deliveries, some days at a time and then by the ids of
// their jobs, and then the live jobs.
type position struct {
	day   pg.Day // the first of the span; 0 is the beginning
	jobs  bool   // the deliveries are done
	after int64  // the job's id
}

// windowOf is what was seen of a window: of pending deliveries those whose job does not work for them, or of live jobs
// those that own no pending delivery.
type windowOf struct {
	broken db.FindBrokenDeliveriesRow
	strays db.FindStrayJobsRow
	next   position
	more   bool // next is not the end
}

// examine looks at the window at a position.
func examine(ctx context.Context, tx db.DBTX, at position) (windowOf, error) {
	if at.jobs {
		return examineJobs(ctx, tx, at)
	}
	return examineDeliveries(ctx, tx, at)
}

func examineDeliveries(ctx context.Context, tx db.DBTX, at position) (w windowOf, err error) {
	days, err := db.New().GetLogDays(ctx, tx)
	if err != nil {
		return w, fmt.Errorf("reading which days there are: %w", err)
	}

	at.day = max(at.day, pg.Day(days.First))
	p := db.FindBrokenDeliveriesParams{
		WorkedQueues: ledger.WorkedQueues(), After: at.after, MaxRows: window,
		Low: at.day.Floor(), High: (at.day + span).Floor(),
	}
	if w.broken, err = db.New().FindBrokenDeliveries(ctx, tx, p); err != nil {
		return w, fmt.Errorf("examining pending deliveries: %w", err)
	}

	w.more = true
	switch {
	case w.broken.Examined == window:
		w.next = position{day: at.day, after: w.broken.LastJobID}
	case at.day+span <= pg.Day(days.Last):
		w.next = position{day: at.day + span}
	default:
		w.next = position{jobs: true}
	}
	return w, nil
}

func examineJobs(ctx context.Context, tx db.DBTX, at position) (w windowOf, err error) {
	jobs, err := db.New().ListJobDays(ctx, tx, at.after, window)
	if err != nil {
		return w, fmt.Errorf("listing live jobs: %w", err)
	}

	// Nearly always they are of a few days.
	slices.Sort(jobs.Days)
	for next := pg.Day(math.MinInt32); len(jobs.Days) > 0; jobs.Days = jobs.Days[1:] {
		day := pg.Day(jobs.Days[0])
		if day < next {
			continue
		}
		next = day + span
		row, err := db.New().FindStrayJobs(ctx, tx, db.FindStrayJobsParams{
			WorkedQueues: ledger.WorkedQueues(), After: at.after, Upto: jobs.LastJobID,
			Low: day.Floor(), High: next.Floor(),
		})
		if err != nil {
			return w, fmt.Errorf("examining live jobs: %w", err)
		}
		w.strays.JobIDs = append(w.strays.JobIDs, row.JobIDs...)
		w.strays.Problems = append(w.strays.Problems, row.Problems...)
	}

	if jobs.Examined == window {
		w.next, w.more = position{jobs: true, after: jobs.LastJobID}, true
	}
	return w, nil
}
