package bench_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/bench"
)

// One enqueue of half a second holds up the 50 that are due meanwhile: their wait belongs to them.
func TestAStallIsNotLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		latency, err := bench.Generate(t.Context(), bench.Config{Load: bench.Load{Conns: 1, Rate: 100, Duration: 2 * time.Second}}, func() error {
			if n++; n == 100 {
				<-time.After(500 * time.Millisecond)
			}
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, 200, latency.TotalCount())
		require.InDelta(t, 500_000, latency.Max(), 1000, "the one that stalled")
		require.InDelta(t, 310_000, latency.ValueAtQuantile(90), 11_000, "the 20 due in the first 200 ms of the stall")
		require.Less(t, latency.ValueAtQuantile(70), int64(1000))
	})
}

func TestAClosedLoopIsAsFastAsItsConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		latency, err := bench.Generate(t.Context(), bench.Config{Load: bench.Load{Conns: 4, Duration: 2 * time.Second}}, func() error {
			<-time.After(10 * time.Millisecond)
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, 4*200, latency.TotalCount())
		require.InDelta(t, 10_000, latency.Max(), 100)
	})
}

func TestAFailedEnqueueEndsTheRun(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	_, err := bench.Generate(t.Context(), bench.Config{Load: bench.Load{Conns: 2, Duration: time.Hour}}, func() error { return refused })
	require.ErrorIs(t, err, refused)
}
