package bucket_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/bucket"
)

func TestBounds(t *testing.T) {
	t.Parallel()
	require.Equal(t, time.Millisecond, bucket.Bound(0))
	require.Equal(t, 10*time.Millisecond, bucket.Bound(4))
	require.Equal(t, time.Second, bucket.Bound(12))
	require.InDelta(t, 316, bucket.Bound(bucket.Count-2).Seconds(), 1)
	for i := range bucket.Count - 1 {
		require.Equal(t, i, bucket.Of(bucket.Bound(i)))
		require.Equal(t, i+1, bucket.Of(bucket.Bound(i)+1))
	}
	require.Equal(t, 0, bucket.Of(0))
	require.Equal(t, 0, bucket.Of(-time.Second), "a clock that was set back")
	require.Equal(t, bucket.Count-1, bucket.Of(time.Hour))
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	none := bucket.Counts{}
	require.Zero(t, none.Percentile(0.99))

	// Spread over all that there is, each estimate is within the bucket of the true value.
	for range 200 {
		var counts bucket.Counts
		list := make([]time.Duration, 1+rand.N(2000))
		for i := range list {
			list[i] = time.Duration(math.Pow(10, rand.Float64()*5) * float64(time.Millisecond))
			counts[bucket.Of(list[i])]++
		}
		slices.Sort(list)
		for _, share := range []float64{0.5, 0.95, 0.99} {
			want := list[int(math.Ceil(share*float64(len(list))))-1]
			require.Equal(t, bucket.Of(want), bucket.Of(counts.Percentile(share)), "%v of %d", share, len(list))
		}
	}

	// What is beyond the last bound is told as the bound.
	long := bucket.Counts{}
	long[bucket.Count-1] = 3
	require.Equal(t, bucket.Bound(bucket.Count-2), long.Percentile(0.5))
}
