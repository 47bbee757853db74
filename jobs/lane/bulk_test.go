package lane_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/lane"
)

func TestBurstsYieldToOthers(t *testing.T) {
	t.Parallel()
	const rate = 2000
	began := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

	t.Run("WithoutOthersNothingIsBounded", func(t *testing.T) {
		t.Parallel()
		b := lane.NewBulkLimiter(rate)
		for i := range 100 {
			now := began.Add(time.Duration(i) * time.Millisecond)
			require.Equal(t, 100, b.Most(now, 100))
			b.Took(now, time.Millisecond, 100, 100)
		}
	})

	t.Run("WithOthersTheRateIsKept", func(t *testing.T) {
		t.Parallel()
		b, taken := lane.NewBulkLimiter(rate), 0
		for i := range 1000 {
			now := began.Add(time.Duration(i) * time.Millisecond)
			b.Other(now, 0, 1)
			n := b.Most(now, 100)
			b.Took(now, time.Millisecond, n, n)
			taken += n
		}
		require.InDelta(t, rate, taken, 0.06*rate, "in a second, with what was saved up in 50 ms")
	})

	t.Run("WhatWasNotTakenIsSavedUpFor50Milliseconds", func(t *testing.T) {
		t.Parallel()
		b, now := lane.NewBulkLimiter(rate), began.Add(time.Hour)
		b.Other(now, 0, 1)
		require.Equal(t, 100, b.Most(now, 500))
	})

	t.Run("TheBoundEndsASecondAfterTheOthers", func(t *testing.T) {
		t.Parallel()
		b, now := lane.NewBulkLimiter(rate), began
		b.Other(now, 0, 1)
		require.Equal(t, 100, b.Most(now.Add(time.Second), 500))
		require.Equal(t, 500, b.Most(now.Add(time.Second+time.Millisecond), 500))
	})

	t.Run("ASlowLookThatFindsLessIsNotRepeatedAtOnce", func(t *testing.T) {
		t.Parallel()
		b, now := lane.NewBulkLimiter(rate), began
		b.Took(now, 20*time.Millisecond, 0, 100)
		require.Zero(t, b.Most(now.Add(199*time.Millisecond), 100))
		require.Equal(t, 100, b.Most(now.Add(200*time.Millisecond), 100))
		b.Took(now, time.Minute, 99, 100)
		require.Zero(t, b.Most(now.Add(999*time.Millisecond), 100))
		require.Equal(t, 100, b.Most(now.Add(time.Second), 100), "but within a second")
		b.Took(now, time.Minute, 100, 100)
		require.Equal(t, 100, b.Most(now.Add(time.Second), 100), "all that was asked for was there")
		b.Took(now.Add(time.Second), time.Millisecond, 0, 100)
		require.Equal(t, 100, b.Most(now.Add(time.Second), 100), "it was quick")
	})
}

func TestBurstsSlowDownWhileLooksAreSlow(t *testing.T) {
	t.Parallel()
	const rate, step, shareStep = 2000, 10 * time.Millisecond, 100 * time.Millisecond
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	b := lane.NewBulkLimiter(rate)
	// during lets others come and looks take d for a time, and returns how many a second of a burst go in its last second.
	during := func(d, span time.Duration, n int) (taken int) {
		for i := range int(span / step) {
			b.Other(now, d, n)
			if most := b.Most(now, 100); most > 0 {
				b.Took(now, time.Millisecond, most, most)
				if i >= int((span-time.Second)/step) {
					taken += most
				}
			}
			now = now.Add(step)
		}
		return taken
	}
	require.InDelta(t, rate, during(time.Millisecond, 2*time.Second, 1), 0.05*rate)
	require.InDelta(t, rate/4, during(20*time.Millisecond, 5*time.Second, 1), 0.01*rate)
	require.InDelta(t, rate, during(time.Millisecond, 5*time.Second, 1), 0.05*rate, "it comes back")
	require.InDelta(t, rate, during(20*time.Millisecond, 5*time.Second, 100), 0.05*rate, "many deliveries take a while")
	require.Less(t, during(6*time.Millisecond, 5*time.Second, 1), rate/2)

	b = lane.NewBulkLimiter(rate)
	require.InDelta(t, rate, during(6*time.Millisecond, 5*time.Second, 1), 0.05*rate, "the database is far away")
	require.InDelta(t, rate, during(6*time.Millisecond, 2*time.Second, 1), 0.05*rate)
	for range 500 {
		b.Other(now, time.Millisecond, 0)
	}
	require.InDelta(t, rate, during(6*time.Millisecond, time.Second, 1), 0.05*rate, "looks that bring nothing are quicker")
	for range 50 {
		now = now.Add(shareStep)
		b.Other(now, 50*time.Millisecond, 0)
		b.Other(now, 6*time.Millisecond, 1)
	}
	require.Less(t, b.Most(now, 500), 100, "but may be slow, too")
	require.Equal(t, 500, b.Most(now.Add(2*time.Second), 500), "nobody else is there")
}

func TestBurstsRestWhenTheyFindNoTurn(t *testing.T) {
	t.Parallel()
	b, now := lane.NewBulkLimiter(2000), time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for i := range 1000 {
		b.Turn(now, i%50 == 49)
	}
	require.Equal(t, 100, b.Most(now, 100), "one of fifty got its turn")
	for range 50 {
		b.Turn(now, false)
	}
	require.Zero(t, b.Most(now.Add(499*time.Millisecond), 100))
	require.Equal(t, 100, b.Most(now.Add(500*time.Millisecond), 100))
}

func TestBulkRateHasBounds(t *testing.T) {
	t.Parallel()
	cfg := lane.DefaultConfig()
	for _, rate := range []int{-1, 0, 19, 1_000_001} {
		cfg.BulkRate = rate
		require.ErrorContains(t, cfg.Validate(), "BulkRate", rate)
	}
	for _, rate := range []int{20, 1_000_000} {
		cfg.BulkRate = rate
		require.NoError(t, cfg.Validate(), rate)
	}
}
