package outhook_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/migrations"
)

// collations are those that a column of the caller's may have. "": the database's.
func collations() map[string]string {
	return map[string]string{
		"Default": ``, "C": `COLLATE "C"`, "ICU": `COLLATE "und-x-icu"`, "CaseInsensitive": `COLLATE public.ci`,
		"AccentInsensitive": `COLLATE public.ai`, "Numeric": `COLLATE public.numeric`,
	}
}

const makeCollations = `
	CREATE COLLATION public.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE COLLATION public.ai (provider = icu, locale = 'und-u-ks-level1-kc-true', deterministic = false);
	CREATE COLLATION public.numeric (provider = icu, locale = 'en-u-kn-true', deterministic = true)`

// Tenants, types and keys are bytes, whatever the collation of the column that they are taken from: else an event of one
// tenant would reach another's endpoints.
func TestTheCallersCollationMeansNothing(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQLOfTheTests", func(t *testing.T) {
		t.Parallel()
		testCollations(t, dbtest.New(t))
	})
	t.Run("PostgreSQL18", func(t *testing.T) {
		t.Parallel()
		dir := os.Getenv("OUTHOOK_TEST_POSTGRES18_BIN")
		dbtest.RequireTool(t, "PostgreSQL 18 (OUTHOOK_TEST_POSTGRES18_BIN)", dir != "")
		s, err := localpg.Start(t.Context(), localpg.Config{BinDir: dir})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Kill()) })
		pool, err := pgxpool.New(t.Context(), s.URL("outhook"))
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		_, err = migrations.Up(t.Context(), pool)
		require.NoError(t, err)
		testCollations(t, pool)
	})
}

func testCollations(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	b := &testBundle{ctx: t.Context(), pool: pool}
	b.exec(t, makeCollations)
	b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url, event_types)
		SELECT outhook.uuid_v7(), n, 'https://example.com/' || n, v.types::text[]
		FROM unnest('{acme,ACME,Acme,acmé,acme10,acme2}'::text[]) AS n, (VALUES ('{}'), ('{a.b}'), ('{A.B}'), ('{a.*}'), ('{A.*}')) AS v (types)`)
	// Many: whoever reads them all is seen.
	b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url)
		SELECT outhook.uuid_v7(), 'many' || i, 'https://example.com/' FROM generate_series(1, 20000) AS i`)
	b.exec(t, `ANALYZE outhook.endpoints`)

	for name, collation := range collations() {
		for _, generic := range []bool{false, true} {
			// Not in parallel: they share the keys.
			t.Run(fmt.Sprintf("%s/generic=%t", name, generic), func(t *testing.T) {
				conn, err := pool.Acquire(t.Context())
				require.NoError(t, err)
				defer conn.Release()
				tx, err := conn.Begin(t.Context())
				require.NoError(t, err)
				defer tx.Rollback(t.Context())
				testCollation(t, tx, collation, generic)
			})
		}
	}
}

// testCollation enqueues from columns of a collation.
func testCollation(t *testing.T, tx pgx.Tx, collation string, generic bool) {
	t.Helper()
	exec := func(sql string, args ...any) {
		_, err := tx.Exec(t.Context(), sql, args...)
		require.NoError(t, err, sql)
	}
	if generic {
		exec(`SET LOCAL plan_cache_mode = force_generic_plan`)
	}
	exec(fmt.Sprintf(`CREATE TABLE public.business (id bigserial, tenant text %[1]s, type text %[1]s, payload text %[1]s, key text %[1]s,
		tenants text[] %[1]s, types text[] %[1]s, payloads text[] %[1]s, keys text[] %[1]s,
		type_c text COLLATE "C", type_ci text COLLATE public.ci, key_icu text COLLATE "und-x-icu")`, collation))
	exec(`INSERT INTO public.business (tenant, type, payload, key, tenants, types, payloads, keys) VALUES
		('acme', 'a.b', '{"n": 1}', 'Key', '{acme,ACME}', '{a.b,A.B}', '{1,"{\"x\": 1}"}', '{k,K}'),
		('ACME', 'A.B', '[1, 2]', 'key', '{acmé,acme2}', '{a.b,a.b}', '{2,3}', '{"",""}'),
		('acmé', 'a.c', '"x"', '', '{acme10}', '{a.b}', '{4}', '{é}')`)
	exec(`UPDATE public.business SET type_c = type, type_ci = type, key_icu = key`)

	deliveries := func(want ...string) {
		t.Helper()
		rows, err := tx.Query(t.Context(), `SELECT e.tenant_id || ' ' || e.type || ' to ' || n.tenant_id || ' ' || n.event_types::text
			FROM outhook.events AS e LEFT JOIN outhook.deliveries AS d ON d.event_id = e.id LEFT JOIN outhook.endpoints AS n ON n.id = d.endpoint_id ORDER BY e.id, n.id`)
		require.NoError(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Equal(t, want, got)
		exec(`DELETE FROM outhook.events; DELETE FROM outhook.deliveries; DELETE FROM outhook.event_keys; DELETE FROM outhook.river_job`)
	}
	small := []string{
		"acme a.b to acme {}", "acme a.b to acme {a.b}", "acme a.b to acme {a.*}",
		"ACME A.B to ACME {}", "ACME A.B to ACME {A.B}", "ACME A.B to ACME {A.*}", "acmé a.c to acmé {}", "acmé a.c to acmé {a.*}",
	}
	for _, call := range []string{
		`outhook.enqueue(tenant, type, payload)`, `outhook.enqueue(tenant, type, payload, key)`, `outhook.enqueue(tenant, type, payload::json, key)`,
		`outhook.enqueue(tenant, type, payload::jsonb, key)`, `outhook.enqueue_event(tenant, type, payload::json, key)`,
		`(SELECT count(*) FROM outhook.enqueue_many(ARRAY[tenant], ARRAY[type], ARRAY[payload], ARRAY[key]))`,
		// The arguments' collations contradict each other.
		`outhook.enqueue(tenant, type_c, payload, key_icu)`, `outhook.enqueue(tenant, type_ci, payload, key_icu)`,
		`(SELECT count(*) FROM outhook.enqueue_many(ARRAY[tenant], ARRAY[type_ci], ARRAY[payload], ARRAY[key_icu]))`,
	} {
		exec(`SELECT ` + call + ` FROM (SELECT * FROM public.business ORDER BY id) AS b`)
		deliveries(small...)
	}
	exec(`SELECT (SELECT count(*) FROM outhook.enqueue_many(tenants, types, payloads, keys)) FROM (SELECT * FROM public.business ORDER BY id) AS b`)
	deliveries("acme a.b to acme {}", "acme a.b to acme {a.b}", "acme a.b to acme {a.*}", "ACME A.B to ACME {}", "ACME A.B to ACME {A.B}", "ACME A.B to ACME {A.*}",
		"acmé a.b to acmé {}", "acmé a.b to acmé {a.b}", "acmé a.b to acmé {a.*}", "acme2 a.b to acme2 {}", "acme2 a.b to acme2 {a.b}", "acme2 a.b to acme2 {a.*}",
		"acme10 a.b to acme10 {}", "acme10 a.b to acme10 {a.b}", "acme10 a.b to acme10 {a.*}")

	// A duplicate is one of the same bytes.
	var duplicates int
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE m.duplicate) FROM public.business AS b,
		outhook.enqueue_many(ARRAY[b.tenant, b.tenant, b.tenant], ARRAY[b.type, b.type, b.type], ARRAY[b.payload, b.payload, b.payload], ARRAY['Key', 'KEY', 'Key']) AS m`).Scan(&duplicates))
	require.Equal(t, 3, duplicates)
	exec(`DELETE FROM outhook.events; DELETE FROM outhook.deliveries; DELETE FROM outhook.event_keys; DELETE FROM outhook.river_job`)

	// Each look-up goes by the index.
	read := func() (n int64) {
		require.NoError(t, tx.QueryRow(t.Context(), `SELECT coalesce(pg_stat_get_xact_tuples_returned('outhook.endpoints'::regclass), 0)`).Scan(&n))
		return n
	}
	before := read()
	for range 8 {
		exec(`SELECT outhook.enqueue(tenant, type, payload, key), (SELECT count(*) FROM outhook.enqueue_many(tenants, types, payloads, keys)) FROM public.business`)
	}
	require.Less(t, read()-before, int64(5000), "it reads all endpoints")
}
