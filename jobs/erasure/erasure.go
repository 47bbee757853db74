package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// budget is how long one run erases; reconcile and the retention have the same workers, and go first.
	budget = 2 * time.Second

	// chunk is how many events, with their deliveries and attempts, are erased in one transaction. Endpoints and keys
	// are small.
	chunk     = 500
	keysChunk = 5000

	// listDays is how many days of events one transaction looks through.
	listDays = 7

	// pause is the wait for the next run, settlePause that for the second pass.
	pause       = time.Second
	settlePause = 5 * time.Second
)

// errNotSettled says that the second pass must wait.
var errNotSettled = errors.New("requests or transactions of before are still under way")

// Args are the arguments of an "erase" job, which erases a tenant's data: a stored format.
type Args struct {
	ErasureID uuid.UUID `json:"erasure_id"`
}

// Kind returns "erase".
func (Args) Kind() string { return "erase" }

// Order orders that everything that a tenant has until now is erased: what people have noted of it, what its endpoints
// are and their secrets, its payloads, what attempts say of its receivers, its endpoints' health, its rollups and
// usage, its operations and its idempotency keys; and that its API keys are revoked. Ids, times, types, states and
// counts stay in the log until the retention ends. It takes effect when tx commits; a job does the rest, which
// GetErasure tells of.
func Order(ctx context.Context, tx pgx.Tx, tenantID string) (db.TenantErasure, error) {
	q := db.New()
	order, err := q.InsertErasure(ctx, tx, tenantID)
	if err != nil {
		return order, fmt.Errorf("inserting an erasure: %w", err)
	}

	if err := q.InsertEraseJobs(ctx, tx); err != nil {
		return order, fmt.Errorf("inserting its job: %w", err)
	}
	return order, ledger.Notify(ctx, tx, ledger.QueueMaintenance)
}

// Worker carries erasures out.
type Worker struct {
	river.WorkerDefaults[Args]

	pool   *pgxpool.Pool
	logger *slog.Logger
}

// NewWorker returns a Worker.
func NewWorker(pool *pgxpool.Pool, logger *slog.Logger) *Worker {
	return &Worker{pool: pool, logger: logthrottle.New(logger)}
}

// Work erases for a while. Each chunk commits with the place to go on from, so a run may end anywhere.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	for end := time.Now().Add(budget); ; {
		complete, err := w.step(ctx, job.Args.ErasureID)
		switch {
		case errors.Is(err, errNotSettled):
			return river.JobSnooze(settlePause)
		case err != nil:
			w.logger.ErrorContext(ctx, "erasing a tenant's data",
				slog.String("erasure_id", job.Args.ErasureID.String()), slog.Any("error", err))
			return err

		case complete:
			return nil
		case time.Now().After(end):
			return river.JobSnooze(pause)
		}
	}
}

// step erases one chunk. complete is true if nothing is left, also if the order is complete already.
func (w *Worker) step(ctx context.Context, id uuid.UUID) (complete bool, err error) {
	err = pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{BeginQuery: pg.BeginRepair}, func(tx pgx.Tx) error {
		order, err := db.New().LockErasure(ctx, tx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			complete = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the erasure: %w", err)
		}

		if order.Pass > 1 && !order.Settled {
			return errNotSettled
		}

		progress, err := erase(ctx, tx, order)
		if err != nil {
			return err
		}

		complete = progress.Complete
		if err := db.New().SaveErasure(ctx, tx, progress); err != nil {
			return fmt.Errorf("saving the progress: %w", err)
		}
		return nil
	})

	if err == nil && complete {
		w.logger.InfoContext(ctx, "erased a tenant's data", slog.String("erasure_id", id.String()))
	}
	return complete, err
}

// erase does the next chunk of a pass: API keys, stored answers and endpoints first, so that nothing new is ordered or
// sent, then events with what belongs to them, then idempotency keys.
func erase(ctx context.Context, tx pgx.Tx, order db.LockErasureRow) (p db.SaveErasureParams, err error) {
	q := db.New()
	p = db.SaveErasureParams{ID: order.ID, Pass: order.Pass, LastEventID: order.LastEventID}

	if order.LastEventID == nil {
		if err := eraseTenant(ctx, tx, order); err != nil {
			return p, err
		}
	}

	if p.Endpoints, err = q.EraseEndpoints(ctx, tx, order.TenantID, order.RequestedAt, chunk); err != nil {
		return p, fmt.Errorf("erasing endpoints: %w", err)
	}
	if p.Endpoints > 0 {
		return p, q.EraseSecrets(ctx, tx, order.TenantID)
	}

	if order.LastEventID == nil {
		if err := eraseReports(ctx, tx, order); err != nil {
			return p, err
		}
	}

	next, err := nextEvents(ctx, tx, order)
	if err != nil {
		return p, fmt.Errorf("listing events: %w", err)
	}
	if len(next.ids) > 0 {
		p.LastEventID = &next.last
		return p, eraseEvents(ctx, tx, next.ids, &p)
	}
	if !next.end {
		p.LastEventID = &next.last
		return p, nil
	}

	if p.Keys, err = q.EraseKeys(ctx, tx, order.TenantID, order.RequestedAt, keysChunk); err != nil {
		return p, fmt.Errorf("erasing keys: %w", err)
	}

	// What was under way during the first pass is found by the second.
	switch {
	case p.Keys > 0:
	case order.Pass == 1:
		p.Pass, p.LastEventID = 2, nil
	default:
		p.Complete = true
	}
	return p, nil
}

// eraseTenant erases what is the tenant's alone, and what was ordered for it.
func eraseTenant(ctx context.Context, tx pgx.Tx, order db.LockErasureRow) error {
	if err := db.New().RevokeTenantKeys(ctx, tx, order.TenantID, order.RequestedAt); err != nil {
		return fmt.Errorf("revoking API keys: %w", err)
	}
	if err := db.New().EraseStoredAnswers(ctx, tx, order.TenantID, order.RequestedAt); err != nil {
		return fmt.Errorf("erasing stored answers: %w", err)
	}
	if err := db.New().EraseTenant(ctx, tx, order.TenantID, order.RequestedAt); err != nil {
		return fmt.Errorf("erasing what is noted of the tenant: %w", err)
	}
	return nil
}

// eraseReports erases what is said of endpoints that are erased already: their revisions, their health, what was
// counted of them, and the replays of their deliveries.
func eraseReports(ctx context.Context, tx pgx.Tx, order db.LockErasureRow) error {
	if err := db.New().EraseRevisions(ctx, tx, order.TenantID); err != nil {
		return fmt.Errorf("erasing the endpoints' revisions: %w", err)
	}
	if err := db.New().EraseHealth(ctx, tx, order.TenantID); err != nil {
		return fmt.Errorf("erasing the endpoints' health: %w", err)
	}

	if err := db.New().EraseRollups(ctx, tx, order.TenantID); err != nil {
		return fmt.Errorf("erasing rollups: %w", err)
	}
	if err := db.New().EraseUsage(ctx, tx, order.TenantID); err != nil {
		return fmt.Errorf("erasing usage: %w", err)
	}
	if err := db.New().EraseOperations(ctx, tx, order.RequestedAt, order.TenantID); err != nil {
		return fmt.Errorf("erasing operations: %w", err)
	}
	return nil
}

// events is a chunk of a tenant's events.
type events struct {
	ids  []uuid.UUID
	last uuid.UUID // the chunk goes so far
	end  bool      // nothing is behind it
}

// nextEvents lists the events behind those that are erased, of some days: a transaction locks the partitions of those.
func nextEvents(ctx context.Context, tx pgx.Tx, order db.LockErasureRow) (next events, err error) {
	days, err := db.New().GetLogDays(ctx, tx)
	if err != nil {
		return next, err
	}

	after := pg.Day(days.First).Before()
	if order.LastEventID != nil && bytes.Compare(order.LastEventID[:], after[:]) > 0 {
		after = *order.LastEventID
	}

	// Events of the order's own millisecond are older than its answer: they belong to it.
	end, high := pg.FloorID(order.RequestedAt.Add(time.Millisecond)), (pg.DayOf(after) + listDays).Floor()
	if bytes.Compare(high[:], end[:]) >= 0 {
		high, next.end = end, true
	}

	next.ids, err = db.New().ListTenantEvents(ctx, tx, db.ListTenantEventsParams{
		TenantID: order.TenantID, After: after, High: high, MaxRows: chunk,
	})
	next.last = (pg.DayOf(after) + listDays).Before()
	if len(next.ids) > 0 {
		next.last = next.ids[len(next.ids)-1]
	}
	return next, err
}

// eraseEvents erases a chunk of events. The order of locks is everybody's: deliveries, then jobs.
func eraseEvents(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, p *db.SaveErasureParams) error {
	q := db.New()
	low, high := pg.Bounds(ids)

	jobIDs, err := q.EraseDeliveries(ctx, tx, db.EraseDeliveriesParams{
		Reason: ledger.ReasonErased, EventIDs: ids, Low: low, High: high,
	})
	if err != nil {
		return fmt.Errorf("cancelling deliveries: %w", err)
	}

	p.Deliveries = int64(len(jobIDs))
	if len(jobIDs) > 0 {
		if err := ledger.CancelJobs(ctx, tx, jobIDs...); err != nil {
			return fmt.Errorf("cancelling jobs: %w", err)
		}
	}

	if p.Payloads, err = q.EraseEvents(ctx, tx, ids, low, high); err != nil {
		return fmt.Errorf("erasing payloads: %w", err)
	}
	if p.Attempts, err = q.EraseAttempts(ctx, tx, ids, low, high); err != nil {
		return fmt.Errorf("erasing attempts: %w", err)
	}
	return nil
}
