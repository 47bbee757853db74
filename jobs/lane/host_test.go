package lane_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/lane"
)

// synctest's clock stands still while somebody works, so these times are exact.
func TestHosts(t *testing.T) {
	t.Parallel()
	site := lane.Site{TenantID: "acme", Host: "hooks.example"}
	enter := func(t *testing.T, h *lane.Hosts, site lane.Site, quick bool) time.Duration {
		t.Helper()
		hold, err := h.Enter(t.Context(), site, quick)
		require.NoError(t, err)
		return hold
	}

	t.Run("BoundsOneTenantAndHost", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := lane.NewHosts(4, 0)
			for range 4 {
				require.Zero(t, enter(t, h, site, true))
			}
			began := time.Now()
			require.Equal(t, 1250*time.Millisecond, enter(t, h, site, true))
			require.Equal(t, 250*time.Millisecond, time.Since(began))
			began = time.Now()
			require.Equal(t, 1500*time.Millisecond, enter(t, h, site, true), "a quarter of a second behind the one before")
			require.Zero(t, time.Since(began), "nothing has ended since, so it does not wait")
			require.Zero(t, enter(t, h, lane.Site{TenantID: "acme", Host: "other.example"}, true))
			require.Zero(t, enter(t, h, lane.Site{TenantID: "other", Host: "hooks.example"}, true))

			h.Leave(site, time.Millisecond)
			require.Zero(t, enter(t, h, site, true))
		})
	})

	t.Run("LeavesHalfToThoseThatAreQuick", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := lane.NewHosts(4, 0)
			require.Zero(t, enter(t, h, site, false))
			require.Zero(t, enter(t, h, site, false))
			require.NotZero(t, enter(t, h, site, false))
			require.Zero(t, enter(t, h, site, true))
			require.Zero(t, enter(t, h, site, true))
			require.NotZero(t, enter(t, h, site, true))
		})
	})

	t.Run("WaitsForAHostThatAnswersAtOnce", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := lane.NewHosts(2, 0)
			ended := make(chan time.Duration, 40)
			for range cap(ended) {
				go func() {
					hold, err := h.Enter(t.Context(), site, true)
					if err == nil && hold == 0 {
						<-time.After(5 * time.Millisecond)
						h.Leave(site, 5*time.Millisecond)
					}
					ended <- hold
				}()
			}
			began := time.Now()
			for range cap(ended) {
				require.Zero(t, <-ended)
			}
			require.Equal(t, 100*time.Millisecond, time.Since(began), "40 of them, two at a time")
			require.Zero(t, h.Remembered())
		})
	})

	t.Run("LetsFewWaitForAHostThatTakesItsTime", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := lane.NewHosts(2, 0)
			require.Zero(t, enter(t, h, site, true))
			require.Zero(t, enter(t, h, site, true))
			for range 50 {
				h.Leave(site, 2*time.Second)
				require.Zero(t, enter(t, h, site, true))
			}
			began := time.Now()
			require.NotZero(t, enter(t, h, site, true))
			require.Zero(t, time.Since(began))
		})
	})

	t.Run("BoundsRequestsPerSecond", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := lane.NewHosts(100, 10)
			visit := func() time.Duration {
				hold := enter(t, h, site, true)
				if hold == 0 {
					h.Leave(site, time.Millisecond)
				}
				return hold
			}
			for range 10 {
				require.Zero(t, visit())
			}
			require.Equal(t, 1100*time.Millisecond, visit())
			require.Equal(t, 1200*time.Millisecond, visit(), "their turns are as far apart as the rate has it")
			<-time.After(100 * time.Millisecond)
			require.Zero(t, visit())
			require.NotZero(t, visit())
		})
	})

	t.Run("AStopEndsTheWait", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := lane.NewHosts(2, 0)
			require.Zero(t, enter(t, h, site, true))
			require.Zero(t, enter(t, h, site, true))
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := h.Enter(ctx, site, true)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			h.Leave(site, time.Millisecond)
			require.Zero(t, enter(t, h, site, true), "it took no place")
		})
	})

	t.Run("RemembersABoundedNumber", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := lane.NewHosts(2, 1)
			for i := range 20_000 {
				site := lane.Site{TenantID: "acme", Host: strconv.Itoa(i)}
				require.Zero(t, enter(t, h, site, true))
				require.NotZero(t, enter(t, h, site, true))
				h.Leave(site, time.Millisecond)
			}
			require.LessOrEqual(t, h.Remembered(), 10_000)
		})
	})
}
