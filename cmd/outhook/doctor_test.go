package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/migrations"
)

// owing makes a database with an endpoint, n pending deliveries and the lease of a worker that takes none, and a way to do
// to it what should not happen.
func owing(t *testing.T, n int) (url string, exec func(sql string)) {
	t.Helper()
	url = migrated(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	exec = func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`INSERT INTO outhook.endpoints (id, tenant_id, url, timeout_ms) VALUES (outhook.uuid_v7(), 'acme', 'http://127.0.0.1:1/', 1000)`)
	exec(`INSERT INTO outhook.leases (name, holder, until) VALUES ('worker/w1', 'w1', now() + interval '1 h')`)
	for range n {
		exec(`SELECT outhook.enqueue('acme', 'invoice.paid', '{"marked": 1}')`)
	}
	return url, exec
}

func TestDoctor(t *testing.T) {
	t.Parallel()

	t.Run("ReportsAndRepairs", func(t *testing.T) {
		t.Parallel()
		url, exec := owing(t, 7)
		out, err := output(t, "doctor", "--database-url", url)
		require.NoError(t, err, out)
		require.Regexp(t, `(?m)^deliveries_without_job +0  ok$`, out)
		require.NotContains(t, out, "VIOLATED")

		exec(`DELETE FROM outhook.river_job`)
		exec(`DROP TABLE outhook.events_p` + time.Now().UTC().AddDate(0, 0, 2).Format("20060102"))
		out, err = output(t, "doctor", "--database-url", url)
		require.ErrorIs(t, err, exitError(1))
		require.Regexp(t, `(?m)^deliveries_without_job +7  VIOLATED$`, out)
		require.Regexp(t, `(?m)^missing_partitions +1  VIOLATED$`, out)
		require.Len(t, strings.Split(out, "\n    "), 1+5+1, "five examples and one")
		require.NotContains(t, out, "marked")

		// It was read-only.
		out, err = output(t, "doctor", "--json", "--database-url", url)
		require.ErrorIs(t, err, exitError(1))
		var r report
		require.NoError(t, json.Unmarshal([]byte(out), &r), out)
		require.False(t, r.OK)
		require.Len(t, r.Checks, 18)
		require.Equal(t, "deliveries_without_job", r.Checks[0].Check)
		require.Equal(t, 7, r.Checks[0].Count)
		require.Len(t, r.Checks[0].Examples, 5)

		require.Empty(t, audited(t, url))
		out, err = output(t, "doctor", "--repair", "--database-url", url)
		require.NoError(t, err, out)
		require.Contains(t, out, "repaired 7 of deliveries_without_job\n")
		require.Contains(t, out, "repaired 1 of missing_partitions\n")
		require.NotContains(t, out, "VIOLATED")
		require.Equal(t, []string{"doctor-repair database outhook {}"}, audited(t, url))
	})

	t.Run("TellsOfARetryThatWaits", func(t *testing.T) {
		t.Parallel()
		url, exec := owing(t, 1)
		exec(`UPDATE outhook.deliveries SET state = 'succeeded', completed_at = now()`)
		out, err := output(t, "doctor", "--repair", "--database-url", url)
		require.NoError(t, err)
		require.Regexp(t, `(?m)^jobs_of_settled_deliveries +1  fine`, out)
		require.NotContains(t, out, "repaired")
	})

	t.Run("NeedsNoRightToWriteAndEndsInTime", func(t *testing.T) {
		t.Parallel()
		url, exec := owing(t, 1)
		exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
		out, err := output(t, "doctor", "--database-url", url)
		require.NoError(t, err, out)
		exec(`BEGIN; LOCK TABLE outhook.deliveries`)
		_, err = output(t, "doctor", "--statement-timeout", "100ms", "--database-url", url)
		require.ErrorContains(t, err, "statement timeout")
	})

	t.Run("MissesWorkers", func(t *testing.T) {
		t.Parallel()
		url, exec := owing(t, 1)
		wants := func(violated bool) string {
			t.Helper()
			out, err := output(t, "doctor", "--timeout", "30s", "--database-url", url) // the flag's old name
			if !violated {
				require.NoError(t, err, out)
				require.Regexp(t, `(?m)^no_live_worker +0  ok$`, out)
				return out
			}
			require.ErrorIs(t, err, exitError(1))
			require.Regexp(t, `(?m)^no_live_worker +1  VIOLATED\n    deliveries are due since \S+Z, and .*: start .outhook serve. with the role worker`, out)
			return out
		}
		wants(false)
		exec(`UPDATE outhook.leases SET until = now() - interval '1 s'`)
		require.Contains(t, wants(true), "no worker was ever seen")
		exec(`INSERT INTO outhook.leases (name, holder, until) VALUES ('workers', 'workers', '2026-01-02T03:04:05Z')`)
		require.Contains(t, wants(true), "the last worker was seen at 2026-01-02T03:04:05Z")

		for _, due := range []string{
			`state = 'running', attempted_at = now(), attempted_by = '{w1}'`, `state = 'retryable', scheduled_at = now()`,
			`state = 'available', queue = 'endpoint-' || (args ->> 'endpoint_id')`,
		} {
			exec(`UPDATE outhook.river_job SET ` + due)
			wants(true)
		}
		exec(`UPDATE outhook.endpoints SET status = 'paused'`)
		wants(false)
		exec(`UPDATE outhook.endpoints SET status = 'enabled'`)
		wants(true)
		exec(`INSERT INTO outhook.pauses (tenant_id, paused_at, paused_by, reason) VALUES ('acme', '2026-01-02T03:04:05Z', 'alice', 'a move')`)
		require.Regexp(t, `(?m)^paused +1  waits until .outhook resume.\n    tenant acme, since 2026-01-02T03:04:05Z by alice: a move$`, wants(false))
		exec(`DELETE FROM outhook.pauses`)
		exec(`UPDATE outhook.river_job SET queue = 'deliver', state = 'scheduled', scheduled_at = now() + interval '1 h'`)
		wants(false)
		exec(`UPDATE outhook.river_job SET state = 'available', scheduled_at = now()`)
		wants(true)

		exec(`INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver', '2026-01-02T03:04:05Z', now()), ('operations', NULL, now())`)
		require.Regexp(t, `(?m)^paused_queues +1  nothing of them is worked until River UI's Resume\n    deliver, since 2026-01-02T03:04:05Z, with 1 due: resume it`, wants(false))
	})

	t.Run("SaysWhatIsMissing", func(t *testing.T) {
		t.Parallel()
		_, err := output(t, "doctor")
		require.ErrorIs(t, err, errNoDatabase)
		_, err = output(t, "doctor", "--database-url", dbtest.Empty(t))
		require.ErrorIs(t, err, migrations.ErrSchemaTooOld)
	})
}
