package batch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/outhook/outhook/internal/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type result struct {
	out int
	err error
}

// testBundle is a Group of ints, each its own size in bytes and answered with
// its negative. Its runs wait for a value from gate, or for its closing.
type testBundle struct {
	*batch.Group[int, int]

	gate chan struct{}
	mu   sync.Mutex
	runs [][]int
}

// setup returns a bundle inside the synctest bubble of t. fault, if not nil, is
// what a run does after the gate instead of answering: it returns an error.
func setup(t *testing.T, cfg batch.Config, fault func(in []int) error) *testBundle {
	t.Helper()
	b := &testBundle{gate: make(chan struct{})}
	b.Group = batch.New(cfg, func(v int) int { return v }, func(ctx context.Context, in []int) ([]int, error) {
		b.mu.Lock()
		b.runs = append(b.runs, slices.Clone(in))
		b.mu.Unlock()
		select {
		case <-b.gate:
		case <-ctx.Done():
			return nil, fmt.Errorf("inserting: %w", ctx.Err())
		}
		if fault != nil {
			if err := fault(in); err != nil {
				return nil, err
			}
		}
		out := make([]int, len(in))
		for i, v := range in {
			out[i] = -v
		}
		return out, nil
	})
	return b
}

// call starts one Do and returns once it runs, waits or has its result.
func (b *testBundle) call(ctx context.Context, v int) <-chan result {
	done := make(chan result, 1)
	go func() {
		out, err := b.Do(ctx, v)
		done <- result{out, err}
	}()
	synctest.Wait()
	return done
}

// callAll starts one Do per value, in order.
func (b *testBundle) callAll(ctx context.Context, values ...int) []<-chan result {
	var done []<-chan result
	for _, v := range values {
		done = append(done, b.call(ctx, v))
	}
	return done
}

func (b *testBundle) started() [][]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.runs)
}

func requirePending(t *testing.T, done <-chan result) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-done:
		require.Failf(t, "call returned early", "%+v", r)
	default:
	}
}

func TestDoCollects(t *testing.T) {
	t.Parallel()

	t.Run("IdleCallRunsAloneAtOnce", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{}, nil)
			close(b.gate)
			begin := time.Now()
			for v := range 3 {
				out, err := b.Do(t.Context(), v)
				require.NoError(t, err)
				require.Equal(t, -v, out)
			}
			require.Zero(t, time.Since(begin), "no fixed delay")
			require.Equal(t, [][]int{{0}, {1}, {2}}, b.started())
		})
	})

	t.Run("CallsDuringAGroupMakeUpTheNext", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{}, nil)
			done := b.callAll(t.Context(), 1, 2, 3, 4)
			require.Equal(t, [][]int{{1}}, b.started())
			require.Equal(t, batch.Stats{Groups: 1, Items: 1, Largest: 1, Waiting: 3}, b.Stats())

			b.gate <- struct{}{}
			require.Equal(t, result{out: -1}, <-done[0])
			synctest.Wait()
			require.Equal(t, [][]int{{1}, {2, 3, 4}}, b.started())
			requirePending(t, done[1])

			b.gate <- struct{}{}
			for i, d := range done[1:] {
				require.Equal(t, result{out: -(i + 2)}, <-d)
			}
			require.Equal(t, batch.Stats{Groups: 2, Items: 4, Largest: 3}, b.Stats())
		})
	})

	t.Run("ABusySlotDoesNotBlockTheOther", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			stuck := make(chan struct{})
			b := setup(t, batch.Config{Parallel: 2}, func(in []int) error {
				if in[0] == 1 {
					<-stuck
				}
				return nil
			})
			close(b.gate)
			first := b.call(t.Context(), 1)
			for v := 2; v < 10; v++ {
				require.Equal(t, result{out: -v}, <-b.call(t.Context(), v))
			}
			requirePending(t, first)
			close(stuck)
			require.Equal(t, result{out: -1}, <-first)
		})
	})

	t.Run("ParallelBoundsTheGroupsInFlight", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{Parallel: 3}, nil)
			b.callAll(t.Context(), 1, 2, 3, 4, 5)
			require.ElementsMatch(t, [][]int{{1}, {2}, {3}}, b.started())
			require.Equal(t, 2, b.Stats().Waiting)
			b.gate <- struct{}{}
			synctest.Wait()
			require.Equal(t, []int{4, 5}, b.started()[3])
			close(b.gate)
		})
	})
}

// lateContext ends when it is first waited for, right after before.
type lateContext struct {
	context.Context //nolint:containedctx // a context that wraps another

	before func()
	cancel context.CancelFunc
}

func (c lateContext) Done() <-chan struct{} {
	c.before()
	c.cancel()
	return c.Context.Done()
}

func TestDoContext(t *testing.T) {
	t.Parallel()

	t.Run("EndedContextNeverRuns", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		g := batch.New(batch.Config{}, intSize, echo)
		_, err := g.Do(ctx, 1)
		require.Equal(t, context.Canceled, err)
		require.Zero(t, g.Stats())
	})

	t.Run("WaitingCallIsWithdrawnFromAnywhere", func(t *testing.T) {
		t.Parallel()
		for _, gone := range [][]int{{2}, {3}, {4}, {2, 3}, {3, 4}, {2, 4}, {4, 3, 2}} {
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, batch.Config{}, nil)
				cancels := map[int]context.CancelFunc{}
				done := map[int]<-chan result{}
				for v := 1; v <= 4; v++ {
					ctx, cancel := context.WithCancel(t.Context())
					cancels[v] = cancel
					done[v] = b.call(ctx, v)
				}
				for _, v := range gone {
					cancels[v]()
					require.Equal(t, result{err: context.Canceled}, <-done[v])
				}
				require.Equal(t, 3-len(gone), b.Stats().Waiting)
				done[5] = b.call(t.Context(), 5)
				close(b.gate)

				want := slices.DeleteFunc([]int{2, 3, 4, 5}, func(v int) bool { return slices.Contains(gone, v) })
				for _, v := range want {
					require.Equal(t, result{out: -v}, <-done[v])
				}
				require.Equal(t, [][]int{{1}, want}, b.started())
				for _, cancel := range cancels {
					cancel()
				}
			})
		}
	})

	t.Run("CallInFlightIsLeftToItsGroup", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{}, nil)
			first := b.call(t.Context(), 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			left, stays := b.call(ctx, 2), b.call(t.Context(), 3)
			b.gate <- struct{}{}
			require.Equal(t, result{out: -1}, <-first)

			err := (<-left).err
			require.ErrorIs(t, err, batch.ErrInFlight)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			requirePending(t, stays)
			b.gate <- struct{}{}
			require.Equal(t, result{out: -3}, <-stays, "the run's context is nobody's")
			require.Equal(t, [][]int{{1}, {2, 3}}, b.started())
		})
	})

	t.Run("AnswerWinsOverTheEndOfContext", func(t *testing.T) {
		t.Parallel()
		for range 20 { // Do finds both at the same time, and may pick either
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				b := setup(t, batch.Config{}, nil)
				close(b.gate)
				done := make(chan result)
				late := lateContext{ctx, synctest.Wait, cancel}
				go func() {
					out, err := b.Do(late, 7)
					done <- result{out, err}
				}()
				require.Equal(t, result{out: -7}, <-done)
			})
		}
	})

	t.Run("ContextErrorOfRunIsMarkedInFlight", func(t *testing.T) {
		t.Parallel()
		for _, fault := range []error{context.Canceled, context.DeadlineExceeded} {
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, batch.Config{}, func([]int) error { return fmt.Errorf("committing: %w", fault) })
				close(b.gate)
				err := (<-b.call(t.Context(), 1)).err
				require.ErrorIs(t, err, batch.ErrInFlight)
				require.ErrorIs(t, err, fault)
				require.ErrorContains(t, err, "committing")
			})
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()

	t.Run("IdleClosesAtOnceAndAgain", func(t *testing.T) {
		t.Parallel()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		g := batch.New(batch.Config{}, intSize, echo)
		for range 20 { // an ended context changes nothing where there is nothing to wait for
			require.NoError(t, g.Close(ended))
		}
		_, err := g.Do(t.Context(), 1)
		require.Equal(t, batch.ErrClosed, err)
	})

	t.Run("FinishesWhatRunsAndWhatWaits", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{MaxItems: 2}, nil)
			done := b.callAll(t.Context(), 1, 2, 3, 4)
			closed := make(chan error, 2)
			for range 2 {
				go func() { closed <- b.Close(t.Context()) }()
			}
			synctest.Wait()
			require.Equal(t, result{err: batch.ErrClosed}, <-b.call(t.Context(), 5))
			for range 3 {
				require.Empty(t, closed)
				b.gate <- struct{}{}
				synctest.Wait()
			}
			require.NoError(t, <-closed)
			require.NoError(t, <-closed)
			for i, d := range done {
				require.Equal(t, result{out: -(i + 1)}, <-d)
			}
			require.Equal(t, [][]int{{1}, {2, 3}, {4}}, b.started())
		})
	})

	t.Run("EndOfContextCancelsRunsAndSendsWaitersAway", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, batch.Config{Parallel: 2}, nil)
			done := b.callAll(t.Context(), 1, 2, 3, 4)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.Equal(t, context.DeadlineExceeded, b.Close(ctx))
			for _, d := range done[:2] {
				err := (<-d).err
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, batch.ErrInFlight)
			}
			require.Equal(t, result{err: batch.ErrClosed}, <-done[2])
			require.Equal(t, result{err: batch.ErrClosed}, <-done[3])
			require.ElementsMatch(t, [][]int{{1}, {2}}, b.started())
		})
	})

	t.Run("SentAwayWinsOverTheEndOfTheCallersContext", func(t *testing.T) {
		t.Parallel()
		for range 20 { // Do finds both at the same time, and may pick either
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, batch.Config{}, nil)
				b.call(t.Context(), 1)
				ctx, cancel := context.WithCancel(t.Context())
				ended, end := context.WithCancel(t.Context())
				end()
				var closed error
				closing := func() { closed = b.Close(ended) }
				require.Equal(t, result{err: batch.ErrClosed}, <-b.call(lateContext{ctx, closing, cancel}, 2))
				require.Equal(t, context.Canceled, closed)
				require.Equal(t, batch.Stats{Groups: 1, Items: 1, Largest: 1}, b.Stats())
			})
		}
	})

	t.Run("WaitsForARunThatIgnoresItsContext", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			g := batch.New(batch.Config{}, intSize, func(ctx context.Context, in []int) ([]int, error) {
				<-release
				return in, nil
			})
			b := &testBundle{Group: g}
			done := b.call(t.Context(), 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			closed := make(chan error, 1)
			go func() { closed <- b.Close(ctx) }()
			<-ctx.Done()
			synctest.Wait()
			require.Empty(t, closed)
			close(release)
			require.Equal(t, context.DeadlineExceeded, <-closed)
			require.Equal(t, result{out: 1}, <-done, "it did finish")
		})
	})

	t.Run("EndsTheContextOfRun", func(t *testing.T) {
		t.Parallel()
		var ended func() error
		g := batch.New(batch.Config{}, intSize, func(ctx context.Context, in []int) ([]int, error) {
			ended = ctx.Err
			return in, ctx.Err()
		})
		_, err := g.Do(t.Context(), 1)
		require.NoError(t, err)
		require.NoError(t, ended())
		require.NoError(t, g.Close(t.Context()))
		require.Equal(t, context.Canceled, ended())
	})

	t.Run("DuringLoadLosesNothing", func(t *testing.T) {
		t.Parallel()
		for round := range 200 {
			var committed, answered, running atomic.Int64
			g := batch.New(batch.Config{MaxItems: 5, Parallel: 1 + round%3}, intSize, func(_ context.Context, in []int) ([]int, error) {
				running.Add(1)
				defer running.Add(-1)
				runtime.Gosched()
				committed.Add(int64(len(in)))
				return in, nil
			})
			var callers sync.WaitGroup
			ready := make(chan struct{}, 16)
			for range cap(ready) {
				callers.Go(func() {
					for i := 0; ; i++ {
						out, err := g.Do(t.Context(), i)
						if errors.Is(err, batch.ErrClosed) {
							return
						}
						if err == nil && out == i {
							answered.Add(1)
						}
						if i == 2 {
							ready <- struct{}{}
						}
					}
				})
			}
			<-ready
			require.NoError(t, g.Close(t.Context()))
			require.Zero(t, running.Load())
			after := committed.Load()
			callers.Wait()
			require.Equal(t, after, committed.Load(), "nothing runs after Close")
			require.Equal(t, after, answered.Load())
		}
	})
}

func TestDoKeepsNothingOfACallThatEnded(t *testing.T) {
	t.Parallel()
	g := batch.New(batch.Config{}, func(*[]byte) int { return 0 }, func(_ context.Context, in []*[]byte) ([]*[]byte, error) {
		return in, nil
	})
	var kept []weak.Pointer[[]byte]
	for range 10 {
		payload := new([]byte)
		kept = append(kept, weak.Make(payload))
		_, err := g.Do(t.Context(), payload)
		require.NoError(t, err)
	}
	require.NoError(t, g.Close(t.Context()))
	runtime.GC() // one leaves what sync.Pool holds, two would not
	for _, w := range kept {
		require.Nil(t, w.Value())
	}
	runtime.KeepAlive(g)
}
