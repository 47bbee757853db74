//go:build unix

package main

import (
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/localpg"
)

// tool returns the path of one of a server's own programs.
func tool(t *testing.T, s *localpg.Server, name string) string {
	t.Helper()
	path := filepath.Join(s.BinDir(), name)
	_, err := os.Stat(path)
	dbtest.RequireTool(t, name, err == nil)
	return path
}

// copyServer starts a copy of a server, made with flags of pg_basebackup.
func copyServer(t *testing.T, source *localpg.Server, settings map[string]string, flags ...string) *localpg.Server {
	t.Helper()
	binary := tool(t, source, "pg_basebackup")
	dir := reachableDir(t)
	cluster := filepath.Join(dir, "pg")
	args := append([]string{
		"--dbname", source.URL("postgres"), "--pgdata", cluster, "--wal-method", "stream", "--checkpoint", "fast", "--no-sync",
	}, flags...)
	out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
	require.NoError(t, err, string(out))
	password, err := os.ReadFile(filepath.Join(source.DataDir(), "password"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "password"), password, 0o600))
	if os.Geteuid() == 0 {
		account := account(t, "postgres")
		require.NoError(t, filepath.WalkDir(cluster, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, int(account.Uid), int(account.Gid))
		}))
	}
	return startServerIn(t, localpg.Config{DataDir: dir, Settings: settings})
}

// startStandby makes a synchronous standby of a server.
func startStandby(t *testing.T, primary *localpg.Server, pool *pgxpool.Pool, settings map[string]string) *localpg.Server {
	t.Helper()
	standby := copyServer(t, primary, settings, "--write-recovery-conf")
	_, err := pool.Exec(t.Context(), `ALTER SYSTEM SET synchronous_standby_names = '*'`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `SELECT pg_reload_conf()`)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return count(t, pool, `SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'`) == 1
	}, 60*time.Second, 50*time.Millisecond, "the standby is not synchronous")
	return standby
}

// The primary is killed under load and its synchronous standby takes over: what was accepted is there, is delivered, and
// nobody has to restart anything.
func TestFailoverToASynchronousStandby(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"fsync": "off", "max_connections": "100", "max_wal_senders": "5", "wal_level": "replica"}
	primary := startServer(t, settings)
	pool, err := pgxpool.New(t.Context(), primary.URL("outhook"))
	require.NoError(t, err)
	defer pool.Close()
	receiver := newArrivals(t)
	key := subscribe(t, pool, receiver.URL)
	standby := startStandby(t, primary, pool, settings)

	both, err := url.Parse(primary.URL("outhook"))
	require.NoError(t, err)
	second, err := url.Parse(standby.URL("outhook"))
	require.NoError(t, err)
	both.Host += "," + second.Host
	both.RawQuery += "&target_session_attrs=read-write"
	process := spawnServe(t, both.String(), key)
	b := &troubled{process: process, receiver: receiver, posts: newPosts()}
	b.awaitReady(t, http.StatusOK)
	stop := b.posts.keepPosting(t, func(int) string { return process.url() })
	awaitAccepted(t, b.posts, 50)

	require.NoError(t, primary.Kill())
	b.awaitReady(t, http.StatusServiceUnavailable)
	b.direct, err = pgxpool.New(t.Context(), standby.URL("outhook"))
	require.NoError(t, err)
	t.Cleanup(b.direct.Close)
	began := time.Now()
	b.exec(t, `SELECT pg_promote(true, 60)`)
	before := len(b.posts.ids())
	require.Eventually(t, func() bool {
		return b.posts.post(t.Context(), process.url(), uuid.NewString()) == http.StatusAccepted
	}, 60*time.Second, 20*time.Millisecond)
	t.Logf("accepted again %v after the promotion", time.Since(began))
	awaitAccepted(t, b.posts, before+50)
	b.awaitReady(t, http.StatusOK)
	stop()
	b.check(t)
	t.Logf("duplicates: %d", receiver.duplicates())
}
