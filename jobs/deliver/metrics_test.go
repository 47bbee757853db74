package deliver_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/deliver"
)

// What a delivery costs in counting allocates nothing.
func TestCountingAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts allocations, which others make too
	count := deliver.CountDelivery(prometheus.NewRegistry())
	require.Zero(t, testing.AllocsPerRun(1000, count))
}

// BenchmarkMetrics is the counting of one delivery: a load, an attempt, a recorded outcome.
func BenchmarkMetrics(b *testing.B) {
	count := deliver.CountDelivery(prometheus.NewRegistry())
	b.ReportAllocs()
	for b.Loop() {
		count()
	}
}
