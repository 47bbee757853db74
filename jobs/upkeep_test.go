package jobs_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

// gauges reads the metrics of the database, each series as name or name{label}.
func (b *testBundle) gauges(t *testing.T, keep time.Duration) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(jobs.NewCollector(b.pool, keep, slog.New(slog.DiscardHandler)))
	families, err := reg.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			all[name] = m.GetGauge().GetValue()
		}
	}
	return all
}

// What the documentation once told people to look for with psql.
func TestWhatUpkeepNeedsIsMeasured(t *testing.T) {
	t.Parallel()
	b := setup(t)
	zero := b.gauges(t, 30*ledger.Day)
	for _, name := range []string{
		"outhook_retention_overdue_days", "outhook_paused_since_timestamp_seconds all", "outhook_paused_since_timestamp_seconds tenant",
		"outhook_paused_tenants", "outhook_endpoints healthy", "outhook_endpoints failing", "outhook_endpoints paused", "outhook_endpoints disabled",
	} {
		require.Contains(t, zero, name)
		require.Zero(t, zero[name], name)
	}

	for range 5 {
		b.endpoint(t)
	}
	const one = ` WHERE id = (SELECT id FROM outhook.endpoints WHERE status = 'enabled' ORDER BY id LIMIT 1)`
	b.exec(t, `UPDATE outhook.endpoints SET status = 'paused'`+one)
	b.exec(t, `UPDATE outhook.endpoints SET status = 'disabled'`+one)
	b.exec(t, `UPDATE outhook.endpoints SET deleted_at = now()`+one)
	b.exec(t, `INSERT INTO outhook.endpoint_health (endpoint_id, state) SELECT max(id::text)::uuid, 'failing' FROM outhook.endpoints`)
	b.daysAgo(t, 33)

	b.pause(t, ledger.PauseAll)
	b.pause(t, "globex")
	first := b.pause(t, tenant)
	b.exec(t, `UPDATE outhook.pauses SET paused_at = paused_at - interval '1 h' WHERE tenant_id = $1`, tenant)
	got := b.gauges(t, 30*ledger.Day)
	require.InDelta(t, 1, got["outhook_endpoints healthy"], 0)
	require.InDelta(t, 1, got["outhook_endpoints failing"], 0)
	require.InDelta(t, 1, got["outhook_endpoints paused"], 0)
	require.InDelta(t, 1, got["outhook_endpoints disabled"], 0)
	require.InDelta(t, 3, got["outhook_retention_overdue_days"], 0)
	require.Zero(t, b.gauges(t, 33*ledger.Day)["outhook_retention_overdue_days"])
	require.InDelta(t, 2, got["outhook_paused_tenants"], 0)
	require.InDelta(t, first.PausedAt.Add(-time.Hour).Unix(), got["outhook_paused_since_timestamp_seconds tenant"], 1)
	require.InDelta(t, first.PausedAt.Unix(), got["outhook_paused_since_timestamp_seconds all"], 5)
}

func TestTheOldestSnapshotIsMeasured(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.pool.BeginTx(b.ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(b.ctx)) }()
	var began time.Time
	require.NoError(t, tx.QueryRow(b.ctx, `SELECT now()`).Scan(&began)) // holds its snapshot from here on
	for range 20 {
		b.enqueue(t, `{}`)
	}
	got := b.gauges(t, ledger.Day)
	require.Positive(t, got["outhook_oldest_snapshot_seconds"])
	require.GreaterOrEqual(t, got["outhook_oldest_snapshot_transactions"], 20.0)
}
