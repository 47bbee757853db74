package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/migrations"
)

// Row-level security that somebody switches on hides rows from whoever does not own them. A hidden row is not taken for one
// that is gone: nothing ends and nothing is lost, everybody says why, and all goes on when it is over.
func TestHiddenRows(t *testing.T) {
	t.Parallel()
	owner := migrated(t)
	asOwner, err := pgx.Connect(t.Context(), owner)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := contextAfter(t)
		defer cancel()
		require.NoError(t, asOwner.Close(ctx))
	})
	database := asServer(t, owner)
	server := start(t, serveArgs(database)...)
	base := server.address(t)
	receiver, got := receiveAll(t)
	status, endpoint := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey, `{"tenant_id": "acme", "url": "`+receiver+`"}`)
	require.Equal(t, http.StatusCreated, status, endpoint)

	ready := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool {
			status, _ := call(t, http.MethodGet, base+"/readyz", "", "")
			return status == want
		}, 60*time.Second, 20*time.Millisecond)
	}
	for _, table := range []string{"deliveries", "events", "endpoints", "endpoint_secrets", "river_job"} {
		exec := func(sql string, args ...any) {
			t.Helper()
			_, err := asOwner.Exec(t.Context(), sql, args...)
			require.NoError(t, err)
		}
		// A policy for somebody else, as a tool that switches it on for all tables makes one.
		exec(`ALTER TABLE outhook.` + table + ` ENABLE ROW LEVEL SECURITY`)
		exec(`CREATE POLICY theirs ON outhook.` + table + ` USING (false)`)
		ready(http.StatusServiceUnavailable)
		var id string
		require.NoError(t, asOwner.QueryRow(t.Context(), `SELECT outhook.enqueue('acme', 'a.b', '{}')`).Scan(&id))

		for _, args := range [][]string{{"doctor", "--database-url", database}, serveArgs(database)} {
			_, err = output(t, args...)
			var hidden *migrations.HiddenError
			require.ErrorAs(t, err, &hidden)
			require.ErrorContains(t, err, "ALTER TABLE outhook."+table+" DISABLE ROW LEVEL SECURITY")
		}

		var state string
		var attempts int
		read := func() {
			t.Helper()
			require.NoError(t, asOwner.QueryRow(t.Context(), `SELECT state, attempt_count FROM outhook.deliveries WHERE event_id = $1`, id).Scan(&state, &attempts))
		}
		require.Eventually(t, func() bool { return strings.Contains(server.stderr.String(), "row-level security") }, 60*time.Second, 20*time.Millisecond)
		read()
		require.Equal(t, "pending", state)
		require.Zero(t, attempts)
		require.Empty(t, got)

		exec(`ALTER TABLE outhook.` + table + ` DISABLE ROW LEVEL SECURITY`)
		exec(`DROP POLICY theirs ON outhook.` + table)
		require.Equal(t, id, next(t, got).header.Get("webhook-id"))
		require.Eventually(t, func() bool { read(); return state == "succeeded" }, 60*time.Second, 20*time.Millisecond)
		require.Equal(t, 1, attempts)
		ready(http.StatusOK)
		_, err = output(t, "doctor", "--database-url", database)
		require.NoError(t, err)
	}
	require.NoError(t, server.end(t))
}
