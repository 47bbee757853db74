package limit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/limit"
)

func TestTake(t *testing.T) {
	t.Parallel()
	b, now := limit.New[string](2, 3), time.Now()
	require.Zero(t, b.Wait("a", now))
	require.Zero(t, b.Len(), "asking makes no bucket")
	for range 3 {
		require.Zero(t, b.Take("a", now))
	}
	require.Equal(t, 500*time.Millisecond, b.Take("a", now))
	require.Equal(t, 500*time.Millisecond, b.Wait("a", now))
	require.Zero(t, b.Take("b", now), "the others have their own")
	require.Zero(t, b.Take("a", now.Add(500*time.Millisecond)))
	require.Equal(t, 2, b.Len())
}

func TestTakeOnce(t *testing.T) {
	t.Parallel()
	b, now := limit.New[string](1, 2), time.Now()
	for range 5 {
		b.TakeOnce("a", 1, now)
	}
	require.Zero(t, b.Wait("a", now), "a mark counts once")
	b.TakeOnce("a", 2, now)
	require.Positive(t, b.Wait("a", now))
}

func TestBucketsAreBounded(t *testing.T) {
	t.Parallel()
	b, now := limit.New[int](1, 1), time.Now()
	for i := range 25_000 {
		require.Zero(t, b.Take(i, now))
	}
	require.Equal(t, 10_000, b.Len())
	require.Positive(t, b.Wait(24_999, now), "the newest is kept")
	require.Zero(t, b.Wait(0, now), "the oldest is forgotten")
}

func TestNoLimit(t *testing.T) {
	t.Parallel()
	require.Nil(t, limit.New[int](0, 1))
}

func TestSeconds(t *testing.T) {
	t.Parallel()
	for wait, seconds := range map[time.Duration]int{0: 1, time.Millisecond: 1, time.Second: 1, 1001 * time.Millisecond: 2} {
		require.Equal(t, seconds, limit.Seconds(wait))
	}
}
