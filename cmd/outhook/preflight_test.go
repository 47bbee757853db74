package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

// A key as `openssl rand -hex 32` makes it.
const strongKey = "7f3a9c0e5b1d8264af0e93b7c5d1426890abcdef1234567890fedcba98765432"

// verdictsOf runs the preflight, and returns the result and the text of each check: not all are good.
func verdictsOf(t *testing.T, args ...string) map[string]string {
	t.Helper()
	out, err := output(t, append([]string{"doctor", "--production", "--json"}, args...)...)
	require.ErrorIs(t, err, exitError(1), out)
	var answer struct {
		OK        bool
		Preflight []verdict
	}
	require.NoError(t, json.Unmarshal([]byte(out), &answer), out)
	require.False(t, answer.OK)
	all := map[string]string{}
	for _, v := range answer.Preflight {
		require.NotContains(t, all, v.Check)
		all[v.Check] = v.Result + ": " + v.Text
	}
	return all
}

// failures are the checks that failed.
func failures(all map[string]string) (names []string) {
	for name, text := range all {
		if strings.HasPrefix(text, failed) {
			names = append(names, name)
		}
	}
	return names
}

// An installation as docs/operations.md wants it passes, and what is wrong with another one has a line that says what to do.
func TestPreflight(t *testing.T) {
	t.Parallel()
	owner := migrated(t)
	conn, err := pgx.Connect(t.Context(), owner)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := contextAfter(t)
		defer cancel()
		require.NoError(t, conn.Close(ctx))
	})
	exec := func(sql string) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	app := asServer(t, owner)
	key := signature.NewKey()
	base := []string{"--database-url", app, "--encryption-key", key, "--api-key", strongKey}
	having := func(roles string, more ...string) []string { // the last one of a flag counts, but roles add up
		return append(append(slices.Clone(base), "--roles", roles), more...)
	}
	with := func(more ...string) []string { return having("api", more...) }
	api := with()

	// The server of the tests does not flush: that is the one thing that is wrong with it.
	good := verdictsOf(t, api...)
	require.Subset(t, []string{"fsync", "full_page_writes", "synchronous_commit"}, failures(good), "%v", good)
	require.Contains(t, failures(good), "fsync")
	require.Regexp(t, `^ok: outhook_t_\S+ is a member of outhook_server and owns nothing`, good["role"])
	require.Equal(t, "ok: none", good["pooler"])
	require.Regexp(t, `^FAILED: off: switch it on, since without it a crash`, good["fsync"])
	for _, check := range []string{"postgres_version", "primary", "schema", "rights", "owner_url", "partitions", "encryption_key", "api_key", "clock", "autovacuum", "track_counts"} {
		require.Regexp(t, `^ok: .`, good[check], check)
	}
	out, err := output(t, append([]string{"doctor", "--production"}, api...)...)
	require.ErrorIs(t, err, exitError(1))
	require.Len(t, regexp.MustCompile(`(?m)^(ok|warning|FAILED) +\S+ +.+$`).FindAllString(out, -1), len(good), "a line each: %s", out)
	require.NotContains(t, out, strongKey)
	require.NotContains(t, out, key)

	for _, c := range []struct {
		check, want string
		before      string // SQL
		args        []string
		after       string
	}{
		{check: "role", want: `^FAILED: postgres is a superuser`, args: with("--database-url", owner)},
		{check: "api_key", want: `has "admin" in it`, args: with("--api-key", testAPIKey)},
		{check: "api_key", want: `has 31 bytes, fewer than 32`, args: with("--api-key", strongKey[:31])},
		{check: "api_key", want: `has 2 different letters, fewer than 8`, args: with("--api-key", strings.Repeat("ab", 20))},
		{check: "api_key", want: `nobody has a key`, args: with("--api-key", "")},
		{check: "encryption_key", want: `is not set`, args: with("--encryption-key", "")},
		{check: "encryption_key", want: `OUTHOOK_ENCRYPTION_KEY`, args: with("--encryption-key", "short")},
		{check: "owner_url", want: `^FAILED: OUTHOOK_OWNER_DATABASE_URL is given to a process with the API`, args: with("--owner-database-url", owner)},
		{check: "owner_url", want: `^warning: OUTHOOK_OWNER_DATABASE_URL is not set`, args: having("worker")},
		{check: "owner_url", want: `^ok: it owns the schema`, args: having("worker", "--owner-database-url", owner)},
		{check: "owner_url", want: `^FAILED: .*does not own the schema`, args: having("worker", "--owner-database-url", app)},
		{
			check: "partitions", want: `^FAILED: 1 of today and the coming 7 days are missing \(events_p\d{8}\)`, args: api,
			before: `DO $$ BEGIN EXECUTE format('DROP TABLE outhook.events_p%s', to_char((now() AT TIME ZONE 'UTC')::date + 3, 'YYYYMMDD')); END $$`,
		},
		{
			check: "rights", want: `^FAILED: 1 are not as declared \(outhook_server lacks SELECT`, args: api,
			before: `REVOKE SELECT ON outhook.lanes FROM outhook_server`, after: `GRANT SELECT ON outhook.lanes TO outhook_server`,
		},
		{
			check: "synchronous_commit", want: `^FAILED: local: `, args: api,
			before: `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = local', current_database()); END $$`,
		},
		{
			check: "idle_timeout", want: `^ok: idle_in_transaction_session_timeout is 60000 ms`, args: api,
			before: `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET idle_in_transaction_session_timeout = 60000', current_database()); END $$`,
		},
		{
			check: "connections", want: `^FAILED: a process with these roles opens up to 48, and there is room for 47`, args: having("api,worker"),
			before: `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 47', current_database()); END $$`,
		},
		{
			check: "encryption_key", want: `^FAILED: 1 are missing .*: add them behind the first`, args: api,
			before: `INSERT INTO outhook.endpoints (id, tenant_id, url, timeout_ms) VALUES (outhook.uuid_v7(), 'acme', 'http://127.0.0.1:1/', 1000);
				INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed) SELECT n.id, '0a1b2c3d', '\x00' FROM outhook.endpoints AS n`,
		},
	} {
		if c.before != "" {
			exec(c.before)
		}
		require.Regexp(t, c.want, verdictsOf(t, c.args...)[c.check], c.want)
		if c.after != "" {
			exec(c.after)
		}
	}

	_, err = output(t, "doctor", "--production", "--database-url", app, "--roles", "cook")
	require.Equal(t, exitUsage, codeOf(err))
	missing := verdictsOf(t, with("--database-url", dbtest.Empty(t))...)
	require.Regexp(t, `outhook migrate up`, missing["schema"])
	require.NotContains(t, missing, "rights")
}
