package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/jobs/operation"
)

// However many deliveries there are, a preview looks at so many, and says that there are at least as many as it found.
func TestPreviewIsBounded(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	exec := func(query string, args ...any) {
		t.Helper()
		_, err := pool.Exec(t.Context(), query, args...)
		require.NoError(t, err)
	}
	exec(`INSERT INTO outhook.endpoints (id, tenant_id, url) VALUES ('00000000-0000-4000-8000-000000000001', 'acme', 'https://a.example')`)
	exec(`INSERT INTO outhook.events (id, tenant_id, type, payload, created_at) SELECT outhook.uuid_v7(now(), n), 'acme', 'a', '1', now() FROM generate_series(1, 100600) AS n`)
	exec(`INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, state, completed_at)
		SELECT e.id, '00000000-0000-4000-8000-000000000001', 1, 'failed', now() FROM outhook.events AS e`)

	preview := func(f operation.Filter) operation.Count {
		t.Helper()
		f.Since = time.Now().Add(-time.Hour)
		c, err := operation.Preview(t.Context(), pool, operation.KindReplay, f)
		require.NoError(t, err)
		return c
	}
	c := preview(operation.Filter{})
	require.False(t, c.Complete, "it stops")
	require.Positive(t, c.Replayed)
	require.LessOrEqual(t, c.Replayed, int64(100_000))
	require.EqualValues(t, 1, c.Endpoints)

	tenant := "nobody"
	c = preview(operation.Filter{TenantID: &tenant})
	require.False(t, c.Complete, "also if nothing matches")
	require.Zero(t, c.Replayed)
	until := time.Now().Add(-30 * time.Minute)
	require.True(t, preview(operation.Filter{Until: &until}).Complete)
}
