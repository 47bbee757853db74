package presence

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// unbroken is the last part of a silence, in which there was no gap: a worker that was cut off together with all
	// others gets that long to renew its lease, more than one try may hang (timeout).
	unbroken = 6 * time.Second

	// maxGap is how far apart two looks may be, whoever takes them. If nobody looked for longer, the database was out of
	// everybody's reach.
	maxGap = 4 * time.Second

	// StuckAfter is how long a run may go on in a process that lives: above ledger.JobTimeout by the worst stall of
	// River's completer (10 s × 3 tries).
	StuckAfter = ledger.JobTimeout + 35*time.Second

	// rescueChunk is how many jobs one look rescues.
	rescueChunk = 1000
)

// rescuer gives the jobs of dead workers to the living, long before River's own rescuer does: that one only knows
// that a job has been running for longer than any can. Every worker process has one and looks for itself, so that
// there is no leader whose death would have to be noticed first. What they have seen is in the database: those who
// look may die as well. One statement judges and acts, so a process that was frozen in between can do nothing by what
// it saw; and two that rescue the same job do not meet it twice.
type rescuer struct {
	logger  *slog.Logger
	rescued prometheus.Counter
}

func (r *rescuer) run(ctx context.Context, conn *pgx.Conn) error {
	if err := db.New().WatchWorkers(ctx, conn, maxGap.Seconds()); err != nil {
		return fmt.Errorf("noting a look at the workers: %w", err)
	}

	groups, err := db.New().RescueJobs(ctx, conn, db.RescueJobsParams{
		UnbrokenSeconds: unbroken.Seconds(), LeaseSeconds: duration.Seconds(), StuckSeconds: StuckAfter.Seconds(),
		MaxRows: rescueChunk,
	})
	if err != nil {
		return fmt.Errorf("rescuing the jobs of dead workers: %w", err)
	}

	for _, g := range groups {
		r.rescued.Add(float64(g.Jobs))
		r.logger.WarnContext(ctx, "a worker died, or a run did not end: its jobs run elsewhere",
			slog.String("dead_client_id", g.ClientID), slog.Bool("died", g.Died), slog.Int("count", int(g.Jobs)),
			slog.Int64("longest_wait_ms", int64(g.WaitSeconds*1000)))
	}
	return nil
}
