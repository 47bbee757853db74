package outhooktest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
)

// enqueuedSQL lists what a transaction has enqueued. It runs on the caller's connection.
const enqueuedSQL = `SELECT tenant_id, type, payload::pg_catalog.text, coalesce(idempotency_key, '')
	FROM outhook.enqueued_here()`

// RequireEnqueued fails the test at once unless tx has enqueued exactly one event that is like want: with the same
// value in each field that want has. Payloads are compared as JSON, so white space and the order of members don't
// matter.
func RequireEnqueued(t testing.TB, tx pgx.Tx, want outhook.Event) {
	t.Helper()
	requireOne(t, enqueued(t, tx), want)
}

// RequireEnqueuedMany fails the test at once unless what tx has enqueued are exactly events that are like want, in the
// same order.
func RequireEnqueuedMany(t testing.TB, tx pgx.Tx, want []outhook.Event) {
	t.Helper()
	requireMany(t, enqueued(t, tx), want)
}

// RequireNotEnqueued fails the test at once if tx has enqueued an event that is like want: any event, if want is empty.
func RequireNotEnqueued(t testing.TB, tx pgx.Tx, want outhook.Event) {
	t.Helper()
	requireNone(t, enqueued(t, tx), want)
}

// RequireEnqueuedSQL is RequireEnqueued for database/sql.
func RequireEnqueuedSQL(t testing.TB, tx outhook.SQLTx, want outhook.Event) {
	t.Helper()
	requireOne(t, enqueuedBySQL(t, tx), want)
}

// RequireEnqueuedManySQL is RequireEnqueuedMany for database/sql.
func RequireEnqueuedManySQL(t testing.TB, tx outhook.SQLTx, want []outhook.Event) {
	t.Helper()
	requireMany(t, enqueuedBySQL(t, tx), want)
}

// RequireNotEnqueuedSQL is RequireNotEnqueued for database/sql.
func RequireNotEnqueuedSQL(t testing.TB, tx outhook.SQLTx, want outhook.Event) {
	t.Helper()
	requireNone(t, enqueuedBySQL(t, tx), want)
}

func requireOne(t testing.TB, got []outhook.Event, want outhook.Event) {
	t.Helper()
	if n := count(got, want); n != 1 {
		t.Fatalf("%d events like this one have been enqueued, and 1 should be:\n%s\nenqueued:\n%s",
			n, line(want), lines(got))
	}
}

func requireMany(t testing.TB, got, want []outhook.Event) {
	t.Helper()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = like(got[i], want[i])
	}
	if !same {
		t.Fatalf("other events have been enqueued than these:\n%s\nenqueued:\n%s", lines(want), lines(got))
	}
}

func requireNone(t testing.TB, got []outhook.Event, want outhook.Event) {
	t.Helper()
	if n := count(got, want); n != 0 {
		t.Fatalf("%d events like this one have been enqueued, and none should be:\n%s\nenqueued:\n%s",
			n, line(want), lines(got))
	}
}

func count(got []outhook.Event, want outhook.Event) (n int) {
	for _, e := range got {
		if like(e, want) {
			n++
		}
	}
	return n
}

// like tells whether an event has what another one asks for.
func like(got, want outhook.Event) bool {
	same := func(got, want string) bool { return want == "" || got == want }
	return same(got.TenantID, want.TenantID) && same(got.Type, want.Type) &&
		same(got.IdempotencyKey, want.IdempotencyKey) && (len(want.Payload) == 0 || sameJSON(got.Payload, want.Payload))
}

// sameJSON compares values, with numbers as they are written.
func sameJSON(a, b json.RawMessage) bool {
	decode := func(text json.RawMessage) (v any, err error) {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		err = decoder.Decode(&v)
		return v, err
	}
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func lines(events []outhook.Event) string {
	if len(events) == 0 {
		return "  nothing"
	}
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = line(e)
	}
	return strings.Join(list, "\n")
}

func line(e outhook.Event) string {
	text := fmt.Sprintf("  tenant %q type %q", e.TenantID, e.Type)
	if e.IdempotencyKey != "" {
		text += fmt.Sprintf(" key %q", e.IdempotencyKey)
	}
	if len(e.Payload) > 0 {
		text += " payload " + string(e.Payload)
	}
	return text
}

func enqueued(t testing.TB, tx pgx.Tx) []outhook.Event {
	t.Helper()
	rows, err := tx.Query(t.Context(), enqueuedSQL) //nolint:rowserrcheck // collect does
	if err != nil {
		t.Fatalf("asking what the transaction has enqueued: %v", err)
	}
	defer rows.Close()
	return collect(t, rows)
}

func enqueuedBySQL(t testing.TB, tx outhook.SQLTx) []outhook.Event {
	t.Helper()
	var rows *sql.Rows
	rows, err := tx.QueryContext(context.WithoutCancel(t.Context()), enqueuedSQL) //nolint:rowserrcheck // collect does
	if err != nil {
		t.Fatalf("asking what the transaction has enqueued: %v", err)
	}
	defer rows.Close() //nolint:errcheck // collect has read them to the end
	return collect(t, rows)
}

// scanner is what pgx.Rows and *sql.Rows have in common.
type scanner interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}

func collect(t testing.TB, rows scanner) (events []outhook.Event) {
	t.Helper()
	for rows.Next() {
		var e outhook.Event
		var payload string
		if err := rows.Scan(&e.TenantID, &e.Type, &payload, &e.IdempotencyKey); err != nil {
			t.Fatalf("reading what the transaction has enqueued: %v", err)
		}
		e.Payload = json.RawMessage(payload)
		events = append(events, e)
	}

	if err := rows.Err(); err != nil {
		t.Fatalf("reading what the transaction has enqueued: %v", err)
	}
	return events
}
