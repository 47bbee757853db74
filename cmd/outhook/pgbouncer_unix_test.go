//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/pg"
)

// pgbouncer returns the URL of a database by way of a PgBouncer of the test's own.
func pgbouncer(t *testing.T, database, mode string) string {
	t.Helper()
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		binary = "/usr/sbin/pgbouncer"
		_, err = os.Stat(binary)
	}
	dbtest.RequireTool(t, "pgbouncer", err == nil)
	u, err := url.Parse(database)
	require.NoError(t, err)
	password, _ := u.User.Password()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())
	size := 5 // few for many clients
	if mode == "session" {
		size = 60 // one for each
	}
	config := fmt.Sprintf(`[databases]
* = host=%s port=%s user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = %d
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
`, u.Hostname(), u.Port(), u.User.Username(), password, port, mode, size)
	path := filepath.Join(reachableDir(t), "pgbouncer.ini")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o644))
	log := &syncBuffer{}
	cmd := exec.Command(binary, path) //nolint:noctx // it is killed below
	cmd.Stdout, cmd.Stderr = log, log
	if os.Geteuid() == 0 { // it refuses to run as root
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account(t, "nobody")}
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	u.Host, u.User = net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), url.User(u.User.Username())
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, u.String()+"&default_query_exec_mode=simple_protocol")
		if err != nil {
			return false
		}
		return conn.Close(ctx) == nil
	}, 30*time.Second, 50*time.Millisecond, "%s", log)
	return u.String()
}

// account is a user of this machine.
func account(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	found, err := user.Lookup(name)
	require.NoError(t, err)
	id := func(text string) uint32 {
		n, err := strconv.ParseUint(text, 10, 32)
		require.NoError(t, err)
		return uint32(n)
	}
	return &syscall.Credential{Uid: id(found.Uid), Gid: id(found.Gid)}
}

func TestPgBouncer(t *testing.T) {
	t.Parallel()

	// What is set in a session would stay with the pooler's connection, and reach the application's sessions.
	t.Run("InTransactionModeIsRefused", func(t *testing.T) {
		t.Parallel()
		database := dbtest.NewURL(t)
		pooled := pgbouncer(t, database, "transaction")
		neighbour, err := pgx.Connect(t.Context(), pooled+"&default_query_exec_mode=simple_protocol")
		require.NoError(t, err)
		defer neighbour.Close(t.Context())
		settings := func() (text string) {
			require.NoError(t, neighbour.QueryRow(t.Context(), `SELECT current_setting('search_path') || ' ' || current_setting('row_security')
				|| ' ' || current_setting('idle_in_transaction_session_timeout')`).Scan(&text))
			return text
		}
		before := settings()
		for _, args := range [][]string{{"doctor"}, {"migrate", "up"}} {
			_, err := output(t, append(args, "--database-url", pooled)...)
			require.ErrorIs(t, err, pg.ErrNoSession, "%v", args)
		}
		for _, roles := range []string{"api", "worker"} {
			p := start(t, serveArgs(pooled, "--roles", roles)...)
			<-p.done
			err := p.err
			p.err = nil
			require.ErrorIs(t, err, pg.ErrNoSession)
			require.ErrorContains(t, err, "pool_mode = transaction")
		}
		for range 20 { // whichever of the pooler's connections it gets
			require.Equal(t, before, settings())
		}
	})

	t.Run("InSessionModeServesAWorker", func(t *testing.T) {
		t.Parallel()
		database := dbtest.NewURL(t)
		direct, err := pgxpool.New(t.Context(), database)
		require.NoError(t, err)
		t.Cleanup(direct.Close)
		receiver := newArrivals(t)
		key := subscribe(t, direct, receiver.URL)
		u, err := url.Parse(pgbouncer(t, database, "session"))
		require.NoError(t, err)
		spawnServe(t, u.String(), key, "--max-workers", "5")
		_, err = direct.Exec(t.Context(), `SELECT outhook.enqueue('acme', 'a.b', '{}')`)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			return count(t, direct, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`) == 1
		}, 60*time.Second, 20*time.Millisecond)
	})
}

// A pooler is seen, and one that keeps no session is refused.
func TestPreflightSeesAPooler(t *testing.T) {
	t.Parallel()
	database := migrated(t)
	require.Regexp(t, `^ok: one that keeps sessions: give it 20 server connections for each API, and 28`,
		verdictsOf(t, "--database-url", pgbouncer(t, database, "session"))["pooler"])
	all := verdictsOf(t, "--database-url", pgbouncer(t, database, "transaction"))
	require.Regexp(t, `^FAILED: .*pool_mode = session`, all["pooler"])
	require.Len(t, all, 1)
}
