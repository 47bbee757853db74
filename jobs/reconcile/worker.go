package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
)

// Findings about who works. A run of reconcile, which is a worker's, has none of the first.
const (
	checkNoWorker     = "no_live_worker" // although something is due
	checkPausedQueues = "paused_queues"  // by a person, in River UI, or by a pause of everything
	checkPauses       = "paused"         // of everything, and of tenants
)

const (
	// maxPaused and maxPausedDue bound what is read of paused queues.
	maxPaused    = 1000
	maxPausedDue = 50_000
)

// InspectWorkers tells whether something is due that nobody will take, since no worker lives, which queues a person has
// paused, and what is paused for maintenance. It changes nothing; timeout bounds each statement.
func InspectWorkers(ctx context.Context, pool *pgxpool.Pool, timeout time.Duration) ([]Finding, error) {
	lack := Finding{Check: checkNoWorker, Violation: true, Examples: []string{}}
	stopped := Finding{Check: checkPausedQueues, Examples: []string{}}
	paused := Finding{Check: checkPauses, Examples: []string{}}
	options := pgx.TxOptions{BeginQuery: fmt.Sprintf(
		"BEGIN READ ONLY; SET LOCAL statement_timeout = %d; %s; %s; SET LOCAL enable_bitmapscan = off",
		timeout.Milliseconds(), pg.Planned, pg.ByKey)}

	err := pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error {
		w, err := db.New().CheckWorkers(ctx, tx, ledger.WorkedQueues())
		if err != nil {
			return fmt.Errorf("looking for workers: %w", err)
		}
		if w.IsDue && !w.Live {
			lack.Count, lack.Examples = 1, []string{whatToDo(w)}
		}

		queues, err := db.New().ListPausedQueues(ctx, tx, maxPausedDue, maxPaused)
		if err != nil {
			return fmt.Errorf("listing paused queues: %w", err)
		}
		stopped.Count = len(queues)
		for _, q := range queues[:min(len(queues), maxExamples)] {
			stopped.Examples = append(stopped.Examples, fmt.Sprintf(
				"%s, since %s, with %d due: resume it in River UI, unless somebody has meant it (see paused)",
				q.Name, q.PausedAt.UTC().Format(time.RFC3339), q.Due))
		}
		return inspectPauses(ctx, tx, &paused)
	})
	return []Finding{lack, stopped, paused}, err
}

// inspectPauses finds what people have paused for maintenance.
func inspectPauses(ctx context.Context, tx pgx.Tx, found *Finding) error {
	pauses, err := db.New().ListPauses(ctx, tx, maxPaused)
	if err != nil {
		return fmt.Errorf("listing pauses: %w", err)
	}

	found.Count = len(pauses)
	for _, p := range pauses[:min(len(pauses), maxExamples)] {
		what := "tenant " + p.TenantID
		if p.TenantID == ledger.PauseAll {
			what = "all deliveries"
		}
		found.Examples = append(found.Examples, fmt.Sprintf("%s, since %s by %s: %s",
			what, p.PausedAt.UTC().Format(time.RFC3339), p.PausedBy, p.Reason))
	}
	return nil
}

// whatToDo says since when nobody works what is due.
func whatToDo(w db.CheckWorkersRow) string {
	seen := "no worker was ever seen"
	if w.SeenUntil.Unix() > 0 {
		seen = "the last worker was seen at " + w.SeenUntil.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("deliveries are due since %s, and %s: start `outhook serve` with the role worker, or look why it "+
		"does not start", w.DueSince.UTC().Format(time.RFC3339), seen)
}
