package operation

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// scanRows is how many deliveries one chunk looks at, and so the most that it replays.
	scanRows = 500

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

// beginPass begins an operation's first pass, once what matches has been counted.
func (w *Worker) beginPass(ctx context.Context, op db.LockNextOperationRow) error {
	total := w.countMatches(ctx, op)

	return pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		now, err := db.New().LockOperation(ctx, tx, op.ID)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err != nil:
			return fmt.Errorf("locking: %w", err)
		case now.State != StateRunning || now.PassBeganAt != nil: // somebody stopped it, or another process began
			return nil
		}
		return db.New().BeginPass(ctx, tx, total, op.ID)
	})
}

// chunk looks at the next deliveries, replays those that match, and moves the operation on, all in tx.
func chunk(ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow) error {
	part, err := scan(ctx, tx, op)
	if err != nil {
		return fmt.Errorf("looking at deliveries: %w", err)
	}

	var eventIDs, endpointIDs []uuid.UUID
	for _, r := range part.rows {
		if r.Matches {
			eventIDs, endpointIDs = append(eventIDs, r.EventID), append(endpointIDs, r.EndpointID)
		}
	}

	replayed, err := replayChunk(ctx, tx, op, eventIDs, endpointIDs)
	if err != nil {
		return err
	}

	if err := db.New().AdvanceOperation(ctx, tx, db.AdvanceOperationParams{
		ID: op.ID, Replayed: int64(replayed), Skipped: int64(len(eventIDs) - replayed),
		CursorCompletedAt: &part.next.completedAt, CursorEventID: &part.next.eventID,
		CursorEndpointID: &part.next.endpointID,
	}); err != nil {
		return fmt.Errorf("moving on: %w", err)
	}

	if !part.last {
		return nil
	}
	return endPass(ctx, tx, op)
}

// endPass ends the phase of an operation whose pass began late enough, or begins the last pass when its time has come.
func endPass(ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow) error {
	due := op.Until.Add(grace)
	switch {
	case !op.PassBeganAt.Before(due) && op.Missed:
		return db.New().BeginMissed(ctx, tx, op.ID)
	case !op.PassBeganAt.Before(due):
		return complete(ctx, tx, op)
	}

	if left := due.Sub(op.DatabaseTime); left > 0 {
		return hold(ctx, tx, op, max(left, 2*minWait))
	}
	return db.New().BeginPass(ctx, tx, nil, op.ID)
}

func complete(ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow) error {
	if _, err := db.New().SetOperationState(ctx, tx, StateCompleted, op.ID, []string{StateRunning}); err != nil {
		return fmt.Errorf("completing: %w", err)
	}
	return nil
}

// chunkMissed looks at the next events of the endpoint's tenant, makes the deliveries that are missing, and moves the
// operation on, all in tx.
func chunkMissed(ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow) error {
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
		p := db.InsertMissedDeliveriesParams{
			EventIDs: eventIDs, EndpointID: *op.EndpointID, Low: eventIDs[0], High: eventIDs[len(eventIDs)-1],
		}
		if made, err = db.New().InsertMissedDeliveries(ctx, tx, p); err != nil {
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
	ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow, eventIDs, endpointIDs []uuid.UUID,
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
