package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
)

// maxEndpoints is how far endpoints are counted.
const maxEndpoints = 50_000

// upkeep is what people would have to watch by hand.
type upkeep struct {
	db.ReadUpkeepRow
	endpoints []db.CountEndpointsByStateRow
}

func readUpkeep(ctx context.Context, tx pgx.Tx, keepDays int) (u upkeep, err error) {
	q := db.New()
	if u.ReadUpkeepRow, err = q.ReadUpkeep(ctx, tx); err != nil {
		return u, fmt.Errorf("reading what upkeep needs: %w", err)
	}

	if int(u.OldestDay) > keepDays {
		if u.OldestDay, err = oldestDay(ctx, tx, keepDays); err != nil {
			return u, err
		}
	}

	if u.endpoints, err = q.CountEndpointsByState(ctx, tx, maxEndpoints); err != nil {
		return u, fmt.Errorf("counting endpoints: %w", err)
	}
	return u, nil
}

// oldestDay returns how many days ago the oldest day of the log was, of those that the retention does not keep for what
// is to be delivered later.
func oldestDay(ctx context.Context, tx pgx.Tx, keepDays int) (int32, error) {
	q := db.New()
	now, err := q.GetTransactionTime(ctx, tx)
	if err != nil {
		return 0, fmt.Errorf("reading the time: %w", err)
	}

	due := now.UTC().Truncate(ledger.Day).AddDate(0, 0, -keepDays)
	held, err := q.ListHeldDays(ctx, tx, pg.FloorID(due), due)
	if err != nil {
		return 0, fmt.Errorf("listing the days that are still needed: %w", err)
	}
	days, err := q.GetOldestDay(ctx, tx, held)
	if err != nil {
		return 0, fmt.Errorf("reading the oldest day: %w", err)
	}
	return days, nil
}

// upkeepDescs are the metrics of upkeep.
type upkeepDescs struct {
	keepDays int

	overdue, dead, held, behind, endpoints, paused, tenants *prometheus.Desc
}

func newUpkeepDescs(keep time.Duration) upkeepDescs {
	return upkeepDescs{
		keepDays: int(keep / ledger.Day),
		overdue: desc("retention_overdue_days",
			"Days by which the oldest day of the log is past the retention: 1 at most for an hour each day, else something "+
				"holds the retention up. Days that are kept for what is to be delivered later do not count."+all),
		dead: desc("job_dead_rows",
			"Dead rows of river_job, by Postgres' statistics: near 20,000 under load, and not growing."+all),
		held: desc("oldest_snapshot_seconds",
			"Age of the oldest session's or prepared transaction that keeps vacuum from removing dead rows. Other roles' "+
				"sessions are seen by members of pg_read_all_stats only."+all),
		behind: desc("oldest_snapshot_transactions",
			"The same in transactions since, with what replication slots and standbys hold, which has no time."+all),

		endpoints: desc("endpoints",
			"Endpoints by state: healthy and failing (enabled), paused, disabled. Counted up to 50,000 together."+all, "state"),
		paused: desc("paused_since_timestamp_seconds",
			"Since when deliveries are paused by an order, as Unix time; 0: they are not. all: everything; tenant: the first "+
				"tenant that is. For information: it is no failure."+all, "scope"),
		tenants: desc("paused_tenants", "Tenants whose deliveries are paused by an order."+all),
	}
}

func (u upkeepDescs) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{u.overdue, u.dead, u.held, u.behind, u.endpoints, u.paused, u.tenants} {
		ch <- d
	}
}

func (u upkeepDescs) collect(ch chan<- prometheus.Metric, read upkeep) {
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}

	send(u.overdue, float64(max(int(read.OldestDay)-u.keepDays, 0)))
	send(u.dead, float64(read.DeadJobs))
	send(u.held, max(read.HeldSeconds, 0))
	send(u.behind, float64(read.HeldTransactions))
	for _, e := range read.endpoints {
		send(u.endpoints, float64(e.Endpoints), e.State)
	}

	send(u.paused, read.PausedAll, "all")
	send(u.paused, read.PausedTenant, "tenant")
	send(u.tenants, float64(read.PausedTenants))
}
