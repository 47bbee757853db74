package migrations_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/migrations"
)

// Each file of the folder has its place in the order, once.
func TestEachDeclaredFileIsInTheOrder(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("declared/order")
	require.NoError(t, err)
	var order []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			order = append(order, line)
		}
	}
	require.Equal(t, "rights.sql", order[len(order)-1])
	slices.Sort(order)

	paths, err := filepath.Glob("declared/*.sql")
	require.NoError(t, err)
	var names []string
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	require.Equal(t, names, order)
}

// Whatever somebody, or a dump, has done to what is declared, the next migration mends it, and the one after it has nothing
// to do.
func TestWhatIsDeclaredIsMended(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]string{
		"Nothing":            ``,
		"AFunctionIsGone":    `DROP FUNCTION outhook.enqueue_event`,
		"AFunctionIsAnother": `CREATE OR REPLACE FUNCTION outhook.type_patterns(type text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT AS 'SELECT ARRAY[type]'`,
		"AFunctionHasNoPath": `ALTER FUNCTION outhook.enqueue_many RESET ALL`,
		"ItIsInvokers":       `ALTER FUNCTION outhook.create_partitions SECURITY INVOKER`,
		"AnArgumentsName":    `DROP FUNCTION outhook.wake; CREATE FUNCTION outhook.wake(q text, a boolean) RETURNS void LANGUAGE sql AS ''`,
		"AnExpressionsText":  `CREATE OR REPLACE FUNCTION outhook.trace_or_null(traceparent text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN NULL`,
		"AViewIsGone":        `DROP VIEW outhook.report_audit`,
		"AViewIsAnother":     `ALTER VIEW outhook.report_events RESET (security_invoker); CREATE OR REPLACE VIEW outhook.report_retries AS SELECT * FROM outhook.report_retries WHERE false`,
		"AViewIsInvokers":    `ALTER VIEW outhook.report_events SET (security_invoker = true)`,
		"AViewsComment":      `COMMENT ON VIEW outhook.report_events IS 'something'`,
		"ATriggerIsGone":     `DROP TRIGGER audit_entries_append_only ON outhook.audit_entries`,
		"PublicMayExecute":   `GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA outhook TO PUBLIC`,
		"PublicMayRead":      `GRANT SELECT ON ALL TABLES IN SCHEMA outhook TO PUBLIC; GRANT CREATE, USAGE ON SCHEMA outhook TO PUBLIC`,
		"AColumnIsPublic":    `GRANT SELECT (sealed), UPDATE (sealed) ON outhook.endpoint_secrets TO PUBLIC`,
		"AReporterMayWrite":  `GRANT ALL ON outhook.report_events, outhook.events TO outhook_reporter`,
		"RolesMayNothing":    `REVOKE ALL ON ALL TABLES IN SCHEMA outhook FROM outhook_reporter, outhook_server; REVOKE ALL ON SCHEMA outhook FROM outhook_publisher`,
		"TheServerMayChange": `GRANT UPDATE ON outhook.events TO outhook_server`,
		"TheComment":         `COMMENT ON SCHEMA outhook IS NULL`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := open(t, dbtest.NewURL(t))
			want := fingerprint(t, pool)
			exec(t, pool, harm)
			require.Equal(t, name != "Nothing" && name != "TheComment", len(up(t, pool).Changes) > 0)
			require.Equal(t, want, fingerprint(t, pool))
			require.Empty(t, up(t, pool).Changes)
			require.Equal(t, fmt.Sprintf("Outhook, schema version %d", migrations.Latest()),
				value[string](t, pool, `SELECT obj_description('outhook'::regnamespace, 'pg_namespace')`))
		})
	}
}

// An owner's default privileges are meant for his own tables.
func TestDefaultPrivilegesDoNotReachTheSchema(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t))
	role := uniqueName("outhook_analyst_")
	exec(t, pool, `CREATE ROLE `+role)
	dropRole(t, pool, role)
	for _, who := range []string{role, "PUBLIC"} {
		exec(t, pool, `ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO `+who+`; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO `+who+`;
			ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO `+who+`; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO `+who)
	}
	up(t, pool)
	require.Empty(t, rights(t, pool, role))
	require.Empty(t, rights(t, pool, "public"))
	exec(t, pool, `SELECT outhook.create_partitions('2035-01-01', '2035-01-02')`)
	require.Empty(t, rights(t, pool, role), "of new partitions")

	// What somebody gives on purpose stays.
	exec(t, pool, `GRANT SELECT ON outhook.report_events TO `+role)
	up(t, pool)
	require.Equal(t, []string{"SELECT report_events"}, rights(t, pool, role))
}

// What is declared may change from release to release, and what customers have built on it goes on.
func TestDeclaredObjectsChange(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.NewURL(t))
	role := uniqueName("outhook_billing_")
	exec(t, pool, `CREATE ROLE `+role)
	dropRole(t, pool, role)
	exec(t, pool, `GRANT EXECUTE ON FUNCTION outhook.rfc3339 TO `+role+`; GRANT SELECT ON outhook.report_events TO `+role+`;
		CREATE VIEW public.of_customers AS SELECT event_id, tenant_id FROM outhook.report_events`)

	declare := func(changes fstest.MapFS) ([]string, error) {
		folder := fstest.MapFS{}
		files := os.DirFS("declared")
		require.NoError(t, fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(files, path)
			folder[path] = &fstest.MapFile{Data: data}
			return err
		}))
		maps.Copy(folder, changes)
		var done []string
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
			exec(t, tx, `SET LOCAL search_path = pg_catalog, pg_temp`)
			done, err = migrations.Declare(t.Context(), tx, folder)
			return err
		})
		return done, err
	}
	done, err := declare(nil)
	require.NoError(t, err)
	require.Empty(t, done)

	// A function's result changes.
	_, err = declare(fstest.MapFS{"rfc3339.sql": {Data: []byte(`CREATE OR REPLACE FUNCTION outhook.rfc3339(at timestamptz) RETURNS varchar
LANGUAGE sql STABLE PARALLEL SAFE RETURN 'now';`)}})
	require.NoError(t, err)
	require.Equal(t, "character varying", value[string](t, pool, `SELECT pg_get_function_result('outhook.rfc3339'::regproc)`))
	require.Contains(t, rights(t, pool, role), "EXECUTE outhook.rfc3339(timestamp with time zone)")
	require.Contains(t, rights(t, pool, "outhook_server"), "EXECUTE outhook.rfc3339(timestamp with time zone)")
	require.NotContains(t, rights(t, pool, "public"), "EXECUTE outhook.rfc3339(timestamp with time zone)")

	// A function gets an argument: the one of before goes, and who might call it goes on, with the same calls.
	_, err = declare(fstest.MapFS{"rfc3339.sql": {Data: []byte(`CREATE OR REPLACE FUNCTION outhook.rfc3339(at timestamptz, zone text DEFAULT 'UTC') RETURNS varchar
LANGUAGE sql STABLE PARALLEL SAFE RETURN zone;`)}})
	require.NoError(t, err)
	require.Equal(t, "UTC", value[string](t, pool, `SELECT outhook.rfc3339(now())`))
	require.Contains(t, rights(t, pool, role), "EXECUTE outhook.rfc3339(timestamp with time zone,text)")
	require.Equal(t, 1, value[int](t, pool, `SELECT count(*) FROM pg_proc WHERE proname = 'rfc3339'`))

	// What somebody has built into an object of his own is not taken from him: he is told of it.
	exec(t, pool, `CREATE VIEW public.of_others AS SELECT outhook.rfc3339(now()) AS at`)
	_, err = declare(fstest.MapFS{"rfc3339.sql": {Data: []byte(`CREATE OR REPLACE FUNCTION outhook.rfc3339(at timestamptz, zone text DEFAULT 'UTC', more text DEFAULT '') RETURNS varchar
LANGUAGE sql STABLE PARALLEL SAFE RETURN zone;`)}})
	require.ErrorContains(t, err, "view public.of_others depends on function")
	exec(t, pool, `DROP VIEW public.of_others; DROP FUNCTION outhook.rfc3339`)

	// A view gets a column.
	text, err := os.ReadFile("declared/report_events.sql")
	require.NoError(t, err)
	longer := strings.Replace(string(text), "\nFROM outhook.events AS e\n", ",\n    1 AS one\nFROM outhook.events AS e\n", 1)
	require.NotEqual(t, string(text), longer)
	_, err = declare(fstest.MapFS{"report_events.sql": {Data: []byte(longer)}})
	require.NoError(t, err)
	require.Zero(t, value[int](t, pool, `SELECT count(one) FROM outhook.report_events`))
	require.Contains(t, rights(t, pool, role), "SELECT report_events")
	require.Zero(t, value[int](t, pool, `SELECT count(*) FROM public.of_customers`))

	// It may not lose one: that takes nothing along.
	_, err = declare(nil)
	require.ErrorContains(t, err, "report_events")
	require.Zero(t, value[int](t, pool, `SELECT count(one) FROM outhook.report_events`))
}

// Reports that run for long are not waited for, unless a view changes.
func TestAMigrationDoesNotWaitForReports(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.NewURL(t))
	report, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer report.Rollback(t.Context())
	for _, view := range views(t, pool) {
		exec(t, report, `SELECT * FROM outhook.`+view)
	}
	exec(t, pool, `REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outhook FROM outhook_server; DROP FUNCTION outhook.enqueue_event`)
	require.NotEmpty(t, up(t, pool).Changes)
}

// A parameter has the collation of the column that the caller takes its value from; a variable has its own.
func TestNoParameterOfTextIsUsedBeyondDeclare(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("declared/*.sql")
	require.NoError(t, err)
	wrapper := regexp.MustCompile(`FUNCTION outhook\.enqueue(_event)?\(`) // they compare nothing
	function := regexp.MustCompile(`(?s)CREATE OR REPLACE FUNCTION outhook\.(\w+)\((.*?)\)\s*RETURNS.*?AS \$\$(.*?)\$\$;`)
	parameter := regexp.MustCompile(`(\w+) text(?:\[\])?(?:,| DEFAULT|$|\s*$)`)
	seen := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, f := range function.FindAllStringSubmatch(string(text), -1) {
			if wrapper.MatchString(f[0]) {
				continue
			}
			_, body, found := strings.Cut(f[3], "\nBEGIN\n")
			require.True(t, found, f[1])
			for _, p := range parameter.FindAllStringSubmatch(f[2], -1) {
				seen++
				require.NotRegexp(t, `[^.'\w]`+p[1]+`\b[^.(:']`, regexp.MustCompile(`--.*`).ReplaceAllString(body, ""), "%s of %s", p[1], f[1])
			}
			for line := range strings.Lines(strings.TrimSuffix(f[3], body)) {
				if regexp.MustCompile(`^\s+\w+ (CONSTANT )?text\b`).MatchString(line) && strings.Contains(line, ":=") {
					require.Contains(t, line, `COLLATE "C"`, "%s", f[1])
				}
			}
		}
	}
	require.Greater(t, seen, 20)
}

// The columns of the newest version are kept for those who restore a dump of the schema alone.
func TestColumnsOfTheNewestVersion(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	lines, err := migrations.Columns(t.Context(), pool)
	require.NoError(t, err)
	path := fmt.Sprintf("columns/%d", migrations.Latest())
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text, "run go test ./migrations -run TestColumns -update")
}

func TestASchemaFromBeforeTheFirstReleaseIsRefused(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t))
	exec(t, pool, `CREATE SCHEMA outhook; CREATE TABLE outhook.goose_db_version (id integer GENERATED BY DEFAULT AS IDENTITY, version_id bigint NOT NULL,
		is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT now()); INSERT INTO outhook.goose_db_version (version_id, is_applied) VALUES (0, true), (17, true)`)
	_, err := migrations.Up(t.Context(), pool)
	require.ErrorIs(t, err, migrations.ErrUnreleased)
	require.ErrorIs(t, migrations.DownTo(t.Context(), pool, 0), migrations.ErrUnreleased)
	require.ErrorIs(t, migrations.Check(t.Context(), pool), migrations.ErrUnreleased)
}

// A superuser who migrates for an application makes nothing of his own: a function that runs with its owner's rights
// would run with his.
func TestWhatASuperuserMigratesIsTheOwners(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t))
	role := uniqueName("outhook_app_")
	exec(t, pool, `CREATE ROLE `+role+` LOGIN PASSWORD '`+password+`'; CREATE SCHEMA outhook AUTHORIZATION `+role)
	dropRole(t, pool, role)
	require.Empty(t, up(t, pool).ByHand)
	require.Equal(t, []string{role}, owners(t, pool))

	// Somebody has restored parts as another user.
	exec(t, pool, `ALTER TABLE outhook.endpoints OWNER TO current_user; ALTER FUNCTION outhook.enqueue_many OWNER TO current_user;
		ALTER VIEW outhook.report_events OWNER TO current_user; ALTER TYPE outhook.key_scope OWNER TO current_user`)
	as := as(t, pool, role)
	require.Len(t, up(t, as).ByHand, 4, "the owner may not take it")
	require.Empty(t, up(t, pool).ByHand)
	require.Equal(t, []string{role}, owners(t, pool))
	require.Empty(t, up(t, as).Changes)
}

// dropRole drops a role, and what it owns, when the test ends.
func dropRole(t *testing.T, pool *pgxpool.Pool, role string) {
	t.Helper()
	t.Cleanup(func() {
		_, err := pool.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+role+` CASCADE; DROP ROLE `+role)
		require.NoError(t, err)
	})
}

// owners returns the names of all who own something in the schema.
func owners(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return column[string](t, pool, `SELECT DISTINCT o.owner::regrole::text FROM (
		SELECT relowner FROM pg_class WHERE relnamespace = 'outhook'::regnamespace UNION ALL
		SELECT proowner FROM pg_proc WHERE pronamespace = 'outhook'::regnamespace UNION ALL
		SELECT typowner FROM pg_type WHERE typnamespace = 'outhook'::regnamespace) AS o (owner)`)
}
