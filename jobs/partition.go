package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
)

// ddlLockTimeout bounds how long a change of partitions waits for a lock. What does not get it is done by the next run.
const ddlLockTimeout = 2 * time.Second

// CreatePartitions makes the missing partitions of the log tables from yesterday to the given number of days ahead, a day
// per transaction, and returns how many tables it made. It does not wait for open transactions that have enqueued, and
// no enqueue waits for it.
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

// DropPartitions removes the partitions of all days before a day (UTC), attempts first, then deliveries, then events, and
// returns how many tables it dropped. It waits for transactions that began before it, and nothing waits for it: a
// partition is detached concurrently and only then dropped. What an interrupted call left half detached is finished.
//
// The connection must be a session (not a pooler in transaction mode).
func DropPartitions(ctx context.Context, pool *pgxpool.Pool, before time.Time) (int, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("acquiring a connection: %w", err)
	}
	defer conn.Release()
	var dropped int
	for _, parent := range logTables() {
		children, err := db.New().ListPartitions(ctx, conn, parent)
		if err != nil {
			return dropped, fmt.Errorf("listing the partitions of %s: %w", parent, err)
		}
		for _, child := range children {
			day, err := partitionDay(parent, child.Name)
			if err != nil || !day.Before(before) {
				continue // a table that only looks like a partition, or one that is still needed
			}
			if err := dropPartition(ctx, conn, parent, child); err != nil {
				return dropped, err
			}
			dropped++
		}
	}
	return dropped, nil
}

// logTables returns the partitioned tables in the order in which their partitions leave.
func logTables() []string { return []string{"delivery_attempts", "deliveries", "events"} }

// partitionName returns the name of a day's partition, like events_p20261124.
func partitionName(parent string, day time.Time) string { return parent + day.Format("_p20060102") }

// partitionDay reads the day out of a partition's name, like events_p20261124.
func partitionDay(parent, child string) (time.Time, error) {
	return time.Parse(parent+"_p20060102", child)
}

func dropPartition(ctx context.Context, conn *pgxpool.Conn, parent string, child db.ListPartitionsRow) error {
	parentName, childName := pgx.Identifier{"outhook", parent}.Sanitize(), pgx.Identifier{"outhook", child.Name}.Sanitize()
	mode := "CONCURRENTLY"
	if child.DetachPending {
		mode = "FINALIZE"
	}
	if child.Attached {
		// Not in a transaction, and without a lock timeout: it waits for older transactions without being in anyone's way.
		if _, err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s %s", parentName, childName, mode)); err != nil {
			return fmt.Errorf("detaching %s: %w", child.Name, err)
		}
	}
	if _, err := conn.Exec(ctx, "DROP TABLE "+childName); err != nil {
		return fmt.Errorf("dropping %s: %w", child.Name, err)
	}
	return nil
}
