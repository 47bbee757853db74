package docs_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// publisherURL returns the URL of a database for a role that may enqueue, and that of its owner.
func publisherURL(t *testing.T) (publishers, owners string) {
	t.Helper()
	owners = dbtest.NewURL(t)
	exec1(t, owners, "CREATE TABLE public.invoices (id bigint PRIMARY KEY, paid boolean NOT NULL DEFAULT false)")
	exec1(t, owners, "INSERT INTO public.invoices (id) VALUES (17)")
	u, err := url.Parse(owners)
	require.NoError(t, err)
	u.User = publisher(t, owners)
	return u.String(), owners
}

// publisher makes a role that may enqueue, and may do with the table invoices and the schema public what it wants.
func publisher(t *testing.T, databaseURL string) *url.Userinfo {
	t.Helper()
	name, password := "outhook_t_docs_"+strings.ToLower(rand.Text()), "correct-horse"
	exec1(t, databaseURL, fmt.Sprintf(`CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s'; GRANT outhook_publisher TO %[1]s;
		GRANT CREATE ON SCHEMA public TO %[1]s; ALTER TABLE IF EXISTS public.invoices OWNER TO %[1]s`, name, password))
	t.Cleanup(func() { exec1(t, databaseURL, fmt.Sprintf(`DROP OWNED BY %[1]s CASCADE; DROP ROLE %[1]s`, name)) })
	return url.UserPassword(name, password)
}

// Go's ORMs are a module of their own, so that those who import Outhook don't get them.
func TestGoLibraries(t *testing.T) {
	t.Parallel()
	publishers, _ := publisherURL(t)
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./...")
	cmd.Dir, cmd.Env = "languages", append(cleanEnvironment(), "DATABASE_URL="+publishers, "GOWORK=off")
	out, err := cmd.CombinedOutput()
	dbtest.RequireTool(t, "Go module proxy", err == nil || !strings.Contains(string(out), "dial tcp"))
	require.NoError(t, err, string(out))
}

// stored is what an event must be of that a driver bound in some way. The traps of docs/languages.md are here because a driver
// may change, and then the page must.
type stored struct{ tenant, payload string }

const (
	oddJSON  = "{ \"b\":1,\t\"a\" : 2}"
	asJSONB  = `{"a": 2, "b": 1}`
	twice    = `"{ \"b\":1,\t\"a\" : 2}"`
	uuidText = "0192f0c1-0000-7000-8000-000000000017"
)

// Each program of testdata enqueues by its drivers in many ways, as a role that may do nothing else. The idempotency key of an
// event is the name of the way; one that failed is not there.
func TestDrivers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		program, command, needs string

		want map[string]stored
	}{
		{"calls.py", "python3", `python3 -c "import asyncpg, psycopg, psycopg2, sqlalchemy"`, pythonCalls()},
		{"calls.mjs", "node", `node -e "['pg','postgres','knex','sequelize','typeorm','drizzle-orm'].map(require.resolve)"`, nodeCalls()},
		{"calls.rb", "ruby", `ruby -e 'require "active_record"; require "pg"'`, rubyCalls()},
	} {
		t.Run(tc.program, func(t *testing.T) {
			t.Parallel()
			nodeTests, err := filepath.Abs(filepath.Join("..", "jobs", "testdata", "node"))
			require.NoError(t, err)
			env := append(cleanEnvironment(), "PATH="+searchPath(""))
			needs := exec.CommandContext(t.Context(), "bash", "-c", tc.needs)
			needs.Dir, needs.Env = nodeTests, env
			dbtest.RequireTool(t, tc.needs, needs.Run() == nil)

			publishers, owners := publisherURL(t)
			source, err := os.ReadFile(filepath.Join("testdata", tc.program))
			require.NoError(t, err)
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, tc.program), source, 0o600))
			require.NoError(t, os.Symlink(filepath.Join(nodeTests, "node_modules"), filepath.Join(dir, "node_modules")))
			cmd := exec.CommandContext(t.Context(), "bash", "-c", tc.command+" "+tc.program)
			cmd.Dir, cmd.Env = dir, append(env, "DATABASE_URL="+publishers)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			require.Equal(t, tc.want, storedCalls(t, owners), string(out))
		})
	}
}

func storedCalls(t *testing.T, databaseURL string) map[string]stored {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `SELECT k.idempotency_key, e.tenant_id, e.payload::text
		FROM outhook.events AS e JOIN outhook.event_keys AS k ON k.event_id = e.id`)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Name, Tenant, Payload string }])
	require.NoError(t, err)
	calls := map[string]stored{}
	for _, call := range list {
		calls[call.Name] = stored{call.Tenant, call.Payload}
	}
	return calls
}

func pythonCalls() map[string]stored {
	calls := map[string]stored{
		"asyncpg text":              {"acme", oddJSON},
		"asyncpg bigint":            {"17", oddJSON},
		"asyncpg uuid":              {uuidText, oddJSON},
		"asyncpg text::jsonb":       {"acme", asJSONB},
		"asyncpg codec text":        {"acme", oddJSON},
		"asyncpg codec value":       {"acme", asJSONB},
		"asyncpg codec text::jsonb": {"acme", twice},
		"sqlalchemy text":           {"acme", oddJSON},
		"sqlalchemy int":            {"17", oddJSON},
		"sqlalchemy function":       {"acme", oddJSON},
		"sqlalchemy JSONB value":    {"acme", asJSONB},
		"sqlalchemy JSONB text":     {"acme", twice},
		"psycopg Jsonb value":       {"acme", asJSONB},
		"psycopg Jsonb text":        {"acme", twice},
		"psycopg uuid":              {uuidText, oddJSON},
		"psycopg2 registered uuid":  {uuidText, oddJSON},
		"psycopg2 Json value":       {"acme", `{"b": 1, "a": 2}`},
	}
	for _, driver := range []string{"psycopg", "psycopg2"} {
		for name, s := range map[string]stored{
			"untyped": {"acme", oddJSON}, "text": {"acme", oddJSON}, "int": {"17", oddJSON}, "text::jsonb": {"acme", asJSONB},
			"empty list": {"acme", "{}"}, "empty list::text": {"acme", "{}"},
		} {
			calls[driver+" "+name] = s
		}
	}
	return calls
}

func nodeCalls() map[string]stored {
	return map[string]stored{
		"pg untyped": {"acme", oddJSON}, "pg text": {"acme", oddJSON}, "pg number": {"17", oddJSON}, "pg bigint": {"17", oddJSON},
		"pg uuid": {uuidText, oddJSON}, "pg uuid::uuid": {uuidText, oddJSON}, "pg object": {"acme", `{"b":1,"a":2}`},
		"pg empty list": {"acme", "{}"}, "pg text::jsonb": {"acme", asJSONB},
		"postgres.js untyped": {"acme", oddJSON}, "postgres.js text": {"acme", oddJSON}, "postgres.js number": {"17", oddJSON},
		"postgres.js bigint": {"17", oddJSON}, "postgres.js sql.json": {"acme", asJSONB}, "postgres.js value::jsonb": {"acme", asJSONB},
		"postgres.js text::json": {"acme", twice}, "postgres.js text::jsonb": {"acme", twice},
		"knex text": {"acme", oddJSON}, "knex named": {"acme", oddJSON}, "knex empty list": {"acme", "{}"},
		"knex bound ?": {"acme", `{"q": "why?"}`}, "knex written ?": {"acme", `{"q": "why$1"}`},
		"sequelize bind": {"acme", oddJSON}, "sequelize replacements": {"acme", oddJSON}, "sequelize empty list": {"acme", "{}"},
		"typeorm text": {"acme", oddJSON}, "typeorm empty list": {"acme", "{}"},
		"drizzle text": {"acme", oddJSON},
	}
}

func rubyCalls() map[string]stored {
	return map[string]stored{
		"pg untyped": {"acme", oddJSON}, "pg integer": {"17", oddJSON},
		"rails string": {"acme", oddJSON}, "rails big integer": {"17", oddJSON}, "rails sanitized": {"acme", oddJSON},
		"rails json value": {"acme", `{"b":1,"a":2}`}, "rails json text": {"acme", twice},
	}
}

// Whoever has no Go client reads there what to pass and what comes back.
func TestEnqueueManyIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("languages.md")
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), dbtest.NewURL(t))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()

	rows, err := conn.Query(t.Context(), `SELECT unnest(proargnames) FROM pg_proc
		WHERE proname = 'enqueue_many' AND pronamespace = 'outhook'::regnamespace`)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Contains(t, names, "delivery_count")
	for _, name := range names {
		require.Contains(t, string(page), "`"+name+"`")
	}
}
