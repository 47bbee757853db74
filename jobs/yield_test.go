package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs"
)

func TestBurstsYieldToOthers(t *testing.T) {
	t.Parallel()
	const rate = 2000
	began := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

	t.Run("WithoutOthersNothingIsBounded", func(t *testing.T) {
		t.Parallel()
		y := jobs.NewYield(rate)
		for i := range 100 {
			now := began.Add(time.Duration(i) * time.Millisecond)
			require.Equal(t, 100, y.Most(now, 100))
			y.Took(now, time.Millisecond, 100, 100)
		}
	})

	t.Run("WithOthersTheRateIsKept", func(t *testing.T) {
		t.Parallel()
		y, taken := jobs.NewYield(rate), 0
		for i := range 1000 {
			now := began.Add(time.Duration(i) * time.Millisecond)
			y.Other(now)
			n := y.Most(now, 100)
			y.Took(now, time.Millisecond, n, n)
			taken += n
		}
		require.InDelta(t, rate, taken, 0.06*rate, "in a second, with what was saved up in 50 ms")
	})

	t.Run("WhatWasNotTakenIsSavedUpFor50Milliseconds", func(t *testing.T) {
		t.Parallel()
		y, now := jobs.NewYield(rate), began.Add(time.Hour)
		y.Other(now)
		require.Equal(t, 100, y.Most(now, 500))
	})

	t.Run("TheBoundEndsASecondAfterTheOthers", func(t *testing.T) {
		t.Parallel()
		y, now := jobs.NewYield(rate), began
		y.Other(now)
		require.Equal(t, 100, y.Most(now.Add(time.Second), 500))
		require.Equal(t, 500, y.Most(now.Add(time.Second+time.Millisecond), 500))
	})

	t.Run("ASlowLookThatFindsLessIsNotRepeatedAtOnce", func(t *testing.T) {
		t.Parallel()
		y, now := jobs.NewYield(rate), began
		y.Took(now, 20*time.Millisecond, 0, 100)
		require.Zero(t, y.Most(now.Add(199*time.Millisecond), 100))
		require.Equal(t, 100, y.Most(now.Add(200*time.Millisecond), 100))
		y.Took(now, time.Minute, 99, 100)
		require.Zero(t, y.Most(now.Add(999*time.Millisecond), 100))
		require.Equal(t, 100, y.Most(now.Add(time.Second), 100), "but within a second")
		y.Took(now, time.Minute, 100, 100)
		require.Equal(t, 100, y.Most(now.Add(time.Second), 100), "all that was asked for was there")
		y.Took(now.Add(time.Second), time.Millisecond, 0, 100)
		require.Equal(t, 100, y.Most(now.Add(time.Second), 100), "it was quick")
	})
}

func TestBurstsSlowDownWhileLooksAreSlow(t *testing.T) {
	t.Parallel()
	const rate, step, yieldStep = 2000, 10 * time.Millisecond, 100 * time.Millisecond
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	y := jobs.NewYield(rate)
	// during lets others come and looks take d for a time, and returns how many a second of a burst go in its last second.
	during := func(d, span time.Duration, n int) (taken int) {
		for i := range int(span / step) {
			y.Looked(now, d, n)
			if most := y.Most(now, 100); most > 0 {
				y.Took(now, time.Millisecond, most, most)
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

	y = jobs.NewYield(rate)
	require.InDelta(t, rate, during(6*time.Millisecond, 5*time.Second, 1), 0.05*rate, "the database is far away")
	require.InDelta(t, rate, during(6*time.Millisecond, 2*time.Second, 1), 0.05*rate)
	for range 500 {
		y.Looked(now, time.Millisecond, 0)
	}
	require.InDelta(t, rate, during(6*time.Millisecond, time.Second, 1), 0.05*rate, "looks that bring nothing are quicker")
	for range 50 {
		now = now.Add(yieldStep)
		y.Looked(now, 50*time.Millisecond, 0)
		y.Looked(now, 6*time.Millisecond, 1)
	}
	require.Less(t, y.Most(now, 500), 100, "but may be slow, too")
	require.Equal(t, 500, y.Most(now.Add(2*time.Second), 500), "nobody else is there")
}

func TestBurstsRestWhenTheyFindNoTurn(t *testing.T) {
	t.Parallel()
	y, now := jobs.NewYield(2000), time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for i := range 1000 {
		y.Turn(now, i%50 == 49)
	}
	require.Equal(t, 100, y.Most(now, 100), "one of fifty got its turn")
	for range 50 {
		y.Turn(now, false)
	}
	require.Zero(t, y.Most(now.Add(499*time.Millisecond), 100))
	require.Equal(t, 100, y.Most(now.Add(500*time.Millisecond), 100))
}

func TestBurstIsDeliveredWhileItYields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	other, _ := b.endpoint(t, withTenant("other"))
	cfg := b.config(t)
	cfg.BulkRate = 100
	b.start(t, cfg)
	b.enqueueFor(t, "other", 1)
	b.awaitNonePending(t, other)

	const events = 150
	began := time.Now()
	b.exec(t, `SELECT count(*) FROM outhook.enqueue_many(array_fill($1::text, ARRAY[$2::int]), array_fill('invoice.paid'::text, ARRAY[$2::int]),
		array_fill('{}'::text, ARRAY[$2::int]))`, tenant, events)
	for b.pending(t, endpointID) > 0 {
		b.enqueueFor(t, "other", 1)
		b.awaitNonePending(t, other)
		require.Less(t, time.Since(began), time.Minute)
	}
	require.Greater(t, time.Since(began), time.Second, "100 a second, of which 5 were saved up")
}

func TestBulkRateHasBounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, rate := range []int{-1, 19, 1_000_001} {
		cfg := b.config(t)
		cfg.BulkRate = rate
		_, err := jobs.New(cfg)
		require.ErrorContains(t, err, "BulkRate", rate)
	}
	for _, rate := range []int{20, 1_000_000} {
		cfg := b.config(t)
		cfg.BulkRate = rate
		_, err := jobs.New(cfg)
		require.NoError(t, err, rate)
	}
}
