package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
)

// paging reads the parameters of a list that has pages.
type paging struct {
	filters
	limit  int32
	cursor string
}

func newPaging(ctx context.Context, limit int32, cursor string) *paging {
	return &paging{filters: newFilters(ctx), limit: limit, cursor: cursor}
}

// maxRows returns how many rows to query: one more than the page holds, which tells that there is another page.
func (p *paging) maxRows() int32 { return p.limit + 1 }

// after returns the n ids of the cursor, which are nil if there is none.
func (p *paging) after(n int) []*uuid.UUID {
	after := make([]*uuid.UUID, n)
	ids, err := decodeCursor(p.cursor, n)
	if err != nil {
		p.fail(err)
	}
	for i := range ids {
		after[i] = &ids[i]
	}
	return after
}

// page is the answer of every list.
type page[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"Give it back as cursor for the next page. Null at the end."`
}

type pageOutput[T any] struct{ Body page[T] }

// list answers with a page of the rows that query returns, unless a parameter is wrong. position is a row's place in
// the list: one or two ids.
func list[R, T any](
	ctx context.Context, s *Server, p *paging,
	query func(pgx.Tx) ([]R, error), answer func(R) (T, error), position func(R) []uuid.UUID,
) (*pageOutput[T], error) {
	if p.err != nil {
		return nil, p.err
	}

	var rows []R
	err := s.read(ctx, func(tx pgx.Tx) (err error) {
		rows, err = query(tx)
		return err
	})
	if err != nil {
		return nil, err
	}

	return newPage(p, rows, answer, position)
}

// listDays is how many days of events one transaction of a list looks through: it locks the partitions of those, and
// at a retention of a year there are thousands.
const listDays = 7

// logSpan is what of the log a list may show. Nil: no bound.
type logSpan struct {
	since, until *time.Time
	cursor       *uuid.UUID // of the event that the list goes on from
}

// days returns the newest and the oldest day, of those that there are.
func (l logSpan) days(first, last pg.Day) (newest, oldest pg.Day) {
	newest, oldest = last, first
	if l.since != nil {
		oldest = max(oldest, pg.DayAt(*l.since))
	}
	if l.until != nil {
		newest = min(newest, pg.DayAt(*l.until))
	}
	if l.cursor != nil {
		newest = min(newest, pg.DayOf(*l.cursor))
	}
	return newest, oldest
}

// stretch is the part of the log that one query looks through: of events from low to before high.
type stretch struct{ low, high uuid.UUID }

// readLog runs queries over the log, newest event first: some days after the other, each in a transaction of its own,
// as long as there is more to look for.
func (s *Server) readLog(ctx context.Context, span logSpan, query func(pgx.Tx, stretch) (more bool, err error)) error {
	day, oldest := pg.Day(0), pg.Day(0)
	for known, more := false, true; !known || more && day >= oldest; day -= listDays {
		err := s.read(ctx, func(tx pgx.Tx) error {
			if !known {
				days, err := db.New().GetLogDays(ctx, tx)
				if err != nil {
					return err
				}
				day, oldest = span.days(pg.Day(days.First), pg.Day(days.Last))
				known = true
			}

			var err error
			more, err = query(tx, stretch{max(oldest, day-listDays+1).Floor(), (day + 1).Floor()})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// listLog is list for what is in the log, newest event first, until the page is full.
func listLog[R, T any](
	ctx context.Context, s *Server, p *paging, span logSpan,
	query func(pgx.Tx, stretch, int32) ([]R, error), answer func(R) (T, error), position func(R) []uuid.UUID,
) (*pageOutput[T], error) {
	if p.err != nil {
		return nil, p.err
	}

	var rows []R
	err := s.readLog(ctx, span, func(tx pgx.Tx, part stretch) (more bool, err error) {
		some, err := query(tx, part, p.maxRows()-int32(len(rows))) //nolint:gosec // less than maxRows
		rows = append(rows, some...)
		return len(rows) < int(p.maxRows()), err
	})
	if err != nil {
		return nil, err
	}
	return newPage(p, rows, answer, position)
}

// newPage answers with rows, of which there is one more than the page holds if there is another page.
func newPage[R, T any](
	p *paging, rows []R, answer func(R) (T, error), position func(R) []uuid.UUID,
) (_ *pageOutput[T], err error) {
	out := &pageOutput[T]{}
	if limit := int(p.limit); len(rows) > limit {
		rows = rows[:limit]
		next := encodeCursor(position(rows[limit-1]))
		out.Body.NextCursor = &next
	}

	out.Body.Items = make([]T, len(rows))
	for i, row := range rows {
		if out.Body.Items[i], err = answer(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// always makes an answer of a function that can't fail one that does not.
func always[R, T any](answer func(R) T) func(R) (T, error) {
	return func(row R) (T, error) { return answer(row), nil }
}

// read runs queries in a transaction that plans them with their values.
func (s *Server) read(ctx context.Context, query func(pgx.Tx) error) error {
	begin := fmt.Sprintf("BEGIN READ ONLY; "+pg.Planned+"; SET LOCAL statement_timeout = %d",
		s.cfg.Timeouts.Query.Milliseconds())
	return pgx.BeginTxFunc(ctx, s.cfg.Pool, pgx.TxOptions{BeginQuery: begin}, query)
}

// encodeCursor writes a position, which is one or two ids, as text that is not meant to be read.
func encodeCursor(ids []uuid.UUID) string {
	var raw []byte
	for _, id := range ids {
		raw = append(raw, id[:]...)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// decodeCursor returns the n ids of a cursor, or none if there is no cursor.
func decodeCursor(cursor string, n int) ([]uuid.UUID, error) {
	if cursor == "" {
		return nil, nil
	}

	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != n*len(uuid.UUID{}) || strings.ContainsAny(cursor, "\r\n") { // which the decoder skips
		return nil, problem.Invalid("query.cursor", "is not a next_cursor of this list")
	}

	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.UUID(raw[i*len(uuid.UUID{}):])
	}
	return ids, nil
}
