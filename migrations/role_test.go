package migrations_test

import (
	"context"
	"crypto/rand"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/migrations"
)

// password is that of every user whom a test creates.
const password = "correct horse"

func groupRoles(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return column[string](t, pool, `SELECT rolname::text FROM pg_roles WHERE rolname ~ '^outhook_(publisher|reporter|server)$' ORDER BY rolname`)
}

func uniqueName(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// member returns a pool of a new user in group roles. The user goes with the test, since roles belong to the whole server.
func member(t *testing.T, pool *pgxpool.Pool, groups ...string) *pgxpool.Pool {
	t.Helper()
	name := uniqueName("outhook_t_")
	exec(t, pool, `CREATE ROLE `+name+` LOGIN PASSWORD '`+password+`'`)
	for _, group := range groups {
		exec(t, pool, `GRANT `+group+` TO `+name)
	}
	config := pool.Config().ConnConfig
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		conn, err := pgx.ConnectConfig(ctx, config)
		require.NoError(t, err)
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, `DROP ROLE `+name)
		require.NoError(t, err)
	})
	return as(t, pool, name)
}

// as returns a pool of another user on the same database.
func as(t *testing.T, pool *pgxpool.Pool, user string) *pgxpool.Pool {
	t.Helper()
	cfg := pool.Config()
	cfg.ConnConfig.User, cfg.ConnConfig.Password = user, password
	return openConfig(t, cfg)
}

func requireDenied(t *testing.T, err error, what string) {
	t.Helper()
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr, what)
	require.Equal(t, "42501", pgErr.Code, what)
}

// rights returns what a role (or PUBLIC) may do with each object of the schema, whoever gave it the right and how.
func rights(t *testing.T, pool *pgxpool.Pool, role string) []string {
	t.Helper()
	return column[string](t, pool, `
		SELECT r.may FROM (
			SELECT p.privilege || ' ' || c.relname AS may FROM pg_class AS c,
				unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS p (privilege)
			WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
				AND (has_table_privilege($1, c.oid, p.privilege)
					OR p.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege($1, c.oid, p.privilege))
			UNION ALL SELECT p.privilege || ' ' || c.relname
			FROM pg_class AS c, unnest('{SELECT,UPDATE,USAGE}'::text[]) AS p (privilege)
			WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind = 'S' AND has_sequence_privilege($1, c.oid, p.privilege)
			UNION ALL SELECT 'EXECUTE ' || f.oid::regprocedure FROM pg_proc AS f
			WHERE f.pronamespace = 'outhook'::regnamespace AND has_function_privilege($1, f.oid, 'EXECUTE')
			UNION ALL SELECT p.privilege || ' schema' FROM unnest('{USAGE,CREATE}'::text[]) AS p (privilege)
			WHERE has_schema_privilege($1, 'outhook', p.privilege)
		) AS r ORDER BY r.may COLLATE "C"`, role)
}

func TestRightsOfTheRoles(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	requireRights(t, pool)
	require.NotEmpty(t, rights(t, pool, pool.Config().ConnConfig.User), "the owner's are found")
}

// requireRights wants exactly the rights that docs/operations.md promises.
func requireRights(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	require.Empty(t, rights(t, pool, "public"))
	require.Equal(t, []string{
		"EXECUTE outhook.cancel_event(text,text,uuid)",
		"EXECUTE outhook.enqueue(bigint,text,json,text,text)",
		"EXECUTE outhook.enqueue(bigint,text,jsonb,text,text)",
		"EXECUTE outhook.enqueue(bigint,text,text,text,text)",
		"EXECUTE outhook.enqueue(text,text,json,text,text)",
		"EXECUTE outhook.enqueue(text,text,jsonb,text,text)",
		"EXECUTE outhook.enqueue(text,text,text,text,text,text[],jsonb,timestamp with time zone,text)",
		"EXECUTE outhook.enqueue(uuid,text,json,text,text)",
		"EXECUTE outhook.enqueue(uuid,text,jsonb,text,text)",
		"EXECUTE outhook.enqueue(uuid,text,text,text,text)",
		"EXECUTE outhook.enqueue_event(text,text,json,text,text,text[],jsonb,timestamp with time zone,text)",
		"EXECUTE outhook.enqueue_many(text[],text[],text[],text[],boolean,text[],text[],text[],timestamp with time zone[],text[])",
		"EXECUTE outhook.enqueued_here()",
		"EXECUTE outhook.key_conflict(uuid)",
		"USAGE schema",
	}, rights(t, pool, "outhook_publisher"))
	require.Equal(t, []string{
		"SELECT report_attempts",
		"SELECT report_audit",
		"SELECT report_deliveries",
		"SELECT report_endpoint_health",
		"SELECT report_endpoints",
		"SELECT report_events",
		"SELECT report_retries",
		"SELECT report_usage",
		"USAGE schema",
	}, rights(t, pool, "outhook_reporter"))
	require.Equal(t, serverRights(), rights(t, pool, "outhook_server"), "a new object's rights are given in migrations/declared/rights.sql")
}

// serverRights are those of outhook_server, sorted: all that the API and the workers do.
func serverRights() []string {
	list := []string{
		"EXECUTE outhook.bulk_queue(text)",
		"EXECUTE outhook.cancel_event(text,text,uuid)",
		"EXECUTE outhook.check_sequences(boolean)",
		"EXECUTE outhook.create_partitions(date,date)",
		"EXECUTE outhook.endpoint_wants(text[],text[],jsonpath,jsonb,text[],text[])",
		"EXECUTE outhook.enqueue(bigint,text,json,text,text)",
		"EXECUTE outhook.enqueue(bigint,text,jsonb,text,text)",
		"EXECUTE outhook.enqueue(bigint,text,text,text,text)",
		"EXECUTE outhook.enqueue(text,text,json,text,text)",
		"EXECUTE outhook.enqueue(text,text,jsonb,text,text)",
		"EXECUTE outhook.enqueue(text,text,text,text,text,text[],jsonb,timestamp with time zone,text)",
		"EXECUTE outhook.enqueue(uuid,text,json,text,text)",
		"EXECUTE outhook.enqueue(uuid,text,jsonb,text,text)",
		"EXECUTE outhook.enqueue(uuid,text,text,text,text)",
		"EXECUTE outhook.enqueue_event(text,text,json,text,text,text[],jsonb,timestamp with time zone,text)",
		"EXECUTE outhook.enqueue_many(text[],text[],text[],text[],boolean,text[],text[],text[],timestamp with time zone[],text[])",
		"EXECUTE outhook.enqueue_operational(text,text[],text[])",
		"EXECUTE outhook.enqueued_here()",
		"EXECUTE outhook.event_document(text,text,json)",
		"EXECUTE outhook.fan_out_sizes(text[],text[],json[],text[])",
		"EXECUTE outhook.key_conflict(uuid)",
		"EXECUTE outhook.lane_queue(uuid,text,outhook.endpoint_status,text)",
		"EXECUTE outhook.lane_queue(uuid,text,text,outhook.endpoint_status,text)",
		"EXECUTE outhook.line_key(uuid,text)",
		"EXECUTE outhook.note_lost_run(uuid,uuid,bigint,integer,boolean)",
		"EXECUTE outhook.operator_wants(text)",
		"EXECUTE outhook.release_lines(bytea[])",
		"EXECUTE outhook.rfc3339(timestamp with time zone)",
		"EXECUTE outhook.tell_failed(uuid[],uuid[],bigint[])",
		"EXECUTE outhook.river_job_state_in_bitmask(bit,outhook.river_job_state)",
		"EXECUTE outhook.trace_or_null(text)",
		"EXECUTE outhook.type_patterns(text)",
		"EXECUTE outhook.uuid_v7(timestamp with time zone,integer)",
		"EXECUTE outhook.uuid_v7_floor(timestamp with time zone)",
		"EXECUTE outhook.uuid_v7_time(uuid)",
		"EXECUTE outhook.wake(text,boolean)",
		"USAGE schema",
	}
	for relation, privileges := range map[string]string{
		"audit_entries":             "SELECT INSERT", // append-only
		"operations":                "SELECT INSERT UPDATE DELETE",
		"pauses":                    "SELECT INSERT UPDATE",
		"stored_answers":            "SELECT INSERT UPDATE DELETE",
		"report_audit":              "SELECT",
		"api_keys":                  "SELECT INSERT UPDATE DELETE", // sessions that are over
		"deliveries":                "SELECT INSERT UPDATE",
		"delivery_attempts":         "SELECT INSERT UPDATE",
		"endpoint_health":           "SELECT INSERT UPDATE DELETE",
		"lanes":                     "SELECT INSERT UPDATE",
		"leases":                    "SELECT INSERT UPDATE DELETE",
		"lines":                     "SELECT INSERT UPDATE DELETE",
		"report_endpoints":          "SELECT",
		"endpoint_revisions":        "SELECT DELETE", // triggers write it
		"endpoint_secrets":          "SELECT INSERT UPDATE DELETE",
		"endpoints":                 "SELECT INSERT UPDATE",
		"event_keys":                "SELECT UPDATE DELETE",
		"events":                    "SELECT INSERT UPDATE", // UPDATE of payload and traceparent
		"catalogs":                  "SELECT UPDATE",        // its one row
		"event_types":               "SELECT INSERT UPDATE DELETE",
		"event_type_versions":       "SELECT INSERT UPDATE", // of examples
		"event_type_samples":        "SELECT INSERT UPDATE DELETE",
		"tenant_erasures":           "SELECT INSERT UPDATE",
		"tenants":                   "SELECT INSERT UPDATE DELETE",
		"goose_db_version":          "SELECT",
		"report_attempts":           "SELECT",
		"report_deliveries":         "SELECT",
		"report_endpoint_health":    "SELECT",
		"report_events":             "SELECT",
		"report_retries":            "SELECT",
		"report_usage":              "SELECT",
		"river_job":                 "SELECT INSERT UPDATE DELETE",
		"rollups":                   "SELECT INSERT DELETE", // never updated
		"usage_counts":              "SELECT INSERT UPDATE DELETE",
		"usage_hours":               "SELECT INSERT UPDATE DELETE",
		"river_job_id_seq":          "SELECT USAGE",
		"river_leader":              "SELECT INSERT UPDATE DELETE",
		"river_migration":           "SELECT",
		"river_notification":        "SELECT INSERT UPDATE DELETE",
		"river_notification_id_seq": "SELECT USAGE",
		"river_queue":               "SELECT INSERT UPDATE DELETE",
	} {
		for privilege := range strings.FieldsSeq(privileges) {
			list = append(list, privilege+" "+relation)
		}
	}
	slices.Sort(list)
	return list
}

func TestPublisherMayEnqueue(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	publisher := member(t, pool, "outhook_publisher")
	for _, call := range []string{
		`outhook.enqueue('acme', 'a.b', '{"as": "text"}', 'key')`,
		`outhook.enqueue('acme', 'a.b', json_build_object('as', 'json'))`,
		`outhook.enqueue('acme', 'a.b', jsonb_build_object('as', 'jsonb'))`,
		`outhook.enqueue_many('{acme}', '{a.b}', ARRAY['{"as": "many"}'])`,
	} {
		exec(t, publisher, `SELECT FROM `+call)
	}
	require.Equal(t, 4, value[int](t, pool, `SELECT count(*) FROM outhook.events`))

	_, err := publisher.Exec(t.Context(), `SELECT outhook.create_partitions('2030-01-01', '2030-01-01')`)
	requireDenied(t, err, "another function")
	for _, relation := range relations(t, pool) {
		_, err := publisher.Exec(t.Context(), `SELECT FROM outhook.`+relation)
		requireDenied(t, err, relation)
	}
}

func TestReporterMayReadTheReports(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	reporter := member(t, pool, "outhook_reporter")
	for _, relation := range relations(t, pool) {
		_, err := reporter.Exec(t.Context(), `SELECT * FROM outhook.`+relation)
		if strings.HasPrefix(relation, "report_") {
			require.NoError(t, err, relation)
			continue
		}
		requireDenied(t, err, relation)
	}
	_, err := reporter.Exec(t.Context(), `SELECT outhook.enqueue('acme', 'a.b', '{}')`)
	requireDenied(t, err, "enqueue")
}

func TestStrangerMayDoNothing(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	stranger := member(t, pool)
	for _, sql := range []string{
		`SELECT outhook.enqueue('acme', 'a.b', '{}')`, `SELECT outhook.cancel_event('acme', 'a')`, `SELECT FROM outhook.report_events`,
	} {
		_, err := stranger.Exec(t.Context(), sql)
		requireDenied(t, err, sql)
	}
}

// relations returns the names of all tables and views of the schema.
func relations(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	names := column[string](t, pool, `SELECT relname::text FROM pg_class
		WHERE relnamespace = 'outhook'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')`)
	require.Greater(t, len(names), 96)
	return names
}

// Otherwise whoever calls it could put objects of his own in the path of the owner's rights.
func TestDefinerFunctionsPinTheirSearchPath(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	paths := column[[]string](t, pool, `SELECT coalesce(proconfig, '{}') FROM pg_proc
		WHERE pronamespace = 'outhook'::regnamespace AND prosecdef`)
	require.Len(t, paths, 7)
	for _, path := range paths {
		require.Equal(t, "search_path=pg_catalog, pg_temp", path[0])
		require.Subset(t, []string{"jit=off"}, path[1:], "what else there is puts nothing into the path")
	}
}

// A migration's user who may not create roles gets a schema without grants. What it prints to run by hand then gives the
// same schema as a migration with CREATEROLE does. Roles belong to the whole server, so this needs one of its own.
func TestMigrationWithoutCreateRole(t *testing.T) {
	t.Parallel()
	s := server(t, os.Getenv("OUTHOOK_TEST_POSTGRES_BIN"))
	admin := open(t, s.URL("postgres"))
	exec(t, admin, `CREATE ROLE plain LOGIN PASSWORD '`+password+`'`)
	exec(t, admin, `CREATE ROLE creator LOGIN CREATEROLE PASSWORD '`+password+`'`)

	first := ownedBy(t, s, "plain", "first")
	missing := up(t, first).ByHand
	require.Equal(t, []string{
		"CREATE ROLE outhook_publisher NOLOGIN;", "CREATE ROLE outhook_reporter NOLOGIN;", "CREATE ROLE outhook_server NOLOGIN;",
	}, missing)
	require.NoError(t, migrations.Check(t.Context(), first))
	require.Empty(t, groupRoles(t, admin))

	byHand := open(t, s.URL("first"))
	for _, sql := range missing {
		exec(t, byHand, sql)
	}
	require.Empty(t, up(t, first).ByHand)
	requireRights(t, byHand)
	want := fingerprint(t, byHand)

	second := ownedBy(t, s, "plain", "second")
	require.Empty(t, up(t, second).ByHand, "the roles are there")
	require.Equal(t, want, fingerprint(t, second))

	// Nothing is left of the roles' rights after a rollback: else they could not be dropped.
	require.NoError(t, migrations.DownTo(t.Context(), first, 0))
	require.NoError(t, migrations.DownTo(t.Context(), second, 0))
	exec(t, admin, `DROP ROLE outhook_publisher, outhook_reporter, outhook_server`)

	third := ownedBy(t, s, "creator", "third")
	require.Empty(t, up(t, third).ByHand)
	require.Equal(t, want, fingerprint(t, third))
}

// ownedBy returns a pool of a user on a new database of his.
func ownedBy(t *testing.T, s *localpg.Server, user, database string) *pgxpool.Pool {
	t.Helper()
	exec(t, open(t, s.URL("postgres")), `CREATE DATABASE `+database+` OWNER `+user)
	return as(t, open(t, s.URL(database)), user)
}

// The trail is append-only for everybody, the owner of the table too.
func TestAuditTrailIsAppendOnly(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	exec(t, pool, `INSERT INTO outhook.audit_entries (id, actor, action, object_type, object_id) VALUES (outhook.uuid_v7(), 'a', 'b', 'c', 'd')`)
	for _, sql := range []string{
		`UPDATE outhook.audit_entries SET actor = 'nobody'`,
		`DELETE FROM outhook.audit_entries`,
		`DELETE FROM outhook.audit_entries WHERE false`,
		`TRUNCATE outhook.audit_entries`,
		`INSERT INTO outhook.audit_entries (id, actor, action, object_type, object_id)
			SELECT id, 'x', 'x', 'x', 'x' FROM outhook.audit_entries ON CONFLICT (id) DO UPDATE SET actor = 'nobody'`,
		`MERGE INTO outhook.audit_entries AS t USING (SELECT 1) AS s (i) ON true WHEN MATCHED THEN DELETE`,
	} {
		_, err := pool.Exec(t.Context(), sql)
		requireDenied(t, err, sql)
		require.ErrorContains(t, err, "append-only")
	}
	require.Equal(t, []string{"a"}, column[string](t, pool, `SELECT actor FROM outhook.report_audit`))
}

// What docs/security.md says to do when old entries have to go.
func TestOwnerCanExpireTheAuditTrail(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	exec(t, pool, `INSERT INTO outhook.audit_entries (id, actor, action, object_type, object_id)
		SELECT outhook.uuid_v7(now() - n * interval '1 year'), 'year ' || n, 'b', 'c', 'd' FROM generate_series(0, 3) AS n`)
	for _, sql := range blocks(t, "../docs/security.md") {
		if strings.Contains(sql, "DELETE") {
			exec(t, pool, sql)
		}
	}
	require.Equal(t, []string{"year 0", "year 1"}, column[string](t, pool, `SELECT actor FROM outhook.audit_entries ORDER BY id DESC`))
	_, err := pool.Exec(t.Context(), `DELETE FROM outhook.audit_entries`)
	requireDenied(t, err, "the trigger is on again")
}
