package batch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/batch"
)

func TestDoFailures(t *testing.T) {
	t.Parallel()

	t.Run("ErrorGoesToAllOfItsGroupOnly", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{Split: func(err error) bool { return !errors.Is(err, errDown) }}, func(in []int) error {
				if len(in) > 1 {
					return errDown
				}
				return nil
			})
			done := b.callAll(t.Context(), 1, 2, 3)
			close(b.gate)
			require.Equal(t, result{out: -1}, <-done[0])
			require.Equal(t, result{err: errDown}, <-done[1])
			require.Equal(t, result{err: errDown}, <-done[2])
			require.Equal(t, result{out: -4}, <-b.call(t.Context(), 4))
			require.Equal(t, [][]int{{1}, {2, 3}, {4}}, b.started())
		})
	})

	t.Run("SplitHalvesInOrderUntilTheBadItemIsAlone", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			errBad := errors.New("six is bad")
			b := setup(t, batch.Config{Split: func(err error) bool { return errors.Is(err, errBad) }}, func(in []int) error {
				if slices.Contains(in, 6) {
					return errBad
				}
				return nil
			})
			done := b.callAll(t.Context(), 1, 2, 3, 4, 5, 6)
			close(b.gate)
			for i, d := range done {
				if want := i + 1; want == 6 {
					require.Equal(t, result{err: errBad}, <-d)
				} else {
					require.Equal(t, result{out: -want}, <-d)
				}
			}
			require.Equal(t, [][]int{{1}, {2, 3, 4, 5, 6}, {2, 3}, {4, 5, 6}, {4}, {5, 6}, {5}, {6}}, b.started())
			require.Equal(t, batch.Stats{Groups: 2, Items: 6, Largest: 5}, b.Stats())
		})
	})

	t.Run("GoodHalfIsAnsweredBeforeTheOtherRuns", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{Split: func(error) bool { return true }}, func(in []int) error {
				if slices.Contains(in, 3) {
					return errDown
				}
				return nil
			})
			done := b.callAll(t.Context(), 1, 2, 3)
			for range 3 {
				b.gate <- struct{}{} // {1}, {2 3}, {2}
			}
			require.Equal(t, result{out: -2}, <-done[1])
			requirePending(t, done[2])
			close(b.gate)
			require.Equal(t, result{err: errDown}, <-done[2])
		})
	})

	t.Run("PanicGoesToAllOfItsGroupAndTheNextRuns", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{}, func(in []int) error {
				if len(in) > 1 {
					panic(errDown)
				}
				return nil
			})
			done := b.callAll(t.Context(), 1, 2, 3)
			close(b.gate)
			require.Equal(t, result{out: -1}, <-done[0])
			for _, d := range done[1:] {
				err := (<-d).err
				require.EqualError(t, err, "batch: run panicked: database is down")
				require.NotErrorIs(t, err, errDown)
				var panicked *batch.PanicError
				require.ErrorAs(t, err, &panicked)
				require.Equal(t, errDown, panicked.Value)
				require.Contains(t, string(panicked.Stack), "group_test.go")
			}
			require.Equal(t, result{out: -4}, <-b.call(t.Context(), 4))
		})
	})

	t.Run("SplitMayIsolateAPanic", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{Split: func(error) bool { return true }}, func(in []int) error {
				if slices.Contains(in, 2) {
					panic("two")
				}
				return nil
			})
			done := b.callAll(t.Context(), 1, 2, 3)
			close(b.gate)
			require.ErrorContains(t, (<-done[1]).err, "run panicked: two")
			require.Equal(t, result{out: -3}, <-done[2])
		})
	})

	t.Run("GoexitLosesNeitherCallsNorTheSlot", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{Split: func(error) bool { return true }}, func(in []int) error {
				switch {
				case len(in) > 2:
					return errDown
				case slices.Contains(in, 4):
					runtime.Goexit()
				}
				return nil
			})
			done := b.callAll(t.Context(), 1, 2, 3, 4, 5)
			close(b.gate)
			for i, want := range []int{-1, -2, -3} { // answered before the half with 4
				require.Equal(t, result{out: want}, <-done[i])
			}
			require.EqualError(t, (<-done[3]).err, "batch: run ended its goroutine")
			require.EqualError(t, (<-done[4]).err, "batch: run ended its goroutine")
			require.Equal(t, result{out: -6}, <-b.call(t.Context(), 6))
			require.NoError(t, b.Close(t.Context()))
		})
	})

	t.Run("WrongNumberOfOutputsIsAnErrorAndNeverSplit", func(t *testing.T) {
		t.Parallel()
		for _, outs := range []int{0, 1, 3} {
			synctest.Test(t, func(t *testing.T) {
				gate, runs := make(chan struct{}), 0
				cfg := batch.Config{Split: func(error) bool { return true }}
				g := batch.New(cfg, intSize, func(_ context.Context, in []int) ([]int, error) {
					<-gate
					runs++
					if len(in) == 1 {
						return in, nil
					}
					return make([]int, outs), nil
				})
				b := &testBundle{Group: g}
				done := b.callAll(t.Context(), 1, 2, 3)
				close(gate)
				require.Equal(t, result{out: 1}, <-done[0])
				want := fmt.Sprintf("batch: run returned %d outputs for 2 inputs", outs)
				require.EqualError(t, (<-done[1]).err, want)
				require.EqualError(t, (<-done[2]).err, want)
				synctest.Wait()
				require.Equal(t, 2, runs)
			})
		}
	})
}
