package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
)

// ddlLockTimeout bounds how long a change of partitions waits for a lock. What does not get it is done by the next run.
const ddlLockTimeout = 2 * time.Second

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
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", ddlLockTimeout.Milliseconds())); err != nil {
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
func (r *retention) drop(ctx context.Context, parent string, child db.ListPartitionsRow) error {
	parentName, childName := pgx.Identifier{schema, parent}.Sanitize(), pgx.Identifier{schema, child.Name}.Sanitize()
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

	if parent == deliveriesTable {
		n, err := db.New().CancelJobsOf(ctx, r.conn, child.Name)
		if err != nil {
			return fmt.Errorf("cancelling the last jobs of %s: %w", child.Name, err)
		}
		r.done.Expired += int(n)
	}

	if err := r.alter(ctx, ddlLockTimeout, "DROP TABLE "+childName); err != nil {
		return fmt.Errorf("dropping %s: %w", child.Name, err)
	}
	r.done.Tables++

	if err := db.New().DeleteRetentionMark(ctx, r.conn, child.Name); err != nil {
		return fmt.Errorf("removing the mark of %s: %w", child.Name, err)
	}
	return nil
}

// alter runs a statement that is no query, outside a transaction, and waits for each of its locks for so long. Returns
// ErrInTheWay if it did not get one.
func (r *retention) alter(ctx context.Context, wait time.Duration, statement string) error {
	if _, err := r.conn.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", wait.Milliseconds())); err != nil {
		return err
	}

	_, err := r.conn.Exec(ctx, statement)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "55P03" { // lock_not_available
		return ErrInTheWay
	}
	return err
}

// logTables returns the partitioned tables in the order in which their partitions leave.
func logTables() []string { return []string{"delivery_attempts", deliveriesTable, eventsTable} }

const (
	deliveriesTable = "deliveries"
	eventsTable     = "events"
)

// partitionName returns the name of a day's partition, like events_p20261124.
func partitionName(parent string, day time.Time) string { return parent + day.Format("_p20060102") }

// partitionDay reads the day out of a partition's name, like events_p20261124.
func partitionDay(parent, child string) (time.Time, error) {
	return time.Parse(parent+"_p20060102", child)
}
