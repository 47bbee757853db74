package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// What works on the database finds that of a dev that runs, and says so if there is none.
func TestCommandsFindTheDatabaseOfDev(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("OUTHOOK_DATA_DIR", dir)
	t.Setenv("OUTHOOK_DATABASE_URL", "")
	for _, args := range [][]string{{"doctor"}, {"migrate", "status"}, {"keys", "list"}, {"psql", "-c", "SELECT 1"}} {
		_, err := output(t, args...)
		require.ErrorIs(t, err, errNoDatabase, args)
	}

	require.NoError(t, os.WriteFile(filepath.Join(dir, databaseURLFile), []byte(migrated(t)+"\n"), 0o600))
	for _, args := range [][]string{{"doctor"}, {"migrate", "status"}, {"keys", "list"}} {
		_, err := output(t, args...)
		require.NoError(t, err, args)
	}
	_, err := output(t, serveArgs("")...)
	require.ErrorIs(t, err, errNoDatabase, "serve is told which database")
}

func TestPsql(t *testing.T) {
	t.Parallel()
	_, missing := findPSQL()
	dbtest.RequireTool(t, "psql", missing == nil)
	url := migrated(t)
	out, err := output(t, "psql", "--database-url", url, "--", "-Atc", "SELECT 40 + 2")
	require.NoError(t, err)
	require.Equal(t, "42\n", out)
	_, err = output(t, "psql", "--database-url", url, "--", "-v", "ON_ERROR_STOP=1", "-c", "SELECT nothing")
	require.ErrorIs(t, err, exitError(1))
	_, err = output(t, "psql", "--database-url", "host=127.0.0.1 password=x")
	require.ErrorIs(t, err, errDatabaseURL)
}
