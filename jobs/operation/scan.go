package operation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
)

const (
	// scanDays is how many days of the log one transaction looks through: it locks the partitions of those.
	scanDays = 7

	// countTimeout bounds the count of what matches, which is only for people.
	countTimeout = 2 * time.Second
)

// place is where an operation goes on: in the day of its event, behind the delivery that was settled then.
type place struct {
	completedAt         time.Time
	eventID, endpointID uuid.UUID
}

// part is what one chunk looks at.
type part[R any] struct {
	rows []R
	next place
	last bool // nothing is behind it
}

// stretch is what one query looks at: a day's events behind a place, from low to before high.
type stretch struct {
	place

	low, high uuid.UUID
	maxRows   int32
}

// look looks through the log day by day, from the operation's place to the day of its until, until it has scanRows rows
// or has looked at scanDays days. from is the first day if the operation has no place yet.
func look[R any](
	ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow, from func(first pg.Day) pg.Day,
	query func(stretch) ([]R, error), behind func(R) place,
) (p part[R], err error) {
	days, err := db.New().GetLogDays(ctx, tx)
	if err != nil {
		return p, fmt.Errorf("reading the log's days: %w", err)
	}

	first, last := pg.Day(days.First), min(pg.Day(days.Last), pg.DayAt(op.Until))
	p.next = dayBegin(op, from(first))
	if op.CursorEventID != nil {
		p.next.eventID = *op.CursorEventID
		if op.CursorCompletedAt != nil {
			p.next.completedAt, p.next.endpointID = *op.CursorCompletedAt, *op.CursorEndpointID
		}
	}
	if pg.DayOf(p.next.eventID) < first { // the retention has dropped that day meanwhile
		p.next = dayBegin(op, first)
	}

	for range scanDays {
		day := pg.DayOf(p.next.eventID)
		if day > last {
			p.last = true
			return p, nil
		}

		room := scanRows - len(p.rows)
		rows, err := query(stretch{
			place: p.next, low: day.Floor(), high: (day + 1).Floor(), maxRows: int32(room), //nolint:gosec // at most scanRows
		})
		if err != nil {
			return p, err
		}
		p.rows = append(p.rows, rows...)
		if len(rows) == room {
			p.next = behind(rows[room-1])
			return p, nil
		}
		p.next = dayBegin(op, day+1)
	}
	return p, nil
}

// dayBegin is the place before the first delivery of a day.
func dayBegin(op db.LockNextOperationRow, day pg.Day) place {
	return place{completedAt: op.Since, eventID: day.Floor()}
}

// scan returns the deliveries behind the operation's place.
func scan(ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow) (part[db.ScanEndedDeliveriesRow], error) {
	q := db.New()
	ended := func(s stretch) ([]db.ScanEndedDeliveriesRow, error) {
		return q.ScanEndedDeliveries(ctx, tx, db.ScanEndedDeliveriesParams{
			States: op.States, TenantID: op.TenantID, EndpointID: op.EndpointID, EventTypes: op.EventTypes,
			ByEndpointOnly: op.Kind == KindRecover,
			Since:          later(op.Since, s.completedAt), Until: op.Until, MaxRows: s.maxRows, Low: s.low, High: s.high,
			CursorCompletedAt: s.completedAt, CursorEventID: s.eventID, CursorEndpointID: s.endpointID,
		})
	}
	all := func(s stretch) (rows []db.ScanEndedDeliveriesRow, err error) {
		list, err := q.ScanDeliveries(ctx, tx, db.ScanDeliveriesParams{
			States: op.States, TenantID: op.TenantID, EndpointID: op.EndpointID, EventTypes: op.EventTypes,
			Since: op.Since, Until: op.Until, MaxRows: s.maxRows, Low: s.low, High: s.high,
			CursorEventID: s.eventID, CursorEndpointID: s.endpointID,
		})
		for _, r := range list {
			rows = append(rows, db.ScanEndedDeliveriesRow(r))
		}
		return rows, err
	}

	query := ended
	if scansLog(op) {
		query = all
	}
	first := func(first pg.Day) pg.Day { return first } // what is settled since then may be of any day
	return look(ctx, tx, op, first, query, func(r db.ScanEndedDeliveriesRow) place {
		return place{r.CompletedAt, r.EventID, r.EndpointID}
	})
}

// scansLog tells whether the operation has to look at all deliveries.
func scansLog(op db.LockNextOperationRow) bool {
	return slices.Contains(op.States, string(db.DeliveryStateSucceeded))
}

// later returns the later time: where the index is to be entered, which a comparison of rows does not tell it.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// scanMissed returns the events behind the operation's place.
func scanMissed(ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow) (part[db.ScanMissedEventsRow], error) {
	query := func(s stretch) ([]db.ScanMissedEventsRow, error) {
		p := db.ScanMissedEventsParams{
			EndpointID: *op.EndpointID, EventTypes: op.EventTypes, Since: op.Since, Until: op.Until,
			MaxRows: s.maxRows, Low: s.low, High: s.high,
		}
		if s.eventID != s.low { // the first of the day is not behind its beginning
			p.CursorEventID = s.eventID
		}
		return db.New().ScanMissedEvents(ctx, tx, p)
	}

	first := func(first pg.Day) pg.Day { return max(first, pg.DayAt(op.Since)) }
	return look(ctx, tx, op, first, query, func(r db.ScanMissedEventsRow) place {
		return place{completedAt: op.Since, eventID: r.EventID}
	})
}

// countMatches counts for the progress that people look at; nil if that takes too long.
func (w *Worker) countMatches(ctx context.Context, op db.LockNextOperationRow) *int64 {
	if scansLog(op) || op.Missed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()

	days, err := db.New().GetLogDays(ctx, w.pool)
	if err != nil {
		return nil
	}
	var total int64
	for day := pg.Day(days.First); day <= min(pg.Day(days.Last), pg.DayAt(op.Until)); day += scanDays {
		err := pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
			n, err := db.New().CountEndedDeliveries(ctx, tx, db.CountEndedDeliveriesParams{
				States: op.States, Since: op.Since, Until: op.Until, EndpointID: op.EndpointID, TenantID: op.TenantID,
				EventTypes: op.EventTypes, ByEndpointOnly: op.Kind == KindRecover,
				Low: day.Floor(), High: (day + scanDays).Floor(),
			})
			total += n
			return err
		})
		if err != nil {
			return nil
		}
	}
	return &total
}
