package outhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// enqueueSQL calls the SQL function that every publisher calls. The arrays are in the order of the events, and so are
// the rows. It runs on the caller's connection, whose search_path may put another type in front of Postgres' own.
const enqueueSQL = `SELECT event_id::pg_catalog.text, created_at, duplicate, conflict, delivery_count
FROM outhook.enqueue_many($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[], $4::pg_catalog.text[],
	false, $5::pg_catalog.text[]) ORDER BY index`

// enqueueMoreSQL is enqueueSQL for events of which one has labels or headers, or is for later. A statement of its own,
// so that those without need no newer schema, and pay nothing.
const enqueueMoreSQL = `SELECT event_id::pg_catalog.text, created_at, duplicate, conflict, delivery_count
FROM outhook.enqueue_many($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[], $4::pg_catalog.text[],
	false, $5::pg_catalog.text[], $6::pg_catalog.text[], $7::pg_catalog.text[],
	$8::pg_catalog.text[]::pg_catalog.timestamptz[]) ORDER BY index`

// enqueueInOrderSQL is the same for events of which one has an ordering key.
const enqueueInOrderSQL = `SELECT event_id::pg_catalog.text, created_at, duplicate, conflict, delivery_count
FROM outhook.enqueue_many($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[], $4::pg_catalog.text[],
	false, $5::pg_catalog.text[], $6::pg_catalog.text[], $7::pg_catalog.text[],
	$8::pg_catalog.text[]::pg_catalog.timestamptz[], $9::pg_catalog.text[]) ORDER BY index`

// SQLTx is a transaction of database/sql: a *sql.Tx of any driver that speaks to Postgres, or what a library wraps
// around one. It must be the transaction of your change: on a *sql.DB, which fits too, the event is committed at once
// and alone, whatever becomes of the change.
//
// sqlx's Tx and ent's Tx (with its feature sql/execquery) are one, GORM's is in tx.Statement.ConnPool, and bun's Tx
// has the *sql.Tx as its field Tx (bun's own QueryContext drops the arguments of a query that has no ? in it).
type SQLTx interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Enqueue stores an event in tx: the event, a delivery for each subscribed endpoint and their jobs exist if and only if
// tx commits. It is one round trip.
//
// Returns an error that wraps ErrInvalidEvent, before any SQL, if the event breaks a rule, and one that wraps
// ErrConflict if its idempotency key belongs to an event of another type or payload: the event is not stored, and tx is
// still usable. After any other error roll back.
func Enqueue(ctx context.Context, tx pgx.Tx, event Event) (Result, error) {
	return single(EnqueueMany(ctx, tx, []Event{event}))
}

// EnqueueMany is Enqueue for many events in one round trip. The results are in the order of the events. If one is
// invalid, none is stored; the error is an *InvalidEventError with its index.
//
// With a *ConflictError come the results too: tx has stored the events whose Conflict is false. Roll back, unless you
// want those without the others.
func EnqueueMany(ctx context.Context, tx pgx.Tx, events []Event) ([]Result, error) {
	a, err := arraysOf(ctx, events)
	if err != nil || len(events) == 0 {
		return nil, err
	}

	sql, args := a.call(func(list []string) any { return list })
	rows, err := tx.Query(ctx, sql, args...) //nolint:rowserrcheck // collect does
	if err != nil {
		return nil, explain(err)
	}

	defer rows.Close()
	return collect(rows, len(events))
}

// EnqueueSQL is Enqueue for database/sql, with any driver that speaks to Postgres. tx is the caller's transaction,
// which he commits.
func EnqueueSQL(ctx context.Context, tx SQLTx, event Event) (Result, error) {
	return single(EnqueueManySQL(ctx, tx, []Event{event}))
}

// EnqueueManySQL is EnqueueMany for database/sql. Drivers do not agree on how a Go slice becomes an array, so the
// arrays are sent in Postgres' own text form.
func EnqueueManySQL(ctx context.Context, tx SQLTx, events []Event) ([]Result, error) {
	a, err := arraysOf(ctx, events)
	if err != nil || len(events) == 0 {
		return nil, err
	}

	sql, args := a.call(func(list []string) any { return arrayLiteral(list) })
	rows, err := tx.QueryContext(ctx, sql, args...) //nolint:rowserrcheck // collect does
	if err != nil {
		return nil, explain(err)
	}

	defer rows.Close() //nolint:errcheck // collect has read them to the end
	return collect(rows, len(events))
}

// arrays are the arguments of the SQL function. A key, a trace, labels or headers of "" mean none there too; without
// any trace, traces is nil, and so are labels to deliverAts if no event has anything of these, and orders if none has
// an ordering key.
type arrays struct{ tenantIDs, types, payloads, keys, traces, labels, headers, deliverAts, orders []string }

// call returns the statement and its arguments, each made of a list by of; nil is NULL.
func (a arrays) call(of func([]string) any) (sql string, args []any) {
	sql = enqueueSQL
	lists := [][]string{a.tenantIDs, a.types, a.payloads, a.keys, a.traces}
	switch {
	case a.orders != nil:
		sql = enqueueInOrderSQL
		lists = append(lists, a.labels, a.headers, a.deliverAts, a.orders)
	case a.labels != nil:
		sql = enqueueMoreSQL
		lists = append(lists, a.labels, a.headers, a.deliverAts)
	}

	for _, list := range lists {
		if list == nil {
			args = append(args, nil)
			continue
		}
		args = append(args, of(list))
	}
	return sql, args
}

func arraysOf(ctx context.Context, events []Event) (a arrays, err error) {
	var traced bool
	more := slices.ContainsFunc(events, Event.hasMore)
	inOrder := slices.ContainsFunc(events, func(e Event) bool { return e.OrderingKey != "" })
	for i, e := range events {
		err := e.Validate()
		if err == nil {
			err = checkSchema(ctx, e)
		}
		if err != nil {
			if invalid, ok := errors.AsType[*InvalidEventError](err); ok {
				invalid.Index = i
			}
			return a, err
		}

		a.tenantIDs = append(a.tenantIDs, e.TenantID)
		a.types = append(a.types, e.Type)
		a.payloads = append(a.payloads, string(e.Payload))
		a.keys = append(a.keys, e.IdempotencyKey)
		a.traces = append(a.traces, traceparent(ctx, e))
		traced = traced || a.traces[i] != ""
		if more {
			a.labels = append(a.labels, labelText(e.Labels))
			a.headers = append(a.headers, headerText(e.Headers))
			a.deliverAts = append(a.deliverAts, timeText(e.DeliverAt))
		}
		if inOrder {
			a.orders = append(a.orders, e.OrderingKey)
		}
	}

	if !traced {
		a.traces = nil
	}
	return a, nil
}

// hasMore tells whether an event has what enqueueSQL does not know.
func (e Event) hasMore() bool { return len(e.Labels)+len(e.Headers) > 0 || !e.DeliverAt.IsZero() }

// scanner is what pgx.Rows and *sql.Rows have in common.
type scanner interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}

func collect(rows scanner, n int) ([]Result, error) {
	results := make([]Result, 0, n)
	for rows.Next() {
		var r Result
		if err := rows.Scan(&r.ID, &r.CreatedAt, &r.Duplicate, &r.Conflict, &r.DeliveryCount); err != nil {
			return nil, fmt.Errorf("reading the result of an enqueue: %w", err)
		}
		results = append(results, r)
	}

	if err := rows.Err(); err != nil {
		return nil, explain(err)
	}
	if len(results) != n {
		return nil, fmt.Errorf("enqueuing: the database returned %d results for %d events", len(results), n)
	}

	if i := slices.IndexFunc(results, func(r Result) bool { return r.Conflict }); i >= 0 {
		return results, &ConflictError{Index: i, FirstID: results[i].ID}
	}
	return results, nil
}

// single returns the result of a call with one event, which comes with a ConflictError too.
func single(results []Result, err error) (Result, error) {
	if len(results) == 0 {
		return Result{}, err
	}
	return results[0], err
}

// sqlStater is an error of pgx, and of lib/pq, that tells its SQLSTATE.
type sqlStater interface{ SQLState() string }

// explain adds to an error of the database what to do about it. The cause stays wrapped.
func explain(err error) error {
	var stater sqlStater
	if !errors.As(err, &stater) {
		return fmt.Errorf("enqueuing: %w", err)
	}

	switch stater.SQLState() {
	case "22023", "54000":
		return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	case "3F000": // invalid_schema_name
		return fmt.Errorf("enqueuing: Outhook's schema is missing in this database, run `outhook migrate up`: %w", err)
	case "42883", "42703": // undefined_function, undefined_column
		return fmt.Errorf("enqueuing: Outhook's schema in this database is older than this package or not complete, "+
			"run `outhook migrate up` of the package's version or a newer one: %w", err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("enqueuing: this user may not enqueue, run GRANT outhook_publisher TO it: %w", err)
	}
	return fmt.Errorf("enqueuing: %w", err)
}

// arrayLiteral returns the text form of a one-dimensional text[] (PostgreSQL documentation, "Array Input and Output
// Syntax"): every element in double quotes, with \ before \ and ".
func arrayLiteral(items []string) string {
	size := 2
	for _, s := range items {
		size += len(s) + 3
	}

	var b strings.Builder
	b.Grow(size)
	b.WriteByte('{')
	for i, s := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		_, _ = escaper.WriteString(&b, s)
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

//nolint:gochecknoglobals // immutable, and safe for concurrent use
var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
