package dbclock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbclock"
)

func TestClock(t *testing.T) {
	t.Parallel()
	const exact = 50 * time.Microsecond // between two readings of a clock
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }

	t.Run("KeepsTheSampleWithTheShortestTrip", func(t *testing.T) {
		t.Parallel()
		c := &dbclock.Clock{}
		c.Sample(start, at(2*time.Millisecond), at(time.Second+time.Millisecond))
		c.Sample(at(time.Second), at(time.Second+40*time.Millisecond), at(2*time.Second+38*time.Millisecond))
		require.InDelta(t, time.Second, c.Offset(), float64(exact))
		require.Equal(t, time.Millisecond, c.Error())
	})

	t.Run("TakesAWorseOneAfterAMinute", func(t *testing.T) {
		t.Parallel()
		c := &dbclock.Clock{}
		c.Sample(start, at(2*time.Millisecond), at(time.Second+time.Millisecond))
		later := time.Minute + time.Second
		c.Sample(at(later), at(later+40*time.Millisecond), at(later+time.Second+38*time.Millisecond))
		require.InDelta(t, time.Second+18*time.Millisecond, c.Offset(), float64(exact))
	})

	t.Run("FollowsTheDatabaseAtOnce", func(t *testing.T) {
		t.Parallel()
		c := &dbclock.Clock{}
		c.Sample(start, at(2*time.Millisecond), at(time.Millisecond))
		require.InDelta(t, 0, c.Offset(), float64(exact))
		// The database's clock is set ahead by 2 minutes, and the next sample is a slow one.
		c.Sample(at(time.Second), at(time.Second+40*time.Millisecond), at(2*time.Minute+time.Second+20*time.Millisecond))
		require.InDelta(t, 2*time.Minute, c.Offset(), float64(exact))
	})

	t.Run("IsTheProcesssBeforeTheFirst", func(t *testing.T) {
		t.Parallel()
		c := &dbclock.Clock{}
		require.Zero(t, c.Offset())
		require.Zero(t, c.Error())
		require.WithinDuration(t, time.Now(), c.Now(), time.Second)
	})
}
