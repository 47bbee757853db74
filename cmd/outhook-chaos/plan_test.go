package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	o := options{Seed: 7, Duration: 10 * time.Minute, Every: 700 * time.Millisecond, Clocks: true}

	t.Run("IsTheSameForASeed", func(t *testing.T) {
		t.Parallel()
		other := o
		other.Seed = 8
		first, second := plan(o), plan(o)
		require.Equal(t, first, second)
		require.NotEqual(t, first, plan(other))
	})

	t.Run("HasEnoughOfEachKind", func(t *testing.T) {
		t.Parallel()
		drawn := map[kind]int{}
		for _, f := range plan(o) {
			require.Less(t, f.at, o.Duration)
			drawn[f.kind]++
		}
		for _, w := range weights() {
			require.Greater(t, drawn[w.kind], 5, w.kind)
		}
		require.Greater(t, drawn[killAfterAnswer], 60, "20 are to fall between answer and record")
	})

	t.Run("AddsWhatLastsForMinutesOnRequest", func(t *testing.T) {
		t.Parallel()
		long := o
		long.Long = true
		require.Len(t, plan(long), len(plan(o))+2)
	})
}
