package pg

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The bounds that stand in the text of a query that Day.Of narrows: every id is between them.
const (
	lowest  = "'00000000-0000-0000-0000-000000000000'"
	highest = "'ffffffff-ffff-ffff-ffff-ffffffffffff'"
)

// Day is a day (UTC) of events, counted from 1970-01-01. Its rows are in one partition of each log table.
type Day int64

// DayOf returns the day of an event.
func DayOf(eventID uuid.UUID) Day { return DayAt(IDTime(eventID)) }

// DayAt returns the day of a moment that is not before 1970.
func DayAt(at time.Time) Day { return Day(at.UnixMilli() / (24 * time.Hour).Milliseconds()) }

// Begin returns the day's first moment.
func (d Day) Begin() time.Time { return time.UnixMilli(int64(d) * (24 * time.Hour).Milliseconds()) }

// Floor returns the smallest id of the day.
func (d Day) Floor() uuid.UUID { return FloorID(d.Begin()) }

// Before returns the largest id of the days before.
func (d Day) Before() uuid.UUID {
	id := d.Floor()
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]--; id[i] != 0xff {
			break
		}
	}
	return id
}

// Of narrows the queries that are run on conn to the day. Their texts have literal bounds, below and above every id,
// in place of which they get the day's: each day has a prepared statement of its own, and its kept plan one partition
// of each table. A plan with bounds that are parameters has them all, and each execution of it locks every one of them,
// with its indexes: thousands, at a retention of a year.
func (d Day) Of(conn Conn) Conn {
	return narrowed{conn, strings.NewReplacer(
		lowest, "'"+d.Floor().String()+"'", highest, "'"+(d+1).Floor().String()+"'")}
}

// Conn is a pool, a connection or a transaction.
type Conn interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

type narrowed struct {
	Conn

	bounds *strings.Replacer
}

func (n narrowed) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return n.Conn.Exec(ctx, n.bounds.Replace(sql), args...)
}

func (n narrowed) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return n.Conn.Query(ctx, n.bounds.Replace(sql), args...) //nolint:rowserrcheck // the caller reads the rows
}

func (n narrowed) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return n.Conn.QueryRow(ctx, n.bounds.Replace(sql), args...)
}
