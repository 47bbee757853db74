package outhook_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// Whatever the caller has set, alone and in pairs, an enqueue does the same.
func TestTheCallersSettingsMeanNothing(t *testing.T) {
	t.Parallel()
	b := &testBundle{ctx: t.Context(), pool: dbtest.New(t)}
	b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url, event_types)
		SELECT outhook.uuid_v7(), 'acme', 'https://example.com/' || i, v.types::text[]
		FROM generate_series(1, 3) AS i, (VALUES ('{}'), ('{a.b}'), ('{a.*}'), ('{x}')) AS v (types)`)
	list := dbtest.Settings(t, b.pool)
	want := underSettings(t, b)
	require.NotEmpty(t, want)
	try := func(settings ...dbtest.Setting) {
		t.Helper()
		require.Equal(t, want, underSettings(t, b, settings...), "%v", settings)
	}
	for _, s := range list {
		try(s)
	}

	const seed = 1
	rng := rand.New(rand.NewPCG(seed, seed))
	for range 60 {
		try(list[rng.IntN(len(list))], list[rng.IntN(len(list))])
	}
}

// underSettings enqueues in a session with settings, and tells what came of it.
func underSettings(t *testing.T, b *testBundle, settings ...dbtest.Setting) (result string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, b.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	defer conn.Close(b.ctx)
	for _, s := range settings {
		_, err := conn.Exec(ctx, `SELECT pg_catalog.set_config($1, $2, false)`, s.Name, s.Value)
		require.NoError(t, err, "%v", s)
	}
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(b.ctx)) }()

	for range 2 {
		for _, call := range []struct {
			sql  string
			args []any
		}{
			{`SELECT outhook.enqueue($1, $2, $3)`, []any{"acme", "a.b", `{"path": "C:\\x", "n": [1, "\u00e9"]}`}},
			{`SELECT outhook.enqueue($1, $2, $3::pg_catalog.text, $4)`, []any{"acme", "a.b.c", `"\\\""`, `key\1`}},
			{`SELECT outhook.enqueue_event($1, $2, $3, $4)`, []any{"acme", "x", `{"a": null}`, `key 2`}},
			{`SELECT * FROM outhook.enqueue_many($1, $2, $3, $4)`, []any{
				[]string{"acme", "other", "acme"}, []string{"a.b", "a.b", "x"}, []string{"1", `"a\\b"`, "null"}, []string{"k", "k", `key\1`},
			}},
		} {
			_, err := tx.Exec(ctx, call.sql, call.args...)
			require.NoError(t, err, "%s under %v", call.sql, settings)
		}
	}
	const told = `SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', e.tenant_id, e.type, e.payload,
			(SELECT pg_catalog.count(*) FROM outhook.deliveries AS d WHERE d.event_id OPERATOR(pg_catalog.=) e.id)), '; ' ORDER BY e.id)
		FROM outhook.events AS e`
	_, err = tx.Exec(ctx, `SET LOCAL jit = off`)
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(ctx, told).Scan(&result))
	for _, bad := range []string{`{"a": `, `"\x"`, `{"a": "b` + "\n" + `"}`} {
		sub, err := tx.Begin(ctx)
		require.NoError(t, err)
		_, err = sub.Exec(ctx, `SELECT outhook.enqueue('acme', 'a.b', $1::pg_catalog.text)`, bad)
		require.ErrorContains(t, err, "event 0: payload is not valid JSON", "%v", settings)
		require.NoError(t, sub.Rollback(ctx))
	}
	return result
}
