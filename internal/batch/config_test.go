package batch_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/batch"
)

func TestConfigBoundsGroups(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		cfg  batch.Config
		in   []int // the sizes; the first is in flight while the others come
		want [][]int
	}{
		{"MaxItems", batch.Config{MaxItems: 2}, []int{1, 2, 3, 4, 5, 6}, [][]int{{1}, {2, 3}, {4, 5}, {6}}},
		{"MaxItemsOneNeverGroups", batch.Config{MaxItems: 1}, []int{1, 2, 3}, [][]int{{1}, {2}, {3}}},
		{"MaxBytesIsInclusive", batch.Config{MaxBytes: 10}, []int{1, 4, 6, 5, 6, 1}, [][]int{{1}, {4, 6}, {5}, {6, 1}}},
		{"FirstThatDoesNotFitIsNotOvertaken", batch.Config{MaxBytes: 10}, []int{1, 6, 7, 1}, [][]int{{1}, {6}, {7, 1}}},
		{"OversizeRunsAlone", batch.Config{MaxBytes: 10}, []int{1, 2, 11, 0, 3}, [][]int{{1}, {2}, {11}, {0, 3}}},
		{"DefaultMaxBytes", batch.Config{}, []int{1, 8 << 20, 0, 1}, [][]int{{1}, {8 << 20, 0}, {1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, tt.cfg, nil)
				done := b.callAll(t.Context(), tt.in...)
				close(b.gate)
				for i, d := range done {
					require.Equal(t, result{out: -tt.in[i]}, <-d)
				}
				require.Equal(t, tt.want, b.started())
			})
		})
	}

	t.Run("DefaultMaxItems", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{}, nil)
			done := b.callAll(t.Context(), make([]int, 502)...)
			close(b.gate)
			for _, d := range done {
				require.Equal(t, result{}, <-d)
			}
			require.Equal(t, batch.Stats{Groups: 3, Items: 502, Largest: 500}, b.Stats())
		})
	})

	t.Run("MaxWaitingRefusesAtOnce", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{Parallel: 2, MaxWaiting: 2}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			done := b.callAll(t.Context(), 1, 2, 3)
			withdrawn := b.call(ctx, 4)
			require.Equal(t, result{err: batch.ErrFull}, <-b.call(t.Context(), 5))

			cancel()
			require.Equal(t, result{err: context.Canceled}, <-withdrawn)
			done = append(done, b.call(t.Context(), 6)) // there is room again
			require.Equal(t, result{err: batch.ErrFull}, <-b.call(t.Context(), 7))
			close(b.gate)
			for i, want := range []int{-1, -2, -3, -6} {
				require.Equal(t, result{out: want}, <-done[i])
			}
		})
	})

	t.Run("MaxWaitingDoesNotCountCallsInAFreeSlot", func(t *testing.T) {
		t.Parallel()
		b := batch.New(batch.Config{Parallel: 64, MaxWaiting: 1}, intSize, echo)
		var wg sync.WaitGroup
		var full atomic.Int64
		for i := range 64 {
			wg.Go(func() {
				if _, err := b.Do(t.Context(), i); err != nil {
					full.Add(1)
				}
			})
		}
		wg.Wait()
		require.Zero(t, full.Load())
	})

	t.Run("NegativeLimitPanics", func(t *testing.T) {
		t.Parallel()
		for _, cfg := range []batch.Config{{MaxItems: -1}, {MaxBytes: -1}, {Parallel: -1}, {MaxWaiting: -1}} {
			require.Panics(t, func() { batch.New(cfg, intSize, echo) }, "%+v", cfg)
		}
	})
}
