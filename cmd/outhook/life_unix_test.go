//go:build unix

package main

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/internal/signature"
)

// life is a database whose owner is no superuser, that one login serves and another one publishes to, on one server after
// the other.
type life struct {
	server   *localpg.Server
	key      string // of the secrets
	receiver string
	got      chan webhook
}

const lifePassword = "correct-horse"

// logical are the settings of a server that others replicate.
func logical() map[string]string {
	return map[string]string{"wal_level": "logical", "max_wal_senders": "5", "max_replication_slots": "5", "max_connections": "100", "fsync": "off"}
}

// url returns the database's for a login; "": the superuser.
func (l *life) url(t *testing.T, login string) string {
	t.Helper()
	u, err := url.Parse(l.server.URL("life"))
	require.NoError(t, err)
	if login != "" {
		u.User = url.UserPassword(login, lifePassword)
	}
	return u.String()
}

// sql runs statements in the database.
func (l *life) sql(t *testing.T, login string, statements ...string) {
	t.Helper()
	execAt(t, l.url(t, login), statements...)
}

func execAt(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for _, sql := range statements {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
}

// read reads one value, as the superuser.
func read[T any](t *testing.T, l *life, sql string) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), l.url(t, ""))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&v), sql)
	return v
}

// enqueue publishes an event.
func (l *life) enqueue(t *testing.T) (id string, err error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), l.url(t, "life_shop"))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	err = conn.QueryRow(t.Context(), `SELECT outhook.enqueue('acme', 'order.paid', '{"id": 1}', gen_random_uuid()::text)`).Scan(&id)
	return id, err
}

// healthy says that doctor finds nothing, as the owner and as who serves, but that what waits has no worker.
func (l *life) healthy(t *testing.T, waiting ...string) {
	t.Helper()
	for _, login := range []string{"life_owner", "life_app"} {
		out, err := output(t, "doctor", "--database-url", l.url(t, login))
		if len(waiting) == 0 {
			require.NoError(t, err, "%s: %s", login, out)
			continue
		}
		require.ErrorIs(t, err, exitError(1), login)
		require.Regexp(t, `(?m)^no_live_worker +1  VIOLATED$`, out, login)
		require.Equal(t, 1, strings.Count(out, "VIOLATED"), "%s: %s", login, out)
	}
	out, err := output(t, "migrate", "status", "--database-url", l.url(t, "life_owner"))
	require.NoError(t, err, out)
}

// works serves, and says that what waits and a new event are delivered and that nothing is wrong.
func (l *life) works(t *testing.T, waiting ...string) {
	t.Helper()
	l.healthy(t, waiting...)
	process := start(t, serveArgs(l.url(t, "life_app"), "--encryption-key", l.key, "--retry-schedule", "1s")...)
	base := process.address(t)
	if l.receiver == "" {
		l.receiver, l.got = receiveAll(t)
		status, answer := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey, `{"tenant_id": "acme", "url": "`+l.receiver+`"}`)
		require.Equal(t, http.StatusCreated, status, answer)
	}
	id, err := l.enqueue(t)
	require.NoError(t, err)
	got := make([]string, len(waiting)+1)
	for i := range got {
		got[i] = next(t, l.got).header.Get("webhook-id")
	}
	require.ElementsMatch(t, append(waiting, id), got)
	endpoint := read[string](t, l, `SELECT id::text FROM outhook.endpoints`)
	status, answer := call(t, http.MethodPost, base+"/api/endpoints/"+endpoint+"/rotate-secret", testAPIKey, `{"force": true}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.Eventually(t, func() bool {
		return read[int](t, l, `SELECT count(*) FROM outhook.deliveries WHERE state <> 'succeeded'`) == 0
	}, 60*time.Second, 50*time.Millisecond)
	require.NoError(t, process.end(t))
	require.Zero(t, read[int](t, l, `SELECT count(*) FROM outhook.endpoint_secrets AS s WHERE s.expires_at IS NOT NULL
		AND s.id = (SELECT max(id) FROM outhook.endpoint_secrets)`), "the newest secret is the one that stays")
	l.healthy(t)
}

// command runs one of the server's programs.
func (l *life) command(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool(t, l.server, name), args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}

// install makes the logins and the schema, as the docs say.
func install(t *testing.T, server *localpg.Server) *life {
	t.Helper()
	l := &life{server: server, key: signature.NewKey()}
	execAt(t, server.URL("postgres"),
		`CREATE ROLE life_owner LOGIN CREATEROLE PASSWORD '`+lifePassword+`'`,
		`CREATE ROLE life_app LOGIN PASSWORD '`+lifePassword+`'`,
		`CREATE ROLE life_shop LOGIN PASSWORD '`+lifePassword+`'`,
		`CREATE DATABASE life OWNER life_owner`)
	out, err := output(t, "migrate", "up", "--database-url", l.url(t, "life_owner"))
	require.NoError(t, err, out)
	l.sql(t, "life_owner", `GRANT outhook_server TO life_app`, `GRANT outhook_publisher TO life_shop`)
	return l
}

// rolesTo brings the logins and an empty database to another server: what follows restores into it.
func (l *life) rolesTo(t *testing.T, server *localpg.Server) *life {
	t.Helper()
	moved := *l
	moved.server = server
	roles := filepath.Join(t.TempDir(), "roles.sql")
	l.command(t, "pg_dumpall", "--roles-only", "--dbname", l.server.URL("postgres"), "--file", roles)
	text, err := os.ReadFile(roles)
	require.NoError(t, err)
	ours := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return strings.Contains(line, " ROLE postgres") })
	require.NoError(t, os.WriteFile(roles, []byte(strings.Join(ours, "\n")), 0o600)) // each server has its own superuser
	l.command(t, "psql", "--no-psqlrc", "--quiet", "--file", roles, server.URL("postgres"))
	execAt(t, server.URL("postgres"), `CREATE DATABASE life OWNER life_owner`)
	return &moved
}

// restoreInto dumps the database into another server.
func (l *life) restoreInto(t *testing.T, server *localpg.Server, flags ...string) *life {
	t.Helper()
	moved := l.rolesTo(t, server)
	dump := filepath.Join(t.TempDir(), "dump")
	l.command(t, "pg_dump", append(flags, "--format", "custom", "--file", dump, l.url(t, ""))...)
	l.command(t, "pg_restore", "--exit-on-error", "--dbname", moved.url(t, ""), dump)
	return moved
}

// follow waits until all that a publisher has is at its subscriber, which is then on its own.
func (l *life) follow(t *testing.T, blue *life) {
	t.Helper()
	end := read[string](t, blue, `SELECT pg_current_wal_lsn()::text`)
	require.Eventually(t, func() bool {
		return read[bool](t, blue, `SELECT coalesce(bool_and(confirmed_flush_lsn >= '`+end+`'), false) FROM pg_replication_slots WHERE slot_name = 'life'`)
	}, 90*time.Second, 50*time.Millisecond)
	l.sql(t, "", `DROP SUBSCRIPTION life`)
	require.Equal(t, read[int](t, blue, `SELECT count(*) FROM outhook.events`), read[int](t, l, `SELECT count(*) FROM outhook.events`))
}

// takeOver does what the docs say behind a logical replication, and says what happens to who does not.
func (l *life) takeOver(t *testing.T) {
	t.Helper()
	_, err := l.enqueue(t)
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "23505", pgErr.Code)
	out, err := output(t, "migrate", "up", "--database-url", l.url(t, "life_owner"))
	require.NoError(t, err, out)
	out, err = output(t, "doctor", "--database-url", l.url(t, "life_app"))
	require.ErrorIs(t, err, exitError(1))
	require.Contains(t, out, "sequences_behind")
	require.Contains(t, out, "outhook.river_job_id_seq")
	require.Contains(t, out, "outhook.endpoint_secrets_id_seq")
	out, err = output(t, "doctor", "--repair", "--database-url", l.url(t, "life_app"))
	require.ErrorIs(t, err, exitError(1))
	require.Regexp(t, `(?m)^no_live_worker +1  VIOLATED$`, out)
	require.Equal(t, 1, strings.Count(out, "VIOLATED"), out)
	require.Regexp(t, `repaired \d+ of sequences_behind`, out)
	l.sql(t, "", `ANALYZE`)
}

// newestServer is of PostgreSQL 18 where that is.
func newestServer(t *testing.T) *localpg.Server {
	t.Helper()
	return startServerIn(t, localpg.Config{BinDir: os.Getenv("OUTHOOK_TEST_POSTGRES18_BIN"), Settings: logical()})
}

// long skips what starts several servers and copies them, unless it is asked for.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("OUTHOOK_TEST_LOAD") != "all" {
		t.Skip("it takes half a minute and three servers: set OUTHOOK_TEST_LOAD=all, as .ci/run does")
	}
}

// The documented life of a database: installed by an owner who is no superuser, restored into another cluster, and upgraded
// to another major version by logical replication, with an event that waits meanwhile.
func TestTheDocumentedLife(t *testing.T) {
	t.Parallel()
	long(t)
	first := install(t, startServer(t, logical()))
	first.works(t)

	second := first.restoreInto(t, startServer(t, logical()))
	out, err := output(t, "migrate", "up", "--database-url", second.url(t, "life_owner"))
	require.NoError(t, err, out)
	second.works(t)

	third := second.restoreInto(t, newestServer(t), "--schema-only")
	// Who has granted them may not be named from PostgreSQL 16 on.
	third.sql(t, "", `GRANT outhook_server TO life_app`, `GRANT outhook_publisher TO life_shop`)
	second.sql(t, "", `CREATE PUBLICATION life FOR TABLES IN SCHEMA outhook`)
	third.sql(t, "", `CREATE SUBSCRIPTION life CONNECTION '`+second.url(t, "")+`' PUBLICATION life`)
	require.Eventually(t, func() bool {
		return read[bool](t, third, `SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel`)
	}, 90*time.Second, 100*time.Millisecond)
	second.works(t)
	waiting, err := second.enqueue(t)
	require.NoError(t, err)
	third.follow(t, second)
	third.takeOver(t)
	third.works(t, waiting)
	t.Log(strings.Join([]string{first.server.Version(), second.server.Version(), third.server.Version()}, ", "))
}

// Blue and green: a copy of the whole server follows by logical replication, and takes over.
func TestABlueGreenSwitch(t *testing.T) {
	t.Parallel()
	long(t)
	blue := install(t, startServer(t, logical()))
	blue.works(t)
	blue.sql(t, "", `CREATE PUBLICATION life FOR TABLES IN SCHEMA outhook`, `SELECT pg_create_logical_replication_slot('life', 'pgoutput')`)

	green := *blue
	green.server = copyServer(t, blue.server, logical())
	green.sql(t, "", `CREATE SUBSCRIPTION life CONNECTION '`+blue.url(t, "")+`' PUBLICATION life
		WITH (copy_data = false, create_slot = false, slot_name = 'life')`)
	blue.works(t)
	waiting, err := blue.enqueue(t)
	require.NoError(t, err)
	green.follow(t, blue)
	green.takeOver(t)
	green.works(t, waiting)
}
