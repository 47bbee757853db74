package operation

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
)

// What a preview looks at, at most: so many deliveries and events, in chunks of scanRows, and for so long. A chunk ends
// in some milliseconds, however few of its rows match.
const (
	previewRows = 100_000
	previewTime = 2 * time.Second
)

// Count is what an operation would do.
type Count struct {
	Since, Until time.Time

	// Replayed is how many deliveries it would give to the workers, Endpoints of how many endpoints those are, and Skipped
	// how many match and would be left alone.
	Replayed, Endpoints, Skipped int64

	// Complete tells whether all was looked at. If not, there are at least so many.
	Complete bool
}

// Preview counts what an operation of a kind would replay, looking through the log as that would. Nothing is ordered
// or locked.
func Preview(ctx context.Context, pool *pgxpool.Pool, kind string, f Filter) (Count, error) {
	now, err := db.New().GetTransactionTime(ctx, pool)
	if err != nil {
		return Count{}, fmt.Errorf("reading the database's time: %w", err)
	}

	p := &previewer{pool: pool, op: db.LockNextOperationRow{
		Kind: kind, TenantID: f.TenantID, EndpointID: f.EndpointID, EventTypes: append([]string{}, f.EventTypes...),
		States: statesOf(kind, f.States), Missed: f.Missed, Since: f.Since, Until: now,
	}, endpoints: map[uuid.UUID]bool{}}
	if f.Until != nil && f.Until.Before(now) {
		p.op.Until = *f.Until
	}
	p.Since, p.Until = p.op.Since, p.op.Until

	began := time.Now()
	for !p.Complete && p.looked < previewRows && time.Since(began) < previewTime {
		if err := p.next(ctx); err != nil {
			return p.Count, fmt.Errorf("looking at deliveries: %w", err)
		}
	}
	p.Endpoints = int64(len(p.endpoints))
	return p.Count, nil
}

// previewer goes through the log.
type previewer struct {
	Count

	pool      *pgxpool.Pool
	op        db.LockNextOperationRow // as if it were one, with the place that was come to
	looked    int
	endpoints map[uuid.UUID]bool
}

// beginPreview begins each chunk: as begin, but that nothing is written, and somebody waits for the answer.
const beginPreview = "BEGIN READ ONLY; SET LOCAL statement_timeout = 2000; " + pg.Planned + "; SET LOCAL jit = off"

// next counts a chunk.
func (p *previewer) next(ctx context.Context) error {
	return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{BeginQuery: beginPreview}, func(tx pgx.Tx) error {
		if p.op.Phase == phaseMissed {
			return p.missed(ctx, tx)
		}
		return p.ended(ctx, tx)
	})
}

// ended counts the next deliveries.
func (p *previewer) ended(ctx context.Context, tx pgx.Tx) error {
	part, err := scan(ctx, tx, p.op)
	if err != nil {
		return err
	}

	var eventIDs, endpointIDs []uuid.UUID
	for _, r := range part.rows {
		if r.Matches {
			eventIDs, endpointIDs = append(eventIDs, r.EventID), append(endpointIDs, r.EndpointID)
		}
	}
	if err := p.count(ctx, tx, eventIDs, endpointIDs); err != nil {
		return err
	}

	p.looked += len(part.rows)
	next := part.next
	p.op.CursorCompletedAt, p.op.CursorEventID, p.op.CursorEndpointID = &next.completedAt, &next.eventID, &next.endpointID
	switch {
	case part.last && p.op.Missed:
		p.op.Phase, p.op.CursorCompletedAt, p.op.CursorEventID, p.op.CursorEndpointID = phaseMissed, nil, nil, nil
	case part.last:
		p.Complete = true
	}
	return nil
}

// count tells those that would be replayed from those that would be left alone.
func (p *previewer) count(ctx context.Context, tx pgx.Tx, eventIDs, endpointIDs []uuid.UUID) error {
	if len(eventIDs) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, pg.ByKey); err != nil {
		return err
	}

	low, high := pg.Bounds(eventIDs)
	rows, err := db.New().CountReplayable(ctx, tx, db.CountReplayableParams{
		EventIDs: eventIDs, EndpointIDs: endpointIDs, Low: low, High: high,
	})
	p.Skipped += int64(len(eventIDs))
	for _, r := range rows {
		p.endpoints[r.EndpointID] = true
		p.Replayed, p.Skipped = p.Replayed+r.Count, p.Skipped-r.Count
	}
	return err
}

// missed counts the next events that the endpoint has no delivery of.
func (p *previewer) missed(ctx context.Context, tx pgx.Tx) error {
	part, err := scanMissed(ctx, tx, p.op)
	if err != nil {
		return err
	}

	for _, r := range part.rows {
		if r.Matches {
			p.Replayed++
			p.endpoints[*p.op.EndpointID] = true
		}
	}
	p.looked += len(part.rows)
	p.op.CursorEventID, p.Complete = &part.next.eventID, part.last
	return nil
}
