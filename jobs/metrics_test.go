package jobs_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs"
)

// What a fetch costs in counting allocates nothing.
func TestCountingAFetchAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts allocations, which others make too
	count := jobs.CountFetch(prometheus.NewRegistry())
	require.Zero(t, testing.AllocsPerRun(1000, count))
}

// counted returns the sum of a counter's series.
func counted(t *testing.T, reg prometheus.Registerer, name string) (sum float64) {
	t.Helper()
	gatherer, ok := reg.(prometheus.Gatherer)
	require.True(t, ok)
	families, err := gatherer.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
		return sum
	}
	require.FailNow(t, "no such metric", name)
	return 0
}

// The bursts of all tenants are one queue, and its oldest job may be the last tenant's.
func TestBurstsAreOneQueueInTheMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, state, scheduled_at)
		SELECT 'deliver', '{}', q, 1000, s, now() - CASE q WHEN 'bulk-fffffff' THEN interval '2 hours' ELSE interval '1 hour' END
		FROM unnest('{deliver_bulk,bulk-0000000,bulk-8888888,bulk-fffffff}'::text[]) AS q,
			unnest('{available,running}'::outhook.river_job_state[]) AS s, generate_series(1, 40)`)
	for _, most := range []int64{1000, 100} {
		rows, err := db.New().ReadBacklog(b.ctx, b.pool, most)
		require.NoError(t, err)
		require.Len(t, rows, 5*4+1, "five queues in four states, and lines in one")
		for _, r := range rows {
			switch {
			case r.Queue != "deliver_bulk", r.State == "retryable", r.State == "scheduled":
				require.Zero(t, r.Jobs)
				require.Zero(t, r.OldestSeconds)
			default:
				require.Equal(t, min(most, 160), r.Jobs)
			}
			if r.Queue == "deliver_bulk" && r.State == "available" {
				require.InDelta(t, 7200, r.OldestSeconds, 120)
			}
		}
	}
}

func TestRetentionIsCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.oldEvents(t, b.daysAgo(t, 31), 5, endpointID, "pending", "retryable")
	cfg := b.config(t)
	cfg.Metrics = prometheus.NewRegistry()
	b.start(t, cfg)
	sums := func() [2]float64 {
		return [2]float64{counted(t, cfg.Metrics, "outhook_expired_deliveries_total"), counted(t, cfg.Metrics, "outhook_dropped_partitions_total")}
	}
	eventually(t, func() bool { return sums() == [2]float64{5, 3} }, func() any { return sums() })
}

// A queue that a person has paused is shown, and all others as not paused.
func TestAPausedQueueIsInTheMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.river_queue (name, paused_at, updated_at)
		VALUES ('deliver_bulk', now(), now()), ('deliver', NULL, now()), ('a_strangers', now(), now())`)
	reg := prometheus.NewRegistry()
	reg.MustRegister(jobs.NewCollector(b.pool, 30*24*time.Hour, slog.New(slog.DiscardHandler)))
	families, err := reg.Gather()
	require.NoError(t, err)
	paused := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "outhook_queue_paused" {
				paused[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	require.Equal(t, map[string]float64{
		"deliver": 0, "deliver_bulk": 1, "deliver_slow": 0, "deliver_limited": 0, "operations": 0, "maintenance": 0,
	}, paused)
}
