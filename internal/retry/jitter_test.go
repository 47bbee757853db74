package retry_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/retry"
)

func TestJitterValidate(t *testing.T) {
	t.Parallel()
	for _, j := range []retry.Jitter{0, math.SmallestNonzeroFloat64, 0.1, 1, retry.Jitter(math.Copysign(0, -1))} {
		require.NoError(t, j.Validate(), j)
	}
	for _, j := range []retry.Jitter{-0.1, 1.0001, 10, retry.Jitter(math.NaN()), retry.Jitter(math.Inf(1)), retry.Jitter(math.Inf(-1))} {
		require.ErrorIs(t, j.Validate(), retry.ErrInvalidJitter, j)
	}
}

// Whatever the delay and the jitter: a wait is never shorter than the delay and never longer than the longest, which is
// at most twice the delay.
func TestLengthenOnlyLengthens(t *testing.T) {
	t.Parallel()
	for range 10_000 {
		j, delay := retry.Jitter(rand.Float64()), retry.MinDelay+rand.N(retry.MaxDelay-retry.MinDelay+1)
		longest := j.Longest(delay)
		require.LessOrEqual(t, longest, 2*delay)
		require.InDelta(t, float64(delay)*(1+float64(j)), float64(longest), 2)

		wait := j.Lengthen(delay)
		require.GreaterOrEqual(t, wait, delay, "%v of %v", j, delay)
		require.LessOrEqual(t, wait, longest, "%v of %v", j, delay)
	}

	require.Equal(t, 2*retry.MaxDelay, retry.Jitter(1).Longest(retry.MaxDelay))
	require.Zero(t, retry.Jitter(1).Lengthen(0))
	for range 100 {
		require.Equal(t, time.Minute, retry.Jitter(0).Lengthen(time.Minute), "0 is exact")
	}
}

// Each twentieth of the range gets its share of the waits: with 100,000, a share of 5,000 is off by 69 in the standard
// deviation, so a chance of 1 in 10^12 that one is off by 500.
func TestLengthenSpreadsEvenly(t *testing.T) {
	t.Parallel()
	const parts, rounds = 20, 100_000
	for _, j := range []retry.Jitter{0.01, 0.5, 1} {
		var count [parts]int
		for range rounds {
			extra := j.Lengthen(time.Hour) - time.Hour
			count[min(int(extra*parts/(j.Longest(time.Hour)-time.Hour)), parts-1)]++
		}
		for i, n := range count {
			require.InDelta(t, rounds/parts, n, 500, "part %d of jitter %v", i, j)
		}
	}
}

// The longest possible wait counts, for what is kept must outlast it.
func TestFitsCountsTheJitter(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	schedule := retry.Schedule{day, 2 * day}
	require.Equal(t, 3*day, schedule.Total(0))
	require.Equal(t, 6*day, schedule.Total(1))
	require.NoError(t, schedule.Fits(5*day, 0))
	require.NoError(t, schedule.Fits(6*day, 0.5))
	require.ErrorIs(t, schedule.Fits(5*day, 0.5), retry.ErrRetention)
	require.ErrorIs(t, schedule.Fits(7*day, 1), retry.ErrRetention)
	require.NoError(t, schedule.Fits(8*day, 1))
	require.NoError(t, retry.Schedule{}.Fits(2*day, 1))
}
