package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
)

// The steps by which a day's payloads leave before its events. The rows are written anew without them: first those of
// the table's front, to its end; then, when nobody can see the front's old rows any more, all others to the front; so
// the end is free and VACUUM gives it back to the system (docs/decisions.md).
const (
	stepFront int32 = iota
	stepVacuumFront
	stepBack
	stepVacuumBack
	stepLate // only what was kept for pending deliveries is left; the next one is PayloadsGone
)

// frontShare is the share of a partition that is rewritten first: it must have room for all its
// events without payloads.
const frontShare = 5

// payloads erases the payloads of the days that are kept, but older than the payloads' retention.
func (r *round) payloads(ctx context.Context, due time.Time) error {
	if r.cfg.KeepPayloads == 0 {
		return nil
	}
	before := r.before(r.cfg.KeepPayloads)
	if !before.After(due) {
		return nil
	}

	children, err := db.New().ListPartitions(ctx, r.conn, eventsTable)
	if err != nil {
		return fmt.Errorf("listing the partitions of %s: %w", eventsTable, err)
	}

	var waiting error
	for _, child := range children {
		day, err := partitionDay(eventsTable, child.Name)
		if err != nil || day.Before(due) || !day.Before(before) || !child.Attached {
			continue
		}

		err = r.erase(ctx, child.Name, day)
		switch {
		case errors.Is(err, ErrInTheWay):
			waiting = err
		case err != nil:
			return err
		}
	}
	return waiting
}

// erase takes a day's partition as many steps further as the time allows.
func (r *round) erase(ctx context.Context, partition string, day time.Time) error {
	m, err := r.mark(ctx, partition)
	if err != nil {
		return err
	}

	for m.Step != ledger.PayloadsGone {
		if r.over() {
			return errUnfinished
		}

		step := m.Step
		switch step {
		case stepFront, stepBack:
			err = r.move(ctx, &m)
		case stepVacuumFront, stepVacuumBack:
			err = r.vacuum(ctx, &m)
		case stepLate:
			err = r.eraseLate(ctx, &m, day)
		default:
			err = fmt.Errorf("the mark of %s has the unknown step %d", m.Name, step)
		}

		if err = errors.Join(err, r.save(ctx, m)); err != nil || m.Step == step {
			return err
		}
	}
	return nil
}

// move rewrites the front, or all others.
func (r *round) move(ctx context.Context, m *db.RetentionMark) (err error) {
	q := db.New()
	if m.Pages == 0 {
		if m.Pages, err = q.CountPages(ctx, r.conn, m.Name); err != nil {
			return fmt.Errorf("reading the size of %s: %w", m.Name, err)
		}
	}

	last := m.Pages
	if m.Step == stepFront {
		last = m.Pages/frontShare + 1
	}

	for ; m.Page < last; m.Page = min(m.Page+pagesChunk, last) {
		if r.over() {
			return errUnfinished
		}

		var n int32
		err := r.step(ctx, func(tx pgx.Tx) (err error) {
			n, err = q.MoveEvents(ctx, tx, m.Name, m.Page, min(m.Page+pagesChunk, last))
			return err
		})
		if err != nil {
			return fmt.Errorf("erasing payloads of %s: %w", m.Name, err)
		}
		r.done.Payloads += int(n)
	}

	horizon, err := q.GetHorizon(ctx, r.conn)
	if err != nil {
		return fmt.Errorf("reading the oldest open transaction: %w", err)
	}
	m.AfterXID = horizon.NextXID
	m.Step++
	return nil
}

// vacuum frees the room of the rows that were moved, once no open transaction may still need them.
func (r *round) vacuum(ctx context.Context, m *db.RetentionMark) error {
	horizon, err := db.New().GetHorizon(ctx, r.conn)
	if err != nil {
		return fmt.Errorf("reading the oldest open transaction: %w", err)
	}
	if horizon.OldestXID < m.AfterXID {
		return fmt.Errorf("vacuuming %s: %w", m.Name, ErrInTheWay)
	}

	if err := r.alter(ctx, ddlLockTimeout, "VACUUM (ANALYZE) "+pgx.Identifier{pg.Schema, m.Name}.Sanitize()); err != nil {
		return fmt.Errorf("vacuuming %s: %w", m.Name, err)
	}

	if m.Pages, err = db.New().CountPages(ctx, r.conn, m.Name); err != nil {
		return fmt.Errorf("reading the size of %s: %w", m.Name, err)
	}
	m.Step++
	return nil
}

// eraseLate erases the payloads whose deliveries were pending and are settled by now.
func (r *round) eraseLate(ctx context.Context, m *db.RetentionMark, day time.Time) error {
	low, high := pg.FloorID(day), pg.FloorID(day.AddDate(0, 0, 1))
	var n int64
	err := r.step(ctx, func(tx pgx.Tx) (err error) {
		n, err = db.New().ErasePayloads(ctx, tx, low, high)
		return err
	})
	if err != nil {
		return fmt.Errorf("erasing payloads of %s: %w", m.Name, err)
	}
	r.done.Payloads += int(n)

	left, err := db.New().CountPayloads(ctx, r.conn, low, high)
	if err != nil {
		return fmt.Errorf("counting payloads of %s: %w", m.Name, err)
	}
	if left == 0 {
		m.Step++
	}
	return nil
}
