package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/migrations"
)

// The endpoints of before get one revision each, of what they have been since their last change.
func TestEndpointsOfBeforeGetARevision(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	require.NoError(t, migrations.DownTo(t.Context(), pool, 115))
	exec(t, pool, `INSERT INTO outhook.endpoints (id, tenant_id, url, event_types, status, status_reason, created_at, updated_at, deleted_at) VALUES
		('00000000-0000-7000-8000-000000000001', 'acme', 'https://user:s3cret@Hooks.example.com:8443/s3cret', '{a}', 'disabled', 'gone', '2026-01-01Z', '2026-01-02 03:04:05.678901Z', NULL),
		('00000000-0000-7000-8000-000000000002', 'acme', 'https://example.com?s3cret', '{}', 'enabled', '', '2026-01-01Z', '2026-01-03Z', '2026-01-03Z'),
		('00000000-0000-7000-8000-000000000003', 'erased', '', '{}', 'enabled', '', '2026-01-01Z', '2026-01-03Z', '2026-01-03Z')`)
	up(t, pool)
	require.Equal(t, []string{"hooks.example.com:8443 {a} disabled gone f", "example.com {} enabled  t"}, column[string](t, pool, `
		SELECT concat_ws(' ', host, event_types, status, status_reason, deleted) FROM outhook.endpoint_revisions
		WHERE first_known AND xid IS NULL AND changed = '{}' ORDER BY endpoint_id`))
	require.Equal(t, 2, value[int](t, pool, `SELECT count(*) FROM outhook.endpoint_revisions AS r JOIN outhook.endpoints AS n ON n.id = r.endpoint_id
		WHERE r.at = n.updated_at AND outhook.uuid_v7_time(r.id) BETWEEN r.at - interval '1 us' AND r.at AND r.tenant_id = n.tenant_id`))

	exec(t, pool, `UPDATE outhook.endpoints SET status = 'enabled' WHERE deleted_at IS NULL`)
	require.Equal(t, []string{"{}", "{status}"}, column[string](t, pool, `SELECT changed::text FROM outhook.endpoint_revisions
		WHERE endpoint_id = '00000000-0000-7000-8000-000000000001' ORDER BY id`))
}

// What the migration did before it was broken off is not done again, and nothing of it lacks.
func TestTheMigrationOfRevisionsIsRepeatedWhenItWasBrokenOff(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	want := fingerprint(t, pool)
	exec(t, pool, `INSERT INTO outhook.endpoints (id, tenant_id, url) VALUES (outhook.uuid_v7(), 'acme', 'https://example.com')`)
	require.NoError(t, migrations.DownTo(t.Context(), pool, 116))
	exec(t, pool, `DELETE FROM outhook.goose_db_version WHERE version_id = 116`)
	up(t, pool)
	require.Equal(t, want, fingerprint(t, pool))
	require.Equal(t, 1, value[int](t, pool, `SELECT count(*) FROM outhook.endpoint_revisions`))
}

// Whoever changes endpoints can't leave out, change or make up a revision.
func TestRevisionsAreWrittenByTriggersAlone(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	server := member(t, pool, "outhook_server")
	exec(t, server, `INSERT INTO outhook.endpoints (id, tenant_id, url) VALUES (outhook.uuid_v7(), 'acme', 'https://example.com')`)
	exec(t, server, `UPDATE outhook.endpoints SET timeout_ms = 1000`)
	require.Equal(t, 2, value[int](t, pool, `SELECT count(*) FROM outhook.endpoint_revisions`))
	for _, sql := range []string{
		`INSERT INTO outhook.endpoint_revisions SELECT * FROM outhook.endpoint_revisions`, `UPDATE outhook.endpoint_revisions SET at = now()`,
		`CREATE TEMPORARY TABLE mine (); CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION outhook.note_endpoint_revision()`,
	} {
		_, err := server.Exec(t.Context(), sql)
		requireDenied(t, err, sql)
	}
}

// A change of what an endpoint gets no more and no less by costs no revision: no call either, by WHEN.
func TestARevisionIsWrittenForWhatMatters(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	exec(t, pool, `INSERT INTO outhook.endpoints (id, tenant_id, url) VALUES (outhook.uuid_v7(), 'acme', 'https://example.com')`)
	set := map[string]string{
		"event_types": `'{a}'`, "status": `'paused'`, "url": `'https://other.example.com'`, "timeout_ms": "1000", "max_in_flight": "1",
		"filter": `'{"data":1}'`, "labels": `'{a}'`, "ordered": `'skip'`, "rate_limit": "1", "rate_per": `'minute'`, "rate_burst": "2", "retry_schedule": "'{1}'", "retry_jitter": "0.5", "deleted_at": "now()",
	}
	nothing := map[string]bool{ // all that every enqueue, health or people change beside
		"id": true, "tenant_id": true, "description": true, "headers": true, "secret_headers": true, "lane": true, "lane_reason": true, "lane_changed_at": true,
		"status_reason": true, "status_changed_at": true, "cancel_since": true, "metadata": true, "created_at": true, "updated_at": true, "uid": true,
		"format":      true,
		"filter_path": true, // written with filter
	}
	n := 1
	for _, name := range column[string](t, pool, `SELECT attname::text FROM pg_attribute WHERE attrelid = 'outhook.endpoints'::regclass AND attnum > 0 AND NOT attisdropped`) {
		if set[name] == "" {
			require.True(t, nothing[name], "%s: does a change of it make a revision (endpoints_noted.sql)?", name)
			exec(t, pool, `UPDATE outhook.endpoints SET `+name+` = `+name)
			continue
		}
		exec(t, pool, `UPDATE outhook.endpoints SET `+name+` = `+set[name])
		n++
		require.Equal(t, n, value[int](t, pool, `SELECT count(*) FROM outhook.endpoint_revisions`), name)
		exec(t, pool, `UPDATE outhook.endpoints SET `+name+` = `+set[name])
		require.Equal(t, n, value[int](t, pool, `SELECT count(*) FROM outhook.endpoint_revisions`), "%s is as it was", name)
	}
	require.Equal(t, len(set)+1, n)
}
