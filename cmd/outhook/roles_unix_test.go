//go:build unix

package main

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// A login without CREATEROLE makes everything but the roles, says so with what somebody else has to run, and ends with 1 if
// that is asked for. Roles belong to the whole server, so this needs one of its own.
func TestMigrateSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	server := startServer(t, nil)
	execAt(t, server.URL("postgres"), `CREATE ROLE plain LOGIN PASSWORD '`+lifePassword+`'`, `CREATE DATABASE app OWNER plain`)
	u, err := url.Parse(server.URL("app"))
	require.NoError(t, err)
	u.User = url.UserPassword("plain", lifePassword)
	migrate := func(args ...string) (string, error) {
		return output(t, append([]string{"migrate"}, append(args, "--database-url", u.String())...)...)
	}
	roles := []string{"CREATE ROLE outhook_publisher NOLOGIN", "CREATE ROLE outhook_reporter NOLOGIN", "CREATE ROLE outhook_server NOLOGIN"}
	leaves := func(out string) {
		t.Helper()
		for _, sql := range roles {
			require.Contains(t, out, sql)
		}
	}

	out, err := migrate("up", "--dry-run")
	require.NoError(t, err)
	leaves(out)
	out, err = migrate("up")
	require.NoError(t, err)
	require.Contains(t, out, "LEFT OUT")
	leaves(out)
	out, err = migrate("status")
	require.ErrorIs(t, err, exitError(1))
	leaves(out)
	out, err = migrate("up", "--strict")
	require.ErrorIs(t, err, exitError(1))
	leaves(out)

	execAt(t, server.URL("app"), roles...)
	out, err = migrate("up", "--strict")
	require.NoError(t, err)
	require.NotContains(t, out, "LEFT OUT")
	require.Contains(t, out, "rights were not as declared, and are now")
	out, err = migrate("status")
	require.NoError(t, err, out)
	require.NotContains(t, out, "missing")
}
