package outhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// labelled is an event with labels.
func labelled(labels ...string) outhook.Event {
	e := event(`{}`)
	e.Labels = labels
	return e
}

// An endpoint with labels gets the events that have one of them, however they are enqueued; one without gets all.
func TestLabelsDecideWhoGetsAnEvent(t *testing.T) {
	t.Parallel()
	b := setup(t) // has an endpoint of acme without labels
	for _, labels := range []string{"{eu}", "{eu,us}", "{NULL-1}"} {
		b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url, labels) VALUES (outhook.uuid_v7(), $1, 'https://example.com/', $2)`, tenant, labels)
	}
	b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url, labels, event_types) VALUES (outhook.uuid_v7(), $1, 'https://example.com/', '{eu}', '{other}')`, tenant)

	for want, e := range []outhook.Event{1: labelled(), 2: labelled("us", "asia"), 3: labelled("eu"), 4: labelled("us", "NULL-1", "eu")} {
		if want == 0 {
			continue
		}
		require.Equal(t, []int{want}, b.countsOf(t, e), "%v", e.Labels)
		require.Equal(t, []int{want, 1}, b.countsOf(t, e, labelled()), "%v of many", e.Labels)
		e.IdempotencyKey = fmt.Sprint(want)
		require.Equal(t, []int{want}, b.countsOf(t, e), "%v with a key", e.Labels)
	}
	require.Equal(t, []int{1}, b.countsOf(t, labelled("NULL")))
}

// Labels and headers are stored as they are given, by each way in, and nothing for none.
func TestLabelsAndHeadersAreStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stored := func(id string) (labels []string, headers string) {
		t.Helper()
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT labels, coalesce(headers::text, '') FROM outhook.events WHERE id = $1`, id).Scan(&labels, &headers))
		return labels, headers
	}
	e := labelled("NULL", "a.b:c_d-1")
	e.Headers = map[string]string{"x-source": `a "b" <c> \d`, "baggage": "k=v"}
	const headers = `{"baggage": "k=v", "x-source": "a \"b\" <c> \\d"}`
	db := stdlib.OpenDBFromPool(b.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	byPgx := b.store(t, e)
	bySQL, err := outhook.EnqueueSQL(b.ctx, db, e)
	require.NoError(t, err)
	keyed := e
	keyed.IdempotencyKey = "k"
	for _, r := range []outhook.Result{byPgx, bySQL, b.store(t, keyed)} {
		labels, text := stored(r.ID)
		require.Equal(t, e.Labels, labels)
		require.JSONEq(t, headers, text)
	}

	for _, call := range []string{
		`outhook.enqueue('acme', 'a.b', '{}', labels => '{a,b}', headers => '{"x-a": "1"}')`,
		`outhook.enqueue('acme', 'a.b', '{}', 'key', NULL, ARRAY['a', 'b'], '{"x-a": "1"}')`,
		`outhook.enqueue_event('acme', 'a.b', '{}', headers => jsonb_build_object('x-a', '1'), labels => ARRAY['a', 'b'])`,
		`event_id FROM outhook.enqueue_many('{acme}', '{a.b}', '{1}', labels => ARRAY['{a,b}'], headers => ARRAY['{"x-a": "1"}'])`,
		`max(event_id::text) FROM outhook.enqueue_many('{acme,acme}', '{a.b,a.b}', '{1,2}', labels => ARRAY[NULL, '{a,b}'], headers => ARRAY['', '{"x-a": "1"}'])`,
	} {
		var id string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT `+call).Scan(&id), call)
		labels, text := stored(id)
		require.Equal(t, []string{"a", "b"}, labels, call)
		require.JSONEq(t, `{"x-a": "1"}`, text, call)
	}
	for _, call := range []string{
		`outhook.enqueue('acme', 'a.b', '{}')`, `outhook.enqueue('acme', 'a.b', '{}', labels => '{}', headers => NULL)`,
		`event_id FROM outhook.enqueue_many('{acme}', '{a.b}', '{1}', labels => '{NULL}', headers => '{NULL}')`,
	} {
		var id string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT `+call).Scan(&id), call)
		labels, text := stored(id)
		require.Nil(t, labels, call)
		require.Empty(t, text, call)
	}
}

// The package and the SQL function refuse the same, by its SQLSTATE, and repeat no value.
func TestLabelsAndHeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin(t, "")
	name := func(n int) string { return "x-" + strings.Repeat("a", n) }
	bad := map[string]outhook.Event{
		"labels are more than 10":           labelled(strings.Split(strings.Repeat("a,", 10)+"a", ",")...),
		"labels must be names":              labelled("s3cret label"),
		"labels must be names of letters":   labelled(""),
		"labels must be names of":           labelled("a,b"),
		"labels must be names of letters, ": labelled(`"s3cret"`),
		"each of at most 64 bytes":          labelled(strings.Repeat("a", 65)),
	}
	for i, headers := range []map[string]string{
		{"host": "s3cret"},
		{"X-A": "s3cret"},
		{"x-": "s3cret"},
		{"x-a b": "s3cret"},
		{"x-forwarded-for": "s3cret"},
		{"x-original-url": "s3cret"},
		{"authorization": "s3cret"},
		{"webhook-id": "s3cret"},
		{"x-http-method-override": "s3cret"},
		{name(101): "s3cret"},
		{"x-a": ""},
		{"x-a": " s3cret"},
		{"x-a": "s3cret\r\nhost: b"},
		{"x-a": "s3crét"},
		{"x-a": strings.Repeat("s", 2048)},
	} {
		e := event(`{}`)
		e.Headers = headers
		bad[fmt.Sprintf("headers %d", i)] = e
	}

	for want, e := range bad {
		want = strings.TrimRight(want, " 0123456789")
		_, err := outhook.Enqueue(b.ctx, tx, e)
		require.ErrorIs(t, err, outhook.ErrInvalidEvent, want)
		require.NotContains(t, err.Error(), "s3cret")
		field, _, _ := strings.Cut(want, " ")
		if field == "labels" || field == "headers" {
			var invalid *outhook.InvalidEventError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, field, invalid.Field)
		}

		headers, marshalErr := json.Marshal(e.Headers)
		require.NoError(t, marshalErr)
		for _, call := range []string{`outhook.enqueue($1, 'a.b', '{}', labels => $2, headers => $3)`, `outhook.enqueue($1, 'a.b', '{}', 'key', labels => $2, headers => $3)`} {
			_, err = b.pool.Exec(b.ctx, `SELECT `+call, tenant, e.Labels, nullIf(string(headers), "null"))
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr, "%v", e)
			require.Equal(t, "22023", pgErr.Code, pgErr.Message)
			require.NotContains(t, pgErr.Message, "s3cret")
		}
	}

	for _, headers := range []string{`[]`, `"a"`, `{"x-a": 1}`, `{"x-a": null}`} {
		_, err := b.pool.Exec(b.ctx, `SELECT outhook.enqueue('acme', 'a.b', '{}', headers => $1)`, headers)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, headers)
		require.Equal(t, "22023", pgErr.Code, pgErr.Message)
	}
	ok := labelled(strings.Split(strings.Repeat(strings.Repeat("a", 64)+",", 9)+"b", ",")...)
	ok.Headers = map[string]string{name(100): "a b", "tracestate": "!", "x-b": strings.Repeat("~", 1800)}
	b.store(t, ok)
}

func nullIf(text, none string) *string {
	if text == none {
		return nil
	}
	return &text
}
