package dbclock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbclock"
)

func TestClock(t *testing.T) {
	t.Parallel()
	start := time.Now()

	t.Run("KeepsTheSampleWithTheShortestTrip", func(t *testing.T) {
		t.Parallel()
		c := &dbclock.Clock{}
		c.Sample(start, start.Add(2*time.Millisecond), start.Add(time.Millisecond).Add(time.Second))
		c.Sample(start.Add(time.Second), start.Add(time.Second+40*time.Millisecond), start.Add(2*time.Second+38*time.Millisecond))
		require.Equal(t, time.Second, c.Offset())
	})

	t.Run("FollowsAStepAtOnce", func(t *testing.T) {
		t.Parallel()
		c := &dbclock.Clock{}
		c.Sample(start, start.Add(2*time.Millisecond), start.Add(time.Millisecond))
		require.Zero(t, c.Offset())
		// This process's clock is set back by 2 minutes, and the next sample is a slow one.
		sent := start.Add(time.Second - 2*time.Minute)
		c.Sample(sent, sent.Add(40*time.Millisecond), start.Add(time.Second+20*time.Millisecond))
		require.Equal(t, 2*time.Minute, c.Offset())
	})
}
