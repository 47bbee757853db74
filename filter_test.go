package outhook_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/filter"
)

// filtered makes an endpoint of a tenant with a filter of the payload, and event types.
func (b *testBundle) filtered(t *testing.T, of, text string, types ...string) {
	t.Helper()
	f, err := filter.Parse([]byte(`{"data": ` + text + `}`))
	require.NoError(t, err)
	if types == nil {
		types = []string{}
	}
	b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url, event_types, filter, filter_path)
		VALUES (outhook.uuid_v7(), $1, 'https://example.com/', $2, $3, $4::jsonpath)`, of, types, text, f.Path())
}

// countsOf enqueues events in one call and returns how many deliveries each has.
func (b *testBundle) countsOf(t *testing.T, events ...outhook.Event) (counts []int) {
	t.Helper()
	err := pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
		results, err := outhook.EnqueueMany(b.ctx, tx, events)
		for _, r := range results {
			counts = append(counts, r.DeliveryCount)
		}
		return err
	})
	require.NoError(t, err)
	return counts
}

// An endpoint with a filter gets the events that it is true of, however they are enqueued; one without gets all.
func TestFiltersDecideWhoGetsAnEvent(t *testing.T) {
	t.Parallel()
	b := setup(t) // has an endpoint of acme without a filter
	b.filtered(t, tenant, `{"amount": {"$gte": 1000}}`)
	b.filtered(t, tenant, `{"amount": {"$gte": 1000}}`, "order.*")
	b.filtered(t, tenant, `{"plan": "gold"}`)
	b.filtered(t, "other", `{"amount": 1}`)

	large, small, gold := event(`{"amount": 1000}`), event(`{"amount": 999}`), event(`{"amount": 5000, "plan": "gold"}`)
	for name, e := range map[string]struct {
		event outhook.Event
		want  int
	}{"large": {large, 2}, "small": {small, 1}, "gold": {gold, 3}} {
		require.Equal(t, []int{e.want}, b.countsOf(t, e.event), name)
		e.event.IdempotencyKey = name // another way through the function
		require.Equal(t, []int{e.want}, b.countsOf(t, e.event), name)
		require.Equal(t, []int{e.want}, b.countsOf(t, e.event), "a duplicate tells the first one's")
	}

	other := event(`{"amount": 1}`)
	other.TenantID = "other"
	order := large
	order.Type = "order.paid"
	require.Equal(t, []int{2, 1, 3, 1, 3, 1}, b.countsOf(t, large, small, gold, other, order, small))
	b.exec(t, `UPDATE outhook.endpoints SET status = 'disabled' WHERE filter IS NULL`)
	require.Equal(t, []int{1, 0}, b.countsOf(t, large, small))
	require.Equal(t, []int{0}, b.countsOf(t, small))
}

// What jsonb refuses is stored and goes to whoever has no filter: a filter aborts no transaction.
func TestAFilterAbortsNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.filtered(t, tenant, `{"$not": {"a": 1}}`)
	events := []outhook.Event{event(`"\u0000"`), event(`["\ud800"]`), event(`1e200000`), event(strings.Repeat(`{"a":`, 511) + `1` + strings.Repeat(`}`, 511))}
	require.Equal(t, []int{1, 1, 1, 2}, b.countsOf(t, events...))
	for i, e := range events {
		require.Equal(t, [][]int{{1}, {1}, {1}, {2}}[i], b.countsOf(t, e))
	}

	// Of a type that nobody with a filter wants, nothing is even looked at.
	b.exec(t, `UPDATE outhook.endpoints SET event_types = '{other}' WHERE filter IS NOT NULL`)
	require.Equal(t, 0, b.documentsMade(t, `SELECT outhook.enqueue('acme', 'a.b', '{"a": 2}')`))
}

// documentsMade returns how many documents for filters a statement makes.
func (b *testBundle) documentsMade(t *testing.T, sql string) int {
	t.Helper()
	tx := b.begin(t, "")
	_, err := tx.Exec(b.ctx, `SET LOCAL track_functions = 'all'`)
	require.NoError(t, err)
	// What the connection has counted and not handed in yet is of the transactions before, too.
	counted := func() (calls int) {
		require.NoError(t, tx.QueryRow(b.ctx, `SELECT coalesce(sum(calls), 0) FROM pg_stat_xact_user_functions
			WHERE schemaname = 'outhook' AND funcname IN ('event_document', 'event_documents', 'endpoint_wants')`).Scan(&calls))
		return calls
	}

	before := counted()
	_, err = tx.Exec(b.ctx, sql)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(b.ctx)) }()
	return counted() - before
}

// A payload is cast once, and only if an endpoint that may get the event has a filter; the function that decides is part of the
// statement, and no call.
func TestAPayloadIsCastOnceAndOnlyForFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	many := func(n int) string {
		return fmt.Sprintf(`SELECT FROM outhook.enqueue_many(array_fill('acme'::text, '{%[1]d}') || '{other}'::text[], array_fill('a.b'::text, '{%[2]d}'),
			array_fill('{"n": 1}'::text, '{%[2]d}'))`, n, n+1)
	}
	for range 7 { // with the plans for any value, too
		require.Zero(t, b.documentsMade(t, `SELECT outhook.enqueue('acme', 'a.b', '{"n": 1}')`))
		require.Zero(t, b.documentsMade(t, `SELECT outhook.enqueue('acme', 'a.b', '{"n": 1}', 'key')`))
		require.Zero(t, b.documentsMade(t, many(5)))
	}

	for range 5 {
		b.filtered(t, tenant, `{"n": 1}`)
		b.filtered(t, tenant, `{"n": 2}`, "a.*", "b")
	}
	for range 7 {
		require.Equal(t, 1, b.documentsMade(t, `SELECT outhook.enqueue('acme', 'a.b', '{"n": 1}')`))
		require.Equal(t, 2, b.documentsMade(t, `SELECT outhook.enqueue('acme', 'a.b', '{"n": 1}', 'key')`), "that of many, and its one")
		require.Equal(t, 6, b.documentsMade(t, many(5)), "that of many, and one for each event of a tenant with filters")
	}
	require.Equal(t, []int{6}, b.countsOf(t, event(`{"n": 1}`)))
}
