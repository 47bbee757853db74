package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/sqlstate"
)

// MinPartitionsAhead is how many days ahead the partitions must exist: below it something keeps the retain job from
// making them, and there is a week to find out what.
const MinPartitionsAhead = 7

// MissingPartitions names the partitions that events of today and the next days need and that are not attached.
func MissingPartitions(ctx context.Context, tx db.DBTX, ahead int) ([]string, error) {
	today, err := db.New().GetDay(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("reading the database's day: %w", err)
	}

	var missing []string
	for _, parent := range logTables() {
		children, err := db.New().ListPartitions(ctx, tx, parent)
		if err != nil {
			return nil, fmt.Errorf("listing the partitions of %s: %w", parent, err)
		}

		attached := make(map[string]bool, len(children))
		for _, child := range children {
			attached[child.Name] = child.Attached && !child.DetachPending
		}

		for i := range ahead + 1 {
			if name := partitionName(parent, today.AddDate(0, 0, i)); !attached[name] {
				missing = append(missing, name)
			}
		}
	}

	return missing, nil
}

// ddlLockTimeout bounds how long a change of partitions waits for a lock. What does not get it is done by the next run.
const (
	ddlLockTimeout = 2 * time.Second
	setLockTimeout = "SET LOCAL lock_timeout = 2000"
)

// detachWait bounds how long a detach waits for the transactions that use the table. Nobody waits for it meanwhile, and
// transactions that go on for longer one after the other would keep it from ever ending.
const detachWait = time.Minute

// CreatePartitions makes the missing partitions of the log tables from yesterday to the given number of days ahead, a
// day per transaction, and returns how many tables it made. It does not wait for open transactions that have enqueued,
// and no enqueue waits for it.
func CreatePartitions(ctx context.Context, pool *pgxpool.Pool, ahead int) (int, error) {
	today, err := db.New().GetDay(ctx, pool)
	if err != nil {
		return 0, fmt.Errorf("reading the database's day: %w", err)
	}

	var made int
	for i := -1; i <= ahead; i++ {
		day := today.AddDate(0, 0, i)
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, setLockTimeout); err != nil {
				return err
			}

			n, err := db.New().CreatePartitions(ctx, tx, day)
			made += int(n)
			return err
		})
		if err != nil {
			return made, fmt.Errorf("creating the partitions of %s: %w", day.Format(time.DateOnly), err)
		}
	}
	return made, nil
}

// drop removes a partition: detached concurrently, and only then dropped, it is in nobody's way.
//
// The detach waits for the transactions that are using the table. If one of them stays open for too long, the detach is
// half done by then, and FINALIZE of a later run does the rest.
func (r *round) drop(ctx context.Context, parent string, child db.ListPartitionsRow) error {
	parentName, childName := pgx.Identifier{pg.Schema, parent}.Sanitize(), pgx.Identifier{pg.Schema, child.Name}.Sanitize()
	detach := "ALTER TABLE " + parentName + " DETACH PARTITION " + childName

	var err error
	switch {
	case child.DetachPending:
		err = r.alter(ctx, detachWait, detach+" FINALIZE")
	case child.Attached:
		err = r.alter(ctx, detachWait, detach+" CONCURRENTLY")
	}
	if err != nil {
		return fmt.Errorf("detaching %s: %w", child.Name, err)
	}

	var cancelled int32
	err = r.step(ctx, func(tx pgx.Tx) (err error) {
		if parent == deliveriesTable {
			if cancelled, err = db.New().CancelJobsOf(ctx, tx, child.Name); err != nil {
				return fmt.Errorf("cancelling the last jobs: %w", err)
			}
		}

		if _, err = tx.Exec(ctx, setLockTimeout+"; DROP TABLE "+childName); err != nil {
			return waited(err)
		}
		return db.New().DeleteRetentionMark(ctx, tx, child.Name)
	})
	if err != nil {
		return fmt.Errorf("dropping %s: %w", child.Name, err)
	}

	r.done.Expired += int(cancelled)
	r.done.Tables++
	return nil
}

// alter runs a statement that can be in no transaction, if this process has the lease right before it, and waits for
// each of its locks for so long. Returns ErrInTheWay if it did not get one.
func (r *round) alter(ctx context.Context, wait time.Duration, statement string) error {
	if _, err := r.conn.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", wait.Milliseconds())); err != nil {
		return err
	}

	switch held, err := r.renew(ctx); {
	case err != nil:
		return err
	case !held:
		return errLost
	}

	_, err := r.conn.Exec(ctx, statement)
	return waited(err)
}

// waited returns ErrInTheWay for the error of a statement that did not get its lock in time.
func waited(err error) error {
	if sqlstate.Of(err) == sqlstate.LockNotAvailable {
		return ErrInTheWay
	}
	return err
}

// logTables returns the partitioned tables in the order in which their partitions leave.
func logTables() []string { return []string{attemptsTable, deliveriesTable, eventsTable} }

const (
	deliveriesTable = "deliveries"
	attemptsTable   = "delivery_attempts"
	eventsTable     = "events"
)

// partitionName returns the name of a day's partition, like events_p20261124.
func partitionName(parent string, day time.Time) string { return parent + day.Format("_p20060102") }

// partitionDay reads the day out of a partition's name, like events_p20261124.
func partitionDay(parent, child string) (time.Time, error) {
	return time.Parse(parent+"_p20060102", child)
}

// FinishDetach finishes an interrupted DETACH CONCURRENTLY; the table stays for the retention, or for whoever detached
// it. It returns false if it did not get the lock: then somebody else is at it, or an old transaction is in the way.
func FinishDetach(ctx context.Context, pool *pgxpool.Pool, parent, child string) (bool, error) {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, setLockTimeout); err != nil {
			return err
		}

		_, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE",
			pgx.Identifier{pg.Schema, parent}.Sanitize(), pgx.Identifier{pg.Schema, child}.Sanitize()))
		return err
	})
	if sqlstate.Of(err) == sqlstate.LockNotAvailable {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("finishing the detach of %s: %w", child, err)
	}
	return true, nil
}

// times completes what the index on the attempts' times knows of the days that are over. VACUUM leaves out the last
// pages of each table, up to a MiB, and who follows the attempts as they end would read those of every day, each
// second.
func (r *round) times(ctx context.Context) error {
	children, err := db.New().ListPartitions(ctx, r.conn, attemptsTable)
	if err != nil {
		return fmt.Errorf("listing the partitions of %s: %w", attemptsTable, err)
	}

	for _, child := range children {
		day, err := partitionDay(attemptsTable, child.Name)
		if err != nil || !day.Before(r.today) || !child.Attached {
			continue
		}
		if r.over() {
			return errUnfinished
		}

		// One that somebody has locked is for the next run.
		err = db.New().SummarizeTimes(ctx, r.conn, child.Name)
		if err != nil && sqlstate.Of(err) != sqlstate.LockNotAvailable {
			return fmt.Errorf("completing an index of %s: %w", child.Name, err)
		}
	}
	return nil
}
