package main

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

// asServer makes a user whose only right is to be a member of outhook_server, and returns the URL of a database for it.
func asServer(t *testing.T, database string) string {
	t.Helper()
	admin, err := pgx.Connect(t.Context(), dbtest.AdminURL(t))
	require.NoError(t, err)
	name := "outhook_t_" + strings.ToLower(rand.Text())
	const password = "correct-horse"
	_, err = admin.Exec(t.Context(), `CREATE ROLE `+name+` LOGIN PASSWORD '`+password+`' IN ROLE outhook_server`)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := contextAfter(t)
		defer cancel()
		_, err := admin.Exec(ctx, `DROP ROLE `+name)
		require.NoError(t, err)
		require.NoError(t, admin.Close(ctx))
	})
	u, err := url.Parse(database)
	require.NoError(t, err)
	u.User = url.UserPassword(name, password)
	return u.String()
}

// The whole life of an endpoint, an event and a key, with workers, River, partitions, repairs and River UI, as a user who
// owns nothing and is a member of outhook_server alone.
func TestServeAsAUserWhoOwnsNothing(t *testing.T) {
	t.Parallel()
	owner := migrated(t)
	database := asServer(t, owner)
	asOwner, err := pgx.Connect(t.Context(), owner)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := contextAfter(t)
		defer cancel()
		require.NoError(t, asOwner.Close(ctx))
	})
	_, err = asOwner.Exec(t.Context(), `DO $$ DECLARE parent text; BEGIN
		FOREACH parent IN ARRAY ARRAY['delivery_attempts', 'deliveries', 'events'] LOOP
			EXECUTE format('DROP TABLE outhook.%I', parent || to_char((now() AT TIME ZONE 'UTC')::date + 30, '"_p"YYYYMMDD'));
		END LOOP; END $$`)
	require.NoError(t, err)
	key := signature.NewKey()
	server := start(t, serveArgs(database, "--encryption-key", key, "--retry-schedule", "1s", "--log-level", "debug")...)
	base := server.address(t)
	receiver, got := receiveAll(t)

	made, err := output(t, "keys", "create", "role", "--scope", "admin", "--database-url", database)
	require.NoError(t, err)
	apiKey := strings.TrimSpace(made)
	status, endpoint := call(t, http.MethodPost, base+"/api/endpoints", apiKey,
		`{"tenant_id": "acme", "url": "`+receiver+`", "secret_headers": {"authorization": "x"}}`)
	require.Equal(t, http.StatusCreated, status, endpoint)
	id := endpoint["id"].(string)
	status, event := call(t, http.MethodPost, base+"/api/events", apiKey,
		`{"tenant_id": "acme", "type": "a.b", "payload": 1, "idempotency_key": "k"}`)
	require.Equal(t, http.StatusAccepted, status, event)
	next(t, got)
	await := func(state string) {
		t.Helper()
		require.Eventually(t, func() bool {
			status, d := call(t, http.MethodGet, base+"/api/deliveries/"+event["id"].(string)+"/"+id, apiKey, "")
			require.Equal(t, http.StatusOK, status)
			return d["state"] == state
		}, 60*time.Second, 20*time.Millisecond)
	}
	await("succeeded")
	for _, order := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/api/deliveries/" + event["id"].(string) + "/" + id + "/replay", "", http.StatusOK},
		{http.MethodPost, "/api/endpoints/" + id + "/test", "", http.StatusOK},
		{http.MethodPost, "/api/endpoints/" + id + "/rotate-secret", "", http.StatusOK},
		{http.MethodGet, "/api/endpoints/" + id + "/secret", "", http.StatusOK},
		{http.MethodPatch, "/api/endpoints/" + id, `{"status": "paused"}`, http.StatusOK},
		{http.MethodPatch, "/api/endpoints/" + id, `{"status": "enabled"}`, http.StatusOK},
		{http.MethodPost, "/api/events/batch", `{"events": [{"tenant_id": "acme", "type": "a.b", "payload": 2}]}`, http.StatusAccepted},
		{http.MethodGet, "/api/events", "", http.StatusOK},
		{http.MethodGet, "/api/events/" + event["id"].(string) + "/attempts", "", http.StatusOK},
		{http.MethodGet, "/api/deliveries?state=failed", "", http.StatusOK},
		{http.MethodGet, "/readyz", "", http.StatusOK},
		{http.MethodGet, "/riverui/api/jobs?state=completed", "", http.StatusUnauthorized},
		{http.MethodPost, "/api/endpoints/" + id + "/recover", `{"since": "2026-01-02T03:04:05Z", "missed": true}`, http.StatusAccepted},
		{http.MethodGet, "/api/audit", "", http.StatusOK},
		{http.MethodGet, "/api/keys", "", http.StatusOK},
	} {
		status, answer := call(t, order.method, base+order.path, apiKey, order.body)
		require.Equal(t, order.status, status, "%s %s: %v\n%s", order.method, order.path, answer, server.stderr.String())
	}
	steerOperation(t, base, apiKey)
	makeAndRevokeKey(t, base, apiKey)
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, asOwner.QueryRow(t.Context(), `SELECT count(*) FROM outhook.endpoint_health`).Scan(&n))
		return n == 1
	}, 60*time.Second, 50*time.Millisecond, "health is written")
	status, answer := call(t, http.MethodDelete, base+"/api/endpoints/"+id, apiKey, "")
	require.Equal(t, http.StatusNoContent, status, answer)
	eraseTenant(t, asOwner, base, apiKey)
	for _, args := range [][]string{
		{"doctor", "--repair"},
		{"doctor", "--json"},
		{"keys", "list"},
		{"migrate", "status"},
		{"secrets", "reencrypt", "--encryption-key", key},
	} {
		out, err := output(t, append(args, "--database-url", database)...)
		require.NoError(t, err, "%v: %s", args, out)
	}

	// The leader, which is this process, has made the missing partitions.
	require.Eventually(t, func() bool {
		var missing bool
		require.NoError(t, asOwner.QueryRow(t.Context(), `SELECT to_regclass('outhook.events' || to_char((now() AT TIME ZONE 'UTC')::date + 30,
			'"_p"YYYYMMDD')) IS NULL`).Scan(&missing))
		return !missing
	}, 60*time.Second, 50*time.Millisecond)
	require.NoError(t, server.end(t))
	log := server.stderr.String()
	require.NotContains(t, log, "permission denied")
	require.NotContains(t, log, "must be owner")
	require.NotContains(t, log, `"level":"ERROR"`)
	require.Contains(t, log, "OUTHOOK_OWNER_DATABASE_URL")

	requireRefused(t, database)
}

// steerOperation gives each order that an operation takes.
func steerOperation(t *testing.T, base, apiKey string) {
	t.Helper()
	status, operation := call(t, http.MethodPost, base+"/api/operations", apiKey, `{"since": "2026-01-02T03:04:05Z", "tenant_id": "acme"}`)
	require.Equal(t, http.StatusAccepted, status, operation)
	path := base + "/api/operations/" + operation["id"].(string)
	for _, order := range []struct{ verb, state string }{{"pause", "paused"}, {"resume", "running"}, {"cancel", "cancelled"}} {
		status, operation = call(t, http.MethodPost, path+"/"+order.verb, apiKey, "")
		require.Equal(t, http.StatusOK, status, operation)
		require.Equal(t, order.state, operation["state"])
	}
	for _, read := range []string{path, base + "/api/operations"} {
		status, operation = call(t, http.MethodGet, read, apiKey, "")
		require.Equal(t, http.StatusOK, status, operation)
	}
}

func makeAndRevokeKey(t *testing.T, base, apiKey string) {
	t.Helper()
	status, made := call(t, http.MethodPost, base+"/api/keys", apiKey, `{"name": "new", "scope": "tenant", "tenant_id": "acme"}`)
	require.Equal(t, http.StatusCreated, status, made)
	status, answer := call(t, http.MethodGet, base+"/api/endpoints", made["key"].(string), "")
	require.Equal(t, http.StatusOK, status, answer)
	status, answer = call(t, http.MethodDelete, base+"/api/keys/"+made["id"].(string), apiKey, "")
	require.Equal(t, http.StatusNoContent, status, answer)
}

// eraseTenant erases all that the test has made, with both passes.
func eraseTenant(t *testing.T, asOwner *pgx.Conn, base, apiKey string) {
	t.Helper()
	status, erasure := call(t, http.MethodDelete, base+"/api/tenants/acme/data", apiKey, "")
	require.Equal(t, http.StatusAccepted, status, erasure)
	require.Eventually(t, func() bool {
		_, err := asOwner.Exec(t.Context(), `UPDATE outhook.tenant_erasures SET settled_at = now() WHERE pass = 2 AND settled_at > now()`)
		require.NoError(t, err)
		status, erasure = call(t, http.MethodGet, base+"/api/erasures/"+erasure["id"].(string), apiKey, "")
		require.Equal(t, http.StatusOK, status, erasure)
		return erasure["state"] == "completed"
	}, 120*time.Second, 100*time.Millisecond, "the erasure")
	var left int
	require.NoError(t, asOwner.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM outhook.endpoint_health)
		+ (SELECT count(*) FROM outhook.operations) + (SELECT count(*) FROM outhook.events WHERE payload IS NOT NULL)`).Scan(&left))
	require.Zero(t, left)
}

// requireRefused tries what a stolen password of the server's user must not allow.
func requireRefused(t *testing.T, database string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	for _, sql := range []string{
		`DELETE FROM outhook.events`,
		`UPDATE outhook.events SET type = 'x'`,
		`DELETE FROM outhook.deliveries`,
		`DELETE FROM outhook.delivery_attempts`,
		`DELETE FROM outhook.endpoints`,
		`UPDATE outhook.audit_entries SET actor = 'x'`,
		`DELETE FROM outhook.audit_entries`,
		`TRUNCATE outhook.events`,
		`DROP TABLE outhook.endpoints`,
		`ALTER TABLE outhook.endpoints ADD COLUMN x integer`,
		`CREATE TABLE outhook.x (y integer)`,
		`CREATE FUNCTION outhook.enqueue(x integer) RETURNS integer LANGUAGE sql RETURN 1`,
		`UPDATE outhook.goose_db_version SET version_id = 0`,
		`CREATE ROLE x`,
		`COPY outhook.endpoints TO PROGRAM 'cat'`,
		`SELECT pg_read_file('PG_VERSION')`,
	} {
		_, err := conn.Exec(t.Context(), sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "42501", pgErr.Code, sql) // insufficient_privilege
	}
	require.NoError(t, conn.Close(t.Context()))
}

// With the owner's URL beside it nothing is left out; a URL that is not the owner's is refused.
func TestServeWithTheOwnersURL(t *testing.T) {
	t.Parallel()
	owner := migrated(t)
	database := asServer(t, owner)
	server := start(t, serveArgs(database, "--owner-database-url", owner)...)
	server.address(t)
	require.NoError(t, server.end(t))
	require.NotContains(t, server.stderr.String(), "OUTHOOK_OWNER_DATABASE_URL")

	_, err := output(t, serveArgs(database, "--owner-database-url", database)...)
	require.ErrorContains(t, err, "OUTHOOK_OWNER_DATABASE_URL: this user does not own the schema")
}
