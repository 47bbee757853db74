//go:build unix

package localpg

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(runChild(dir))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if dir, err := prepared(); err == nil && os.RemoveAll(filepath.Dir(dir)) != nil {
			code = 1
		}
		os.Exit(code)
	}))
}

// startLimit is far more than a start takes on a busy machine, and less than go test's own limit.
const startLimit = 2 * time.Minute

// prepared is a data folder whose server has run and stopped, for tests to copy: a copy costs a fifth of an initdb.
var prepared = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // made once for all tests
	dir, err := makeReachable()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "data")
	s, err := Start(context.Background(), Config{DataDir: dir})
	if err != nil {
		return "", err
	}
	return dir, s.Stop(context.Background())
})

// makeReachable makes a folder that the account which runs PostgreSQL for root can enter; t.TempDir's parent is closed to it.
func makeReachable() (string, error) {
	dir, err := os.MkdirTemp("", "localpg-test-")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// newDir is an empty folder, removed at the end of the test.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := makeReachable()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// newDataDir is a data folder with an initialised cluster that nobody else uses.
func newDataDir(t *testing.T) string {
	t.Helper()
	from, err := prepared()
	require.NoError(t, err)
	dir := filepath.Join(newDir(t), "data")
	out, err := exec.CommandContext(t.Context(), "cp", "-a", from, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// startServer starts a server that is stopped at the end of the test, if the test has not done so.
func startServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := tryStart(t, cfg)
	require.NoError(t, err)
	return s
}

func tryStart(t *testing.T, cfg Config) (*Server, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := Start(ctx, cfg)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, s.Stop(context.WithoutCancel(ctx))) })
	}
	return s, err
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func execute(t *testing.T, address, sql string) {
	t.Helper()
	conn := connect(t, address)
	_, err := conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

func queryText(t *testing.T, address, sql string) string {
	t.Helper()
	conn := connect(t, address)
	var text string
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&text))
	require.NoError(t, conn.Close(t.Context()))
	return text
}

// remember leaves a committed row in a server's data; recall finds it.
func remember(t *testing.T, s *Server, word string) {
	t.Helper()
	execute(t, s.URL("outhook"), "CREATE TABLE IF NOT EXISTS words (word text)")
	execute(t, s.URL("outhook"), "INSERT INTO words VALUES ('"+word+"')")
}

func recall(t *testing.T, s *Server) string {
	t.Helper()
	return queryText(t, s.URL("outhook"), "SELECT string_agg(word, ',' ORDER BY word) FROM words")
}

func TestTemporaryServerIsFastPrivateAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, Config{Settings: map[string]string{"max_connections": "50"}})

	require.Equal(t,
		"UTF8 C.UTF-8 off on 50 127.0.0.1 scram-sha-256",
		queryText(t, s.URL("outhook"), `SELECT concat_ws(' ', pg_encoding_to_char(encoding), datcollate, current_setting('fsync'),
			current_setting('synchronous_commit'), current_setting('max_connections'), current_setting('listen_addresses'),
			(SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules))
			FROM pg_database WHERE datname = current_database()`))
	require.Empty(t, queryText(t, s.URL("postgres"), "SHOW unix_socket_directories"))
	require.Contains(t, queryText(t, s.URL("postgres"), "SHOW server_version"), s.Version())
	require.FileExists(t, filepath.Join(s.BinDir(), "postgres"))
	guess, err := url.Parse(s.URL("outhook"))
	require.NoError(t, err)
	guess.User = url.UserPassword("outhook", "guess")
	_, err = pgx.Connect(t.Context(), guess.String())
	require.ErrorContains(t, err, "password authentication failed")

	require.NoError(t, s.Stop(t.Context()))
	require.NoDirExists(t, s.DataDir())
	<-s.Done()
	require.NoError(t, s.Stop(t.Context()), "a second Stop does nothing")
	require.ErrorContains(t, s.Restart(t.Context()), "stopped for good")
}

// TestDataDir is the life of one data folder; its subtests follow one another.
//
//nolint:paralleltest,tparallel // the subtests share what is above them
func TestDataDir(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	first := startServer(t, Config{DataDir: dir})
	remember(t, first, "one")

	t.Run("SecondStartIsLocked", func(t *testing.T) {
		_, err := tryStart(t, Config{DataDir: dir})
		require.ErrorIs(t, err, ErrLocked)
		require.ErrorContains(t, err, "choose another --data-dir")
		require.ErrorContains(t, err, dir)
		require.Equal(t, "one", recall(t, first), "the first server is not disturbed")
	})

	t.Run("DataOutlivesStopAndIsDurable", func(t *testing.T) {
		require.NoError(t, first.Stop(t.Context()))
		second := startServer(t, Config{DataDir: dir})
		require.Equal(t, "one", recall(t, second))
		require.Equal(t, "on", queryText(t, second.URL("outhook"), "SHOW fsync"))
		require.Equal(t, "on", queryText(t, second.URL("outhook"), "SHOW full_page_writes"))
		remember(t, second, "two")

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := second.Stop(ended); err != nil { // the server may win the race and end in order
			require.ErrorIs(t, err, context.Canceled)
		}
		<-second.Done()
	})

	t.Run("DataOutlivesAStopThatCouldNotWait", func(t *testing.T) {
		third := startServer(t, Config{DataDir: dir})
		require.Equal(t, "one,two", recall(t, third))
	})

	t.Run("PortStaysUnlessItIsTaken", func(t *testing.T) {
		fourth := startServer(t, Config{DataDir: dir})
		address, err := url.Parse(fourth.URL("outhook"))
		require.NoError(t, err)
		require.NoError(t, fourth.Stop(t.Context()))
		again := startServer(t, Config{DataDir: dir})
		require.Equal(t, address.String(), again.URL("outhook"))
		require.NoError(t, again.Stop(t.Context()))

		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", address.Host)
		require.NoError(t, err)
		defer l.Close()
		elsewhere := startServer(t, Config{DataDir: dir})
		require.NotEqual(t, address.String(), elsewhere.URL("outhook"))
		require.Equal(t, "one,two", recall(t, elsewhere))
		require.NoError(t, elsewhere.Stop(t.Context()))
	})

	t.Run("PasswordIsLongAndOursAlone", func(t *testing.T) {
		info, err := os.Stat(filepath.Join(dir, "password"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		password, err := os.ReadFile(filepath.Join(dir, "password"))
		require.NoError(t, err)
		require.Regexp(t, "^[0-9a-f]{64}\n$", string(password))
	})

	t.Run("EarlyExitShowsTheLog", func(t *testing.T) {
		_, err := tryStart(t, Config{DataDir: dir, Settings: map[string]string{"shared_buffers": "plenty"}})
		require.ErrorContains(t, err, "postgres exited early (exit status 1)")
		require.ErrorContains(t, err, `invalid value for parameter "shared_buffers": "plenty"`)
		require.NotContains(t, err.Error(), "database system is ready", "no line of an earlier run")
	})

	t.Run("TakenPortIsNamedInTheError", func(t *testing.T) {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		taken, err := netip.ParseAddrPort(l.Addr().String())
		require.NoError(t, err)

		_, err = tryStart(t, Config{DataDir: dir, Port: int(taken.Port())})
		require.ErrorContains(t, err, "Address already in use")
	})

	t.Run("StartEndsWithItsContext", func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := Start(ended, Config{DataDir: dir})
		require.ErrorIs(t, err, context.Canceled)
	})

	t.Run("DataOfAnotherVersionIsRefused", func(t *testing.T) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "pg", "PG_VERSION"), []byte("11\n"), 0o600))
		bin, err := FindBinaries()
		require.NoError(t, err)
		_, err = tryStart(t, Config{DataDir: dir, BinDir: bin})
		require.ErrorContains(t, err, "the data folder was made by PostgreSQL 11")
	})

	t.Run("ResetBeginsAnew", func(t *testing.T) {
		empty := startServer(t, Config{DataDir: dir, Reset: true})
		require.Equal(t, "true", queryText(t, empty.URL("outhook"), "SELECT (to_regclass('words') IS NULL)::text"))
		remember(t, empty, "three")
		require.NoError(t, empty.Stop(t.Context()))
		require.Equal(t, "three", recall(t, startServer(t, Config{DataDir: dir})))
	})
}

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Config{Settings: map[string]string{"listen_addresses": "*"}})
	require.ErrorContains(t, err, "listen_addresses can't be set")
	_, err = Start(t.Context(), Config{Port: 65536})
	require.ErrorContains(t, err, "validating Port")
}

func TestRestart(t *testing.T) {
	t.Parallel()

	t.Run("KeepsPortAndCommittedData", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, Config{DataDir: newDataDir(t)})
		address := s.URL("outhook")
		remember(t, s, "committed")
		tx, err := connect(t, address).Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "INSERT INTO words VALUES ('open')")
		require.NoError(t, err)

		require.NoError(t, s.Restart(t.Context()), "an open transaction does not hold it up")
		require.Equal(t, address, s.URL("outhook"))
		require.Equal(t, "committed", recall(t, s))
	})

	t.Run("RecoversFromAKillBesideABusyBackend", func(t *testing.T) {
		t.Parallel()
		dir := newDataDir(t)
		s := startServer(t, Config{DataDir: dir})
		remember(t, s, "kept")
		busy := startBusyBackend(t, s.URL("outhook"))
		done := s.Done()
		require.NoError(t, s.Kill())
		<-done
		require.NoError(t, s.Kill(), "a second Kill does nothing")

		require.NoError(t, s.Restart(t.Context()))
		require.Equal(t, "kept", recall(t, s))
		require.Error(t, <-busy, "the backend that computed has been ended")

		// Stop after a Kill leaves no process behind either.
		busy = startBusyBackend(t, s.URL("outhook"))
		require.NoError(t, s.Kill())
		require.NoError(t, s.Stop(t.Context()))
		require.Error(t, <-busy)
		require.Empty(t, backends(s.cluster.dir))
	})
}

// startBusyBackend returns once a backend computes without ever waiting, so that it notices nothing of what happens to its
// postmaster. The channel gets the error that ends it.
func startBusyBackend(t *testing.T, address string) <-chan error {
	t.Helper()
	conn := connect(t, address)
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.WithoutCancel(t.Context()), "DO $$ BEGIN LOOP END LOOP; END $$")
		ended <- err
	}()
	watcher := connect(t, address)
	require.Eventually(t, func() bool {
		var busy bool
		err := watcher.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE pid = $1 AND state = 'active' AND wait_event IS NULL)`, conn.PgConn().PID()).Scan(&busy)
		return err == nil && busy
	}, startLimit, 5*time.Millisecond)
	return ended
}
