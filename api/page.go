package api

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/cursor"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
)

// paging reads the parameters of a list that has pages. What a list takes beside limit and cursor are its filters.
type paging struct {
	filters
	limit     int32
	cursor    string
	ascending bool
	query     url.Values  // of the request
	list      cursor.List // what its cursors belong to
}

// newPaging reads what the lists have in common. order is asc or desc.
func newPaging(ctx context.Context, order string, limit int32, from string) *paging {
	p := &paging{filters: newFilters(ctx), limit: limit, cursor: from, ascending: order == orderAscending}

	at := requestOf(ctx).http.URL
	p.query = at.Query()
	p.list = cursor.Of(at.Path, p.query, order)
	return p
}

// orderAscending is the order of a list that begins with the oldest.
const orderAscending = "asc"

// maxRows returns how many rows to query: one more than the page holds, which tells that there is another page.
func (p *paging) maxRows() int32 { return p.limit + 1 }

// after returns the n ids of the cursor, which are nil if there is none.
func (p *paging) after(n int) []*uuid.UUID {
	after := make([]*uuid.UUID, n)
	ids, err := p.decodeCursor(n)
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

type pageOutput[T any] struct {
	Link string `header:"Link" doc:"The next page (RFC 8288), rel=next, relative to the request's URL. Absent at the end."`
	Body page[T]
}

// next makes it a page before the one that begins after a position.
func (o *pageOutput[T]) next(p *paging, position []uuid.UUID) {
	next := p.list.Encode(position...)
	o.Body.NextCursor, o.Link = &next, linkNext(p.query, next)
}

// linkNext returns the header Link of a page with another one after it. It is a query alone, to be read relative to the
// request's URL: right behind any proxy, whatever that calls us.
func linkNext(query url.Values, next string) string {
	query.Set("cursor", next)
	return "<?" + query.Encode() + `>; rel="next"`
}

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

// listRows is how many rows of the log one statement of a list looks through: some ten milliseconds' work, however few
// of them match. The page is handed out as it is then.
const listRows = 5_000

// shortPages documents what listRows means for clients.
const shortPages = "A page may have fewer items than limit, or none, and a next_cursor all the same: what matches " +
	"may be rare, and a request looks through some thousand rows."

// logSpan is what of the log a list may show. Nil: no bound.
type logSpan struct {
	since, until *time.Time
	cursor       *uuid.UUID // of the event that the list goes on from
	only         *uuid.UUID // the one event that it is about
	ascending    bool       // oldest event first
}

// days returns the oldest and the newest day, of those that there are.
func (l logSpan) days(first, last pg.Day) (oldest, newest pg.Day) {
	oldest, newest = first, last
	if l.since != nil {
		oldest = max(oldest, pg.DayAt(*l.since))
	}
	if l.until != nil {
		newest = min(newest, pg.DayAt(*l.until))
	}

	switch {
	case l.cursor == nil:
	case l.ascending:
		oldest = max(oldest, pg.DayOf(*l.cursor))
	default:
		newest = min(newest, pg.DayOf(*l.cursor))
	}

	if l.only != nil {
		oldest, newest = max(oldest, pg.DayOf(*l.only)), min(newest, pg.DayOf(*l.only))
	}
	return oldest, newest
}

// cut takes the next days off those from oldest to newest.
func (l logSpan) cut(oldest, newest pg.Day) (part stretch, _, _ pg.Day) {
	if l.ascending {
		end := min(newest, oldest+listDays-1)
		return stretch{oldest.Floor(), (end + 1).Floor()}, end + 1, newest
	}
	begin := max(oldest, newest-listDays+1)
	return stretch{begin.Floor(), (newest + 1).Floor()}, oldest, begin - 1
}

// stretch is the part of the log that one query looks through: of events from low to before high.
type stretch struct{ low, high uuid.UUID }

// readLog runs queries over the log, newest event first unless the span says otherwise: some days after the other, each
// in a transaction of its own, as long as there is more to look for.
func (s *Server) readLog(ctx context.Context, span logSpan, query func(pgx.Tx, stretch) (more bool, err error)) error {
	oldest, newest := pg.Day(0), pg.Day(0)
	for known, more := false, true; !known || more && oldest <= newest; {
		err := s.read(ctx, func(tx pgx.Tx) error {
			if !known {
				days, err := db.New().GetLogDays(ctx, tx)
				if err != nil {
					return err
				}
				oldest, newest = span.days(pg.Day(days.First), pg.Day(days.Last))
				known = true
			}

			var part stretch
			var err error
			part, oldest, newest = span.cut(oldest, newest)
			more, err = query(tx, part)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// logList is a list of what is in the log. A row that its query returns either matches, or is the last that was looked
// at, or both.
type logList[R, T any] struct {
	span     logSpan
	query    func(tx pgx.Tx, part stretch, maxRows int32) ([]R, error)
	found    func(R) (matches, isLast bool)
	answer   func(R) (T, error)
	position func(R) []uuid.UUID
}

// answerPage answers with a page, unless a parameter is wrong: until it is full, there is no more, or a query has
// looked through as many rows as it may. The page is short then, and tells where to go on.
func (l logList[R, T]) answerPage(ctx context.Context, s *Server, p *paging) (*pageOutput[T], error) {
	if p.err != nil {
		return nil, p.err
	}

	var rows []R
	var end []uuid.UUID // where the search was given up
	err := s.readLog(ctx, l.span, func(tx pgx.Tx, part stretch) (more bool, err error) {
		some, err := l.query(tx, part, p.maxRows()-int32(len(rows))) //nolint:gosec // less than maxRows
		for _, row := range some {
			matches, isLast := l.found(row)
			if matches {
				rows = append(rows, row)
			}
			if isLast {
				end = l.position(row)
			}
		}
		return len(rows) < int(p.maxRows()) && end == nil, err
	})
	if err != nil {
		return nil, err
	}

	out, err := newPage(p, rows, l.answer, l.position)
	if err == nil && end != nil && out.Body.NextCursor == nil {
		out.next(p, end)
	}
	return out, err
}

// newPage answers with rows, of which there is one more than the page holds if there is another page.
func newPage[R, T any](
	p *paging, rows []R, answer func(R) (T, error), position func(R) []uuid.UUID,
) (_ *pageOutput[T], err error) {
	out := &pageOutput[T]{}
	if limit := int(p.limit); len(rows) > limit {
		rows = rows[:limit]
		out.next(p, position(rows[limit-1]))
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
	begin := fmt.Sprintf("BEGIN READ ONLY; "+pg.Planned+"; SET LOCAL max_parallel_workers_per_gather = 0; "+
		"SET LOCAL statement_timeout = %d",
		s.cfg.Timeouts.Query.Milliseconds())
	return pgx.BeginTxFunc(ctx, s.cfg.Pool, pgx.TxOptions{BeginQuery: begin}, query)
}

// decodeCursor returns the n ids of the cursor, or none if there is no cursor.
func (p *paging) decodeCursor(n int) ([]uuid.UUID, error) {
	if p.cursor == "" {
		return nil, nil
	}

	ids, err := p.list.Decode(p.cursor, n)
	if err != nil {
		return nil, problem.Invalid("query.cursor", err.Error())
	}
	return ids, nil
}
