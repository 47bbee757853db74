package batch_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/internal/batch"
)

// inTurns replaces the bundle's group by one in which values of the same hundreds have one turn.
func (b *testBundle) inTurns(cfg batch.Config) {
	b.Group = batch.NewInTurns(cfg, intSize, func(v int) string { return strconv.Itoa(v / 100) },
		func(_ context.Context, in []int) ([]int, error) {
			b.mu.Lock()
			b.runs = append(b.runs, append([]int{}, in...))
			b.mu.Unlock()
			<-b.gate
			return in, nil
		})
}

func TestTurns(t *testing.T) {
	t.Parallel()

	t.Run("Alternate", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{}, nil)
			b.inTurns(batch.Config{MaxItems: 3})
			ctx, cancel := context.WithCancel(t.Context())
			done := b.callAll(t.Context(), 100, 101, 102, 103, 104, 200)
			withdrawn := b.call(ctx, 400)
			done = append(done, b.callAll(t.Context(), 300, 301)...)
			cancel()
			require.ErrorIs(t, (<-withdrawn).err, context.Canceled)
			close(b.gate)
			for _, d := range done {
				require.NoError(t, (<-d).err)
			}
			require.Equal(t, [][]int{{100}, {101, 200, 300}, {102, 301, 103}, {104}}, b.started())
		})
	})

	t.Run("OneHasHalfOfThePlaces", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{}, nil)
			b.inTurns(batch.Config{MaxItems: 1, MaxWaiting: 4})
			done := b.callAll(t.Context(), 100, 101, 102)
			require.Equal(t, result{err: batch.ErrFull}, <-b.call(t.Context(), 103))
			done = append(done, b.callAll(t.Context(), 200, 300)...)
			require.Equal(t, result{err: batch.ErrFull}, <-b.call(t.Context(), 400))
			close(b.gate)
			for _, d := range done {
				require.NoError(t, (<-d).err)
			}
		})
	})
}

// Whatever comes and is withdrawn: all others run once, those of a turn in their order, and no turn comes a second
// time before each that waits has come once.
func TestTurnsAreFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		calls := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 40).Draw(rt, "turns")
		left := rapid.SliceOfN(rapid.Bool(), len(calls), len(calls)).Draw(rt, "withdrawn")
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{}, nil)
			b.inTurns(batch.Config{MaxItems: 1})
			first := b.call(t.Context(), 9900)
			ctx, cancel := context.WithCancel(t.Context())
			var done []<-chan result
			waiting := map[int][]int{}
			for i, turn := range calls {
				v := turn*100 + i
				if left[i] {
					b.call(ctx, v)
					continue
				}
				done = append(done, b.call(t.Context(), v))
				waiting[turn] = append(waiting[turn], v)
			}
			cancel()
			synctest.Wait()
			close(b.gate)
			require.NoError(t, (<-first).err)
			for _, d := range done {
				require.NoError(t, (<-d).err)
			}

			came := map[int]int{}
			for _, run := range b.started()[1:] {
				turn := run[0] / 100
				require.Equal(t, waiting[turn][0], run[0])
				waiting[turn] = waiting[turn][1:]
				came[turn]++
				for other, list := range waiting {
					require.False(t, len(list) > 0 && came[other] < came[turn]-1, "turn %d came %d times before turn %d", turn, came[turn], other)
				}
			}
			for _, list := range waiting {
				require.Empty(t, list)
			}
		})
	})
}
