//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// plant puts into the schema public whatever somebody may have put there who has CREATE: a function, an operator and a type
// of the same name and arguments as each that Postgres has, and a table of the name of each of its tables and views. Each
// notes who called it, and fails. public comes first in everybody's search_path.
const plant = `
CREATE SCHEMA traps;
CREATE SEQUENCE traps.caught;
CREATE FUNCTION traps.trap(what oid) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
	PERFORM pg_catalog.setval('traps.caught', what::bigint);
	RAISE EXCEPTION 'a planted object was reached: %', what;
END $$;
GRANT USAGE ON SCHEMA traps TO PUBLIC;
DO $plant$
DECLARE
	r record;
BEGIN
	SET LOCAL search_path = pg_catalog;
	SET LOCAL check_function_bodies = off;
	FOR r IN SELECT p.oid, p.proname, pg_get_function_identity_arguments(p.oid) AS args, oidvectortypes(p.proargtypes) AS types, p.prorettype::regtype AS result, p.proretset
		FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0
			AND NOT EXISTS (SELECT FROM unnest(p.proargtypes::oid[] || p.prorettype) AS t (id) JOIN pg_type AS y ON y.oid = t.id WHERE y.typtype = 'p')
	LOOP
		EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS %L', r.proname, r.types,
			CASE WHEN r.proretset THEN 'SETOF' ELSE '' END, r.result, format('BEGIN PERFORM traps.trap(%s); END', r.oid));
	END LOOP;
	-- Better matches than the polymorphic and variadic ones: for the types that we call them with.
	FOR r IN SELECT p.oid, p.proname, t.concrete FROM pg_proc AS p, unnest(ARRAY['uuid', 'text', 'bigint', 'integer', 'json', 'timestamptz']) AS t (concrete)
		WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ('array_append', 'array_cat', 'array_fill', 'array_length', 'array_position',
			'array_to_string', 'cardinality', 'unnest', 'array_ndims')
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION public.%I(%s[]) RETURNS integer LANGUAGE plpgsql AS %L', r.proname, r.concrete, format('BEGIN PERFORM traps.trap(%s); END', r.oid));
		EXCEPTION WHEN duplicate_function THEN NULL;
		END;
	END LOOP;
	FOR r IN SELECT t.concrete, f.name, f.args, f.result FROM unnest(ARRAY['text', 'uuid', 'bigint', 'integer']) AS t (concrete),
		(VALUES ('format', 'text, %1$s', 'text'), ('format', 'text, %1$s, %1$s', 'text'), ('format', 'text, %1$s, %1$s, integer', 'text'),
			('json_build_object', 'text, %1$s', 'json'), ('jsonb_build_object', 'text, %1$s', 'jsonb'), ('jsonb_build_object', 'text, %1$s, text, %1$s', 'jsonb'),
			('concat', '%1$s, %1$s', 'text'), ('num_nonnulls', '%1$s, %1$s', 'integer')) AS f (name, args, result)
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', r.name, format(r.args, r.concrete), r.result, 'BEGIN PERFORM traps.trap(1); END');
		EXCEPTION WHEN duplicate_function THEN NULL;
		END;
	END LOOP;
	FOR r IN SELECT o.oid, o.oprname, o.oprleft, o.oprright, o.oprresult::regtype AS result FROM pg_operator AS o
		WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprright <> 0
			AND NOT EXISTS (SELECT FROM pg_type AS y WHERE y.oid IN (o.oprleft, o.oprright, o.oprresult) AND y.typtype = 'p')
	LOOP
		EXECUTE format('CREATE FUNCTION traps.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', 'op' || r.oid,
			CASE WHEN r.oprleft = 0 THEN '' ELSE r.oprleft::regtype || ', ' END || r.oprright::regtype, r.result, format('BEGIN PERFORM traps.trap(%s); END', r.oid));
		EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = traps.%I%s, RIGHTARG = %s)', r.oprname, 'op' || r.oid,
			CASE WHEN r.oprleft = 0 THEN '' ELSE ', LEFTARG = ' || r.oprleft::regtype END, r.oprright::regtype);
	END LOOP;
	FOR r IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v') LOOP
		EXECUTE format('CREATE TABLE public.%I (trapped boolean)', r.relname);
	END LOOP;
	FOR r IN SELECT t.oid, t.typname FROM pg_type AS t WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b' AND t.typelem = 0
			AND t.typname IN ('text', 'uuid', 'json', 'jsonb', 'timestamptz', 'bytea', 'int4', 'int8', 'int2', 'bool', 'float8', 'numeric', 'date', 'inet', 'name', 'regclass')
	LOOP
		EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.%I CHECK (traps.trap(%s))', r.typname, r.typname, r.oid);
	END LOOP;
	EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
END
$plant$`

// Somebody who may create things in the schema public gains nothing by it: neither when the owner migrates, nor from the
// server, nor when others enqueue and report.
func TestNothingThatIsPlantedIsReached(t *testing.T) {
	t.Parallel()
	database := dbtest.NewURL(t)
	admin, err := pgxpool.New(t.Context(), database+"&search_path=pg_catalog")
	require.NoError(t, err)
	defer admin.Close()
	receiver := newArrivals(t)
	key := subscribe(t, admin, receiver.URL)
	_, err = admin.Exec(t.Context(), plant)
	require.NoError(t, err)

	caught := func(when string) {
		var what *int64
		var name string
		require.NoError(t, admin.QueryRow(t.Context(), `SELECT pg_catalog.pg_sequence_last_value('traps.caught'::pg_catalog.regclass)`).Scan(&what))
		if what != nil {
			require.NoError(t, admin.QueryRow(t.Context(), `SELECT pg_catalog.concat_ws(' ', (SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text FROM pg_catalog.pg_proc AS p
				WHERE p.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid), (SELECT p.oid::pg_catalog.regoperator::pg_catalog.text FROM pg_catalog.pg_operator AS p
				WHERE p.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid), (SELECT p.typname::pg_catalog.text FROM pg_catalog.pg_type AS p WHERE p.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid))`, uint32(*what)).Scan(&name))
			require.Fail(t, "a planted object was reached", "%s: %s", when, name)
		}
	}

	// The traps work: a session without anything of ours falls into them.
	plain, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	_, err = plain.Exec(t.Context(), `SELECT lower('X')`)
	require.ErrorContains(t, err, "planted")
	plain.Close()
	_, err = admin.Exec(t.Context(), `DROP SEQUENCE traps.caught; CREATE SEQUENCE traps.caught`)
	require.NoError(t, err)

	for _, args := range [][]string{
		{"migrate", "status"},
		{"migrate", "up"},
		{"migrate", "up", "--dry-run"},
		{"doctor"},
		{"doctor", "--repair"},
		{"partitions"},
		{"keys", "create", "k", "--scope", "admin"},
		{"keys", "list"},
	} {
		_, err := output(t, append(slices.Clone(args), "--database-url", database)...)
		require.NoError(t, err, "%v", args)
		caught(fmt.Sprint(args))
	}

	// Whoever enqueues has such a path too.
	publisher, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	defer publisher.Close()
	for _, sql := range []string{
		`SELECT outhook.enqueue('acme', 'a.b', '{}')`, `SELECT outhook.enqueue(7, 'a.b', '{}', 'key')`,
		`SELECT outhook.enqueue('acme', 'a.b', '{"a": [1]}'::pg_catalog.json, 'key')`, `SELECT outhook.enqueue_event('acme', 'a.b', '{}')`,
		`SELECT * FROM outhook.enqueue_many('{acme,acme}', '{a.b,a.b}', '{1,2}', '{one,two}')`,
		`SELECT * FROM outhook.enqueue_many('{acme,acme}', '{a.b,a.b}', '{1,2}', '{one,two}')`,
		`TABLE outhook.report_events`, `TABLE outhook.report_deliveries`, `TABLE outhook.report_attempts`, `TABLE outhook.report_endpoint_health`,
		`TABLE outhook.report_endpoints`, `TABLE outhook.report_retries`, `TABLE outhook.report_audit`,
	} {
		_, err := publisher.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
		caught(sql)
	}

	s := spawnServe(t, database, key)
	api := s.url()
	posts := newPosts()
	for i := range 20 {
		require.Equal(t, http.StatusAccepted, posts.post(t.Context(), api, fmt.Sprint("k", i)), "%v\n%s", posts.wrong, s.log)
	}
	require.Eventually(t, func() bool { return receiver.missing(posts.accepted) == 0 }, 60*time.Second, 20*time.Millisecond, "%s", s.log)
	status, made := call(t, http.MethodPost, api+"/api/endpoints", testAPIKey, `{"tenant_id": "acme", "url": "http://127.0.0.1:1/", "rate_limit": {"requests": 5, "per": "second"}}`)
	require.Equal(t, http.StatusCreated, status, made)
	id := made["id"].(string)
	for _, order := range []struct{ method, path, body string }{
		{http.MethodGet, "/api/events?limit=10&tenant_id=acme&since=2026-01-02T03:04:05Z", ""},
		{http.MethodGet, "/api/events/" + posts.accepted[0], ""},
		{http.MethodGet, "/api/events/" + posts.accepted[0] + "/attempts", ""},
		{http.MethodGet, "/api/deliveries?state=succeeded", ""},
		{http.MethodGet, "/api/endpoints", ""},
		{http.MethodGet, "/api/stats", ""},
		{http.MethodGet, "/api/attempts", ""},
		{http.MethodGet, "/api/audit", ""},
		{http.MethodGet, "/api/keys", ""},
		{http.MethodGet, "/api/operations", ""},
		{http.MethodGet, "/readyz", ""},
		{http.MethodPost, "/api/endpoints/" + id + "/rotate-secret", `{}`},
		{http.MethodPost, "/api/endpoints/" + id + "/test", `{}`},
		{http.MethodPost, "/api/endpoints/" + id + "/disable", ``},
		{http.MethodPost, "/api/endpoints/" + id + "/enable", ``},
		{http.MethodPost, "/api/endpoints/" + id + "/recover", `{"since": "` + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `"}`},
		{http.MethodDelete, "/api/endpoints/" + id, ""},
		{http.MethodDelete, "/api/tenants/" + url.PathEscape("other") + "/data", ""},
	} {
		status, answer := call(t, order.method, api+order.path, testAPIKey, order.body)
		require.NotEqual(t, http.StatusInternalServerError, status, "%s %s: %v\n%s", order.method, order.path, answer, s.log)
		require.NotEqual(t, http.StatusServiceUnavailable, status, "%s %s: %v\n%s", order.method, order.path, answer, s.log)
		caught(order.path)
	}
	// What the workers do by themselves: the pacer, the retention, reconcile, health.
	require.Eventually(t, func() bool {
		return count(t, admin, `SELECT count(DISTINCT kind) FROM outhook.river_job WHERE kind IN ('retain', 'reconcile') AND finalized_at IS NOT NULL`) == 2
	}, time.Minute, 20*time.Millisecond)
	s.kill()
	caught("serve")
	require.NotContains(t, s.log.String(), "planted")
	for _, args := range [][]string{{"migrate", "down", "--yes", "--to", "0"}, {"migrate", "up"}} {
		_, err := output(t, append(args, "--database-url", database)...)
		require.NoError(t, err, "%v", args)
		caught(fmt.Sprint(args))
	}
}
