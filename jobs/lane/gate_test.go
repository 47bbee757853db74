package lane_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/lane"
)

// synctest's clock stands still while somebody works, so these times are exact.
func TestGate(t *testing.T) {
	t.Parallel()
	const patience = time.Second

	t.Run("AnUnknownEndpointStartsNarrowAndWidens", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, id := lane.NewGate(), uuid.New()
			var started []time.Time
			for range 8 {
				at, err := g.Enter(t.Context(), id, 32, patience)
				require.NoError(t, err)
				started = append(started, at)
			}
			wait := time.Now()
			_, err := g.Enter(t.Context(), id, 32, patience)
			require.ErrorIs(t, err, lane.ErrBusy)
			require.Equal(t, patience, time.Since(wait))
			_, err = g.Enter(t.Context(), id, 32, patience)
			require.ErrorIs(t, err, lane.ErrBusy, "nothing has ended since")
			require.Equal(t, patience, time.Since(wait), "so it does not wait")

			for _, at := range started {
				require.Zero(t, g.Leave(id, at, time.Millisecond))
			}
			for range 16 {
				_, err := g.Enter(t.Context(), id, 32, 0)
				require.NoError(t, err)
			}
			_, err = g.Enter(t.Context(), uuid.New(), 1, 0)
			require.NoError(t, err, "another endpoint has a width of its own")
		})
	})

	t.Run("TheOneThatWaitsLongestIsNext", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, id := lane.NewGate(), uuid.New()
			at, err := g.Enter(t.Context(), id, 1, patience)
			require.NoError(t, err)
			turns := make(chan int, 2)
			for i := range 2 {
				go func() {
					at, err := g.Enter(t.Context(), id, 1, patience)
					if err == nil {
						turns <- i
						g.Leave(id, at, time.Millisecond)
					}
				}()
				synctest.Wait()
			}
			g.Leave(id, at, time.Millisecond)
			synctest.Wait()
			require.Equal(t, 0, <-turns)
			require.Equal(t, 1, <-turns)
		})
	})

	t.Run("FourThatTakeLongMakeItSlow", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, id := lane.NewGate(), uuid.New()
			for range 4 {
				_, err := g.Enter(t.Context(), id, 32, patience)
				require.NoError(t, err)
			}
			<-time.After(time.Second)
			_, err := g.Enter(t.Context(), id, 32, patience)
			require.NoError(t, err)
			<-time.After(time.Millisecond)
			_, err = g.Enter(t.Context(), id, 32, patience)
			require.ErrorIs(t, err, lane.ErrSlow)
		})
	})

	t.Run("CountsSlowOnesInARow", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, id := lane.NewGate(), uuid.New()
			for i, d := range []time.Duration{time.Second, 2 * time.Second, time.Millisecond, 3 * time.Second} {
				at, err := g.Enter(t.Context(), id, 32, patience)
				require.NoError(t, err)
				require.Equal(t, []int{1, 2, 0, 1}[i], g.Leave(id, at, d))
			}
		})
	})

	t.Run("RemembersABoundedNumberOfEndpoints", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, busy := lane.NewGate(), uuid.New()
			for range 8 {
				_, err := g.Enter(t.Context(), busy, 32, patience)
				require.NoError(t, err)
			}
			for range 50_000 {
				id := uuid.New()
				at, err := g.Enter(t.Context(), id, 32, patience)
				require.NoError(t, err)
				g.Leave(id, at, time.Millisecond)
				require.LessOrEqual(t, g.Remembered(), 10_000)
			}
			_, err := g.Enter(t.Context(), busy, 32, 0)
			require.ErrorIs(t, err, lane.ErrBusy, "it has requests under way")
		})
	})

	t.Run("AStopEndsTheWait", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, id := lane.NewGate(), uuid.New()
			at, err := g.Enter(t.Context(), id, 1, patience)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err = g.Enter(ctx, id, 1, patience)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			g.Leave(id, at, time.Millisecond)
			_, err = g.Enter(t.Context(), id, 1, 0)
			require.NoError(t, err, "it took no place")
		})
	})
}
