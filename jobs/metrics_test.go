package jobs_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

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
