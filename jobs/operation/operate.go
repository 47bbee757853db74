package operation

import (
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
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// scanRows is how many deliveries one chunk looks at, and so the most that it replays.
	scanRows = 500

	// turn is how long one run of the job goes on before it lets another operation have its turn.
	turn = time.Second

	// fullWait is how long an operation waits at least when enough of its deliveries wait for their turn. It waits for a
	// quarter of the time for which it has stood still, maxFullWait at most: deliveries that are sent make room within a
	// moment, those of a paused endpoint perhaps next week.
	fullWait    = 100 * time.Millisecond
	maxFullWait = 4 * time.Second // below 5 s, River makes a snoozed job available at once

	// starved is how long an operation stands still because others' bursts fill the queue. Then it goes on, a chunk each
	// time: bursts may come for hours, and what it adds to theirs is little.
	starved = 10 * time.Second

	// grace is how long after until the last pass begins: an outcome is recorded within ledger.RecordTimeout of its time
	// unless the database is in trouble.
	grace = ledger.RecordTimeout

	// phaseMissed is the phase after the deliveries that have ended. A stored format.
	phaseMissed = "missed"

	// begin begins each chunk. The plan must know the filter's values: an index serves one and not the other. A row that
	// a stranger holds is not worth a slot either.
	begin = "BEGIN; SET LOCAL statement_timeout = 60000; SET LOCAL lock_timeout = 500; " +
		pg.Planned + "; SET LOCAL jit = off"
)

// Args are the arguments of an "operate" job, which carries an operation out: a stored format.
type Args struct {
	OperationID uuid.UUID `json:"operation_id"`
}

// Kind returns "operate".
func (Args) Kind() string { return "operate" }

// Worker carries operations out.
type Worker struct {
	river.WorkerDefaults[Args]

	cfg    Config
	pool   *pgxpool.Pool
	logger *slog.Logger
}

// NewWorker returns a Worker.
func NewWorker(cfg Config, pool *pgxpool.Pool, logger *slog.Logger) *Worker {
	return &Worker{cfg: cfg, pool: pool, logger: logger}
}

// Work replays chunk after chunk until the operation is over, is paused, has had its turn, or can't go on: there are
// few slots, and none is held by one that only waits. The operation's row is locked for each chunk, so two jobs of one
// operation do no harm.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	id := job.Args.OperationID
	for began := time.Now(); ; {
		wait, err := w.step(ctx, id)
		switch {
		case errors.Is(err, errNotRunning):
			return nil
		case err != nil:
			return w.failed(ctx, id, err)
		case wait > fullWait || time.Since(began) > turn:
			return river.JobSnooze(wait)
		}

		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errNotRunning ends the job of an operation that does not run: it is over, paused, or gone.
var errNotRunning = errors.New("the operation does not run")

// failed keeps what went wrong with the operation, for whoever looks at it.
func (w *Worker) failed(ctx context.Context, id uuid.UUID, err error) error {
	if ctx.Err() != nil {
		return err
	}

	w.logger.WarnContext(ctx, "carrying an operation out",
		slog.String("operation_id", id.String()), slog.Any("error", err))
	text := err.Error()
	if err := db.New().SetOperationError(ctx, w.pool, &text, id); err != nil {
		return fmt.Errorf("keeping what went wrong: %w", err)
	}

	if sqlstate.Of(err) == sqlstate.LockNotAvailable {
		return river.JobSnooze(ledger.TroubleDelay)
	}
	return err
}

// step does one chunk and says how long to wait before the next. Returns errNotRunning if there is none.
func (w *Worker) step(ctx context.Context, id uuid.UUID) (wait time.Duration, err error) {
	var begins *db.LockOperationRow
	err = pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		op, err := db.New().LockOperation(ctx, tx, id)
		switch {
		case errors.Is(err, pgx.ErrNoRows), err == nil && op.State != StateRunning:
			return errNotRunning
		case err != nil:
			return fmt.Errorf("locking: %w", err)
		}

		full, err := w.full(ctx, tx, op)
		switch {
		case err != nil:
			return err
		case full:
			wait = min(max(fullWait, op.DatabaseTime.Sub(op.UpdatedAt)/4), maxFullWait)
			return nil
		case op.PassBeganAt == nil:
			begins = &op
			return nil
		}

		if op.Phase == phaseMissed {
			return chunkMissed(ctx, tx, op)
		}
		wait, err = chunk(ctx, tx, op)
		return err
	})
	if err != nil || begins == nil {
		return wait, err
	}
	return 0, w.beginPass(ctx, *begins)
}

// beginPass begins an operation's first pass, once what matches has been counted.
func (w *Worker) beginPass(ctx context.Context, op db.LockOperationRow) error {
	total := w.countMatches(ctx, op)

	return pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		now, err := db.New().LockOperation(ctx, tx, op.ID)
		switch {
		case errors.Is(err, pgx.ErrNoRows), err == nil && now.State != StateRunning:
			return errNotRunning
		case err != nil:
			return fmt.Errorf("locking: %w", err)
		case now.PassBeganAt != nil: // by another job of the operation
			return nil
		}
		return db.New().BeginPass(ctx, tx, total, op.ID)
	})
}

// full tells whether enough deliveries wait for their turn already: in the endpoint's lane, or in the queue of bursts,
// which others may fill.
func (w *Worker) full(ctx context.Context, tx pgx.Tx, op db.LockOperationRow) (bool, error) {
	if op.EndpointID != nil {
		full, err := w.holds(ctx, tx, ledger.EndpointQueuePrefix+op.EndpointID.String())
		if full || err != nil {
			return full, err
		}
	}

	if op.DatabaseTime.Sub(op.UpdatedAt) >= starved {
		return false, nil
	}
	return w.holds(ctx, tx, ledger.QueueDeliverBulk)
}

// holds tells whether a queue holds as many deliveries as may wait for their turn.
func (w *Worker) holds(ctx context.Context, tx pgx.Tx, queue string) (bool, error) {
	n, err := db.New().CountAvailableJobs(ctx, tx, queue, int32(w.cfg.Backlog)) //nolint:gosec // validated
	if err != nil {
		return false, fmt.Errorf("counting what waits: %w", err)
	}
	return n >= int64(w.cfg.Backlog), nil
}

// chunk looks at the next deliveries, replays those that match, and moves the operation on, all in tx.
func chunk(ctx context.Context, tx pgx.Tx, op db.LockOperationRow) (wait time.Duration, err error) {
	part, err := scan(ctx, tx, op)
	if err != nil {
		return 0, fmt.Errorf("looking at deliveries: %w", err)
	}

	var eventIDs, endpointIDs []uuid.UUID
	for _, r := range part.rows {
		if r.Matches {
			eventIDs, endpointIDs = append(eventIDs, r.EventID), append(endpointIDs, r.EndpointID)
		}
	}

	replayed, err := replayChunk(ctx, tx, op, eventIDs, endpointIDs)
	if err != nil {
		return 0, err
	}

	if err := db.New().AdvanceOperation(ctx, tx, db.AdvanceOperationParams{
		ID: op.ID, Replayed: int64(replayed), Skipped: int64(len(eventIDs) - replayed),
		CursorCompletedAt: &part.next.completedAt, CursorEventID: &part.next.eventID,
		CursorEndpointID: &part.next.endpointID,
	}); err != nil {
		return 0, fmt.Errorf("moving on: %w", err)
	}

	if !part.last {
		return 0, nil
	}
	return endPass(ctx, tx, op)
}

// endPass ends the phase of an operation whose pass began late enough, or begins the last pass when its time has come.
func endPass(ctx context.Context, tx pgx.Tx, op db.LockOperationRow) (wait time.Duration, err error) {
	due := op.Until.Add(grace)
	switch {
	case !op.PassBeganAt.Before(due) && op.Missed:
		return 0, db.New().BeginMissed(ctx, tx, op.ID)
	case !op.PassBeganAt.Before(due):
		return 0, complete(ctx, tx, op)
	}

	if left := due.Sub(op.DatabaseTime); left > 0 {
		return max(left, 2*fullWait), nil
	}
	return 0, db.New().BeginPass(ctx, tx, nil, op.ID)
}

func complete(ctx context.Context, tx pgx.Tx, op db.LockOperationRow) error {
	if _, err := db.New().SetOperationState(ctx, tx, StateCompleted, op.ID, []string{StateRunning}); err != nil {
		return fmt.Errorf("completing: %w", err)
	}
	return nil
}

// chunkMissed looks at the next events of the endpoint's tenant, makes the deliveries that are missing, and moves the
// operation on, all in tx.
func chunkMissed(ctx context.Context, tx pgx.Tx, op db.LockOperationRow) error {
	part, err := scanMissed(ctx, tx, op)
	if err != nil {
		return fmt.Errorf("looking at events: %w", err)
	}

	var eventIDs []uuid.UUID
	for _, r := range part.rows {
		if r.Matches {
			eventIDs = append(eventIDs, r.EventID)
		}
	}

	var made int64
	if len(eventIDs) > 0 {
		if made, err = db.New().InsertMissedDeliveries(ctx, tx, eventIDs, *op.EndpointID); err != nil {
			return fmt.Errorf("making %d deliveries: %w", len(eventIDs), err)
		}
		if err := ledger.Notify(ctx, tx, ledger.QueueDeliverBulk); err != nil {
			return err
		}
	}

	if err := db.New().AdvanceOperation(ctx, tx, db.AdvanceOperationParams{
		ID: op.ID, Replayed: made, CursorEventID: &part.next.eventID,
	}); err != nil {
		return fmt.Errorf("moving on: %w", err)
	}

	if !part.last {
		return nil
	}
	return complete(ctx, tx, op)
}

// replayChunk replays those of the deliveries that still match once they are locked, and returns how many that are. The
// order of locks is everybody's: deliveries, then jobs.
func replayChunk(
	ctx context.Context, tx pgx.Tx, op db.LockOperationRow, eventIDs, endpointIDs []uuid.UUID,
) (int, error) {
	if len(eventIDs) == 0 {
		return 0, nil
	}

	if _, err := tx.Exec(ctx, pg.ByKey); err != nil {
		return 0, fmt.Errorf("preparing: %w", err)
	}

	p := db.LockEndedDeliveriesParams{
		EventIDs: eventIDs, EndpointIDs: endpointIDs, States: op.States, Since: op.Since, Until: op.Until,
	}
	p.Low, p.High = pg.Bounds(eventIDs)
	locked, err := db.New().LockEndedDeliveries(ctx, tx, p)
	if err != nil || len(locked) == 0 {
		return 0, err
	}

	r := db.ReplayDeliveriesParams{Low: p.Low, High: p.High}
	jobIDs := make([]int64, len(locked))
	for i, d := range locked {
		r.EventIDs, r.EndpointIDs, jobIDs[i] = append(r.EventIDs, d.EventID), append(r.EndpointIDs, d.EndpointID), d.JobID
	}

	// A job before may be live: River UI's Retry. One order is enough.
	if err := ledger.CancelJobs(ctx, tx, jobIDs...); err != nil {
		return 0, fmt.Errorf("cancelling %d jobs: %w", len(jobIDs), err)
	}

	if err := db.New().ReplayDeliveries(ctx, tx, r); err != nil {
		return 0, fmt.Errorf("replaying %d deliveries: %w", len(locked), err)
	}
	return len(locked), ledger.Notify(ctx, tx, ledger.QueueDeliverBulk)
}
