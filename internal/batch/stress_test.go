package batch_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/batch"
)

// TestDoStress has 64 callers make 100,000 calls, some of which they give up, in
// bounds so tight that groups, splits, withdrawals and refusals overlap all the
// time.
func TestDoStress(t *testing.T) {
	t.Parallel()

	const callers, each = 64, 1600
	errBad := errors.New("bad")
	commits := make([]atomic.Int32, callers*each)
	isBad := func(id int) bool { return id%97 == 0 }
	cfg := batch.Config{MaxItems: 16, MaxBytes: 64, Parallel: 3, MaxWaiting: 48, Split: func(err error) bool { return errors.Is(err, errBad) }}
	g := batch.New(cfg, func(id int) int { return id % 9 }, func(_ context.Context, in []int) ([]int, error) {
		runtime.Gosched()
		if slices.ContainsFunc(in, isBad) {
			return nil, errBad
		}
		for _, id := range in {
			commits[id].Add(1)
		}
		return in, nil
	})

	var wg sync.WaitGroup
	var faults, full, unknown, withdrawn atomic.Int64
	for caller := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(caller)))
			for i := range each {
				id := caller*each + i
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(4) == 0 {
					go cancel()
				}
				out, err := g.Do(ctx, id)
				ok := true
				switch {
				case err == nil:
					ok = out == id && commits[id].Load() == 1
				case errors.Is(err, errBad):
					ok = isBad(id)
				case errors.Is(err, batch.ErrFull):
					full.Add(1)
				case errors.Is(err, batch.ErrInFlight):
					unknown.Add(1)
				case errors.Is(err, context.Canceled):
					withdrawn.Add(1)
				default:
					ok = false
				}
				mayHaveRun := err == nil || errors.Is(err, batch.ErrInFlight)
				if !ok || !mayHaveRun && commits[id].Load() != 0 {
					faults.Add(1)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	require.NoError(t, g.Close(t.Context()))
	require.Zero(t, faults.Load())
	for id := range commits { // those in flight too: once, or never if withdrawn
		require.LessOrEqual(t, commits[id].Load(), int32(1))
	}
	s := g.Stats()
	require.Equal(t, s.Items, callers*each-full.Load()-withdrawn.Load())
	require.LessOrEqual(t, s.Largest, 16)
	require.Greater(t, s.Largest, 1)
	t.Logf("%+v; full %d, in flight %d, withdrawn %d", s, full.Load(), unknown.Load(), withdrawn.Load())
}
