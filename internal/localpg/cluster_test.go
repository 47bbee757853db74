//go:build unix

package localpg

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func installed(t *testing.T) binaries {
	t.Helper()
	dir, err := FindBinaries()
	require.NoError(t, err)
	b, err := inspect(t.Context(), dir, 0)
	require.NoError(t, err)
	return b
}

// wrapInitdb is a BinDir like the installed one, but with a script of ours for initdb; $REAL in it is the installed one.
func wrapInitdb(t *testing.T, script string) string {
	t.Helper()
	server, dir := installed(t), newDir(t)
	for _, tool := range []string{"postgres", "pg_ctl"} {
		require.NoError(t, os.Symlink(server.path(tool), filepath.Join(dir, tool)))
	}
	text := "#!/bin/sh\nREAL=" + server.path("initdb") + "\n" + script
	require.NoError(t, os.WriteFile(filepath.Join(dir, "initdb"), []byte(text), 0o755))
	return dir
}

func TestInitialise(t *testing.T) {
	t.Parallel()

	t.Run("InterruptedInitLeavesNothingHalfDone", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(newDir(t), "data")
		binDir := wrapInitdb(t, `
			for arg; do case $arg in --pgdata=*) made=${arg#--pgdata=};; esac; done
			mkdir "$made"; sleep 600 & echo $! > "$made/child"; echo 15 > "$made/PG_VERSION"; wait`)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := Start(ctx, Config{DataDir: dir, BinDir: binDir})
			failed <- err
		}()
		var child int
		require.Eventually(t, func() bool {
			made, err := filepath.Glob(filepath.Join(dir, "init-*", "pg", "PG_VERSION"))
			if err != nil || len(made) != 1 {
				return false
			}
			text, err := os.ReadFile(filepath.Join(filepath.Dir(made[0]), "child"))
			child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
			return err == nil && child > 0
		}, startLimit, 5*time.Millisecond)
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
		require.NoDirExists(t, filepath.Join(dir, "pg"))
		require.Eventually(t, func() bool { return commandLine(t.Context(), child) == "" }, startLimit, 5*time.Millisecond,
			"initdb's children end with it")

		// What a killed process would have left behind goes away too.
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "init-killed", "pg"), 0o700))
		_, err := tryStart(t, Config{DataDir: dir})
		require.NoError(t, err)
		left, err := filepath.Glob(filepath.Join(dir, "init-*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("UnknownLocaleFallsBackToC", func(t *testing.T) {
		t.Parallel()
		binDir := wrapInitdb(t, `
			case "$*" in *C.UTF-8*) echo 'initdb: error: invalid locale name "C.UTF-8"' >&2; exit 1;; esac
			exec $REAL "$@"`)
		s, err := tryStart(t, Config{BinDir: binDir})
		require.NoError(t, err)

		conn, err := pgx.Connect(t.Context(), s.URL("outhook"))
		require.NoError(t, err)
		defer conn.Close(t.Context())
		var encoding, collation string
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT pg_encoding_to_char(encoding), datcollate
			FROM pg_database WHERE datname = current_database()`).Scan(&encoding, &collation))
		require.Equal(t, "UTF8", encoding)
		require.Equal(t, "C", collation)
	})

	t.Run("FailureShowsWhatInitdbSaid", func(t *testing.T) {
		t.Parallel()
		_, err := tryStart(t, Config{BinDir: wrapInitdb(t, `echo "initdb: error: no space" >&2; exit 7`)})
		require.ErrorContains(t, err, "running initdb: exit status 7\ninitdb: error: no space")
	})

	t.Run("ClusterWithoutItsPasswordIsNotOpened", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(newDir(t), "data")
		major := strconv.Itoa(installed(t).major)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "pg"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "pg", "PG_VERSION"), []byte(major), 0o600))

		_, err := tryStart(t, Config{DataDir: dir})
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, "reading the cluster's password")
	})
}

func TestSweepTemporary(t *testing.T) {
	t.Parallel()
	own := cluster{logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	old := time.Now().Add(-2 * sweepAge)
	abandon := func(t *testing.T) *folder {
		t.Helper()
		f, err := openFolder("")
		require.NoError(t, err)
		require.NoError(t, os.Chtimes(f.path, old, old))
		return f
	}

	t.Run("DeadProcessFolderGoes", func(t *testing.T) {
		t.Parallel()
		f := abandon(t)
		require.NoError(t, f.lock.Close())
		require.NoError(t, sweepFolder(t.Context(), f.path, own))
		require.NoDirExists(t, f.path)
	})

	t.Run("LiveProcessFolderStays", func(t *testing.T) {
		t.Parallel()
		f := abandon(t)
		require.ErrorIs(t, sweepFolder(t.Context(), f.path, own), ErrLocked)
		require.DirExists(t, f.path)
		require.NoError(t, f.close())
	})

	t.Run("YoungFolderStays", func(t *testing.T) {
		t.Parallel()
		f := abandon(t)
		require.NoError(t, f.lock.Close())
		require.NoError(t, os.Chtimes(f.path, time.Now(), time.Now()))
		require.NoError(t, sweepFolder(t.Context(), f.path, own))
		require.DirExists(t, f.path)
		require.NoError(t, os.RemoveAll(f.path))
	})
}

func TestOpenLogEmptiesABigOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "postgres.log")
	require.NoError(t, os.WriteFile(path, []byte("old\n"), 0o600))
	for _, size := range []int64{maxLogBytes, maxLogBytes + 1} {
		require.NoError(t, os.Truncate(path, size))
		f, err := openLog(path)
		require.NoError(t, err)
		info, err := f.Stat()
		require.NoError(t, err)
		require.Equal(t, size <= maxLogBytes, info.Size() == size)
		require.NoError(t, f.Close())
	}
}

func TestRootNeedsAReachableFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs PostgreSQL as another user")
	}
	closed := filepath.Join(newDir(t), "closed")
	require.NoError(t, os.MkdirAll(closed, 0o700))

	_, err := tryStart(t, Config{DataDir: filepath.Join(closed, "deeper", "data")})
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "entering "+closed+" as user")
	require.ErrorContains(t, err, "choose a folder that user postgres can reach, for example --data-dir /var/lib/outhook")
}

func TestOrdinaryUserNeedsItsOwnCluster(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root runs PostgreSQL as the cluster's owner")
	}
	_, err := chooseAccount("/")
	require.ErrorContains(t, err, "it belongs to user root: run as that user or choose another --data-dir")
}

func TestRootClusterGoesToTheFirstKnownUser(t *testing.T) {
	t.Parallel()
	a, err := firstAccount("no-such-user", "nobody")
	require.NoError(t, err)
	require.Equal(t, "nobody", a.name)
	require.NotZero(t, a.uid)

	_, err = firstAccount("no-such-user")
	require.ErrorContains(t, err, "create one of them or run as an ordinary user")
}
