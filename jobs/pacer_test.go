package jobs_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

func withRateLimit(n int32, per string, burst int32) endpointOption {
	return func(p *db.InsertEndpointParams) { p.RateLimit, p.RatePer, p.RateBurst = &n, per, burst }
}

// limited makes an endpoint with a rate limit, as the API does.
func (b *testBundle) limited(t *testing.T, n int32, per string, options ...endpointOption) uuid.UUID {
	t.Helper()
	id, _ := b.endpoint(t, append(options, withRateLimit(n, per, 1))...)
	require.NoError(t, db.New().InsertLane(b.ctx, b.pool, id))
	return id
}

// arrivals notes when requests arrive.
func (b *testBundle) arrivals(code int) (times func() []time.Time) {
	var mu sync.Mutex
	var list []time.Time
	b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		list = append(list, time.Now())
		mu.Unlock()
		w.WriteHeader(code)
	})
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()

	t.Run("HoldsOverAllWorkersAndTakesNoAttempts", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		times := b.arrivals(http.StatusNoContent)
		const rate, events = 20, 60
		endpointID := b.limited(t, rate, "second")
		b.enqueueFor(t, tenant, events)
		began := time.Now()
		for range 3 {
			b.start(t, b.config(t))
		}
		b.awaitNonePending(t, endpointID)
		at := times()
		require.Len(t, at, events)
		// A busy machine makes it slower, never quicker: what leaves late is made up for in a fraction of a second. The first
		// may arrive late, too, so that does not begin the time.
		require.Greater(t, at[events-1].Sub(began), time.Second*(events-1)/rate-600*time.Millisecond)
		require.Equal(t, events, b.count(t, `SELECT count(*) FROM outhook.delivery_attempts WHERE number = 1`))
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE metadata ? 'snoozes'`), "nothing is rescheduled")
	})

	t.Run("OneAMinuteIsOneAMinuteOverARestart", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		times := b.arrivals(http.StatusNoContent)
		endpointID := b.limited(t, 1, "minute")
		b.enqueueFor(t, tenant, 3)
		first, err := jobs.New(b.config(t))
		require.NoError(t, err)
		require.NoError(t, first.Start(b.ctx))
		eventually(t, func() bool { return b.pending(t, endpointID) == 2 }, func() any { return b.pending(t, endpointID) })
		require.NoError(t, first.Stop(b.ctx))
		var began, next time.Time
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT started_at FROM outhook.delivery_attempts`).Scan(&began))
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT next_at FROM outhook.lanes`).Scan(&next))
		require.InDelta(t, time.Minute.Seconds(), next.Sub(began).Seconds(), 6)

		b.start(t, b.config(t))
		b.provePacing(t)
		require.Len(t, times(), 2, "the one before the restart, and the other endpoint's")
		require.Equal(t, 2, b.pending(t, endpointID))

		b.exec(t, `UPDATE outhook.lanes SET next_at = next_at - interval '1 minute' WHERE endpoint_id = $1`, endpointID)
		eventually(t, func() bool { return b.pending(t, endpointID) == 1 }, func() any { return b.pending(t, endpointID) })
		b.provePacing(t)
		require.Equal(t, 1, b.pending(t, endpointID))
	})

	t.Run("ARetryWaitsForItsTurnToo", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		times := b.arrivals(http.StatusInternalServerError)
		endpointID := b.limited(t, 1, "minute", withSchedule(retry.Schedule{time.Second, time.Second}))
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 })
		// River brings the retry, and it goes back to wait.
		eventually(t, func() bool {
			state, queue := b.jobState(t, eventID, endpointID)
			return state == "available" && queue == "endpoint-"+endpointID.String()
		}, func() any { s, q := b.jobState(t, eventID, endpointID); return s + " " + q })
		require.Len(t, times(), 1)
		require.Equal(t, 1, b.count(t, `SELECT attempt FROM outhook.river_job WHERE kind = 'deliver'`))
		b.exec(t, `UPDATE outhook.lanes SET next_at = now()`)
		b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 2 })
	})

	t.Run("ABurstMayFollowAQuietTime", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		times := b.arrivals(http.StatusNoContent)
		endpointID, _ := b.endpoint(t, withRateLimit(1, "minute", 5))
		require.NoError(t, db.New().InsertLane(b.ctx, b.pool, endpointID))
		b.enqueueFor(t, tenant, 8)
		b.start(t, b.config(t))
		eventually(t, func() bool { return b.pending(t, endpointID) == 3 }, func() any { return b.pending(t, endpointID) })
		require.Len(t, times(), 5)
		b.provePacing(t)
		require.Equal(t, 3, b.pending(t, endpointID))
	})
}

// provePacing returns when the pacer has served another lane.
func (b *testBundle) provePacing(t *testing.T) {
	t.Helper()
	name := uuid.NewString()
	other, _ := b.endpoint(t, withTenant(name))
	b.openLane(t, other)
	b.enqueueFor(t, name, 1)
	b.awaitNonePending(t, other)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()

	t.Run("LengthensTheDelayAndHoldsTheEndpoint", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/throttled" {
				w.Header().Set("Retry-After", "120")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		endpointID, _ := b.endpoint(t, withURL(b.receiver.URL+"/throttled"), withSchedule(retry.Schedule{time.Second, time.Second}))
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		d := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 })
		require.NotNil(t, d.NextAttemptAt)
		var began time.Time
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT started_at FROM outhook.delivery_attempts`).Scan(&began))
		require.InDelta(t, 120, d.NextAttemptAt.Sub(began).Seconds(), 10)

		b.awaitLane(t, endpointID, ledger.LaneSlow)
		_, reason := b.laneOf(t, endpointID)
		require.Equal(t, "it answered 429", reason)
		b.enqueueFor(t, tenant, 3) // they wait with it
		b.provePacing(t)
		require.Equal(t, 4, b.pending(t, endpointID))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.delivery_attempts WHERE endpoint_id = $1`, endpointID))

		b.receiver.answers(status(http.StatusNoContent))
		b.exec(t, `UPDATE outhook.lanes SET held_until = now()`)
		eventually(t, func() bool { return b.pending(t, endpointID) == 1 }, func() any { return b.pending(t, endpointID) })
	})

	t.Run("TroubleOfAGatewaySlowsTheEndpoint", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusBadGateway))
		endpointID, _ := b.endpoint(t, withMaxInFlight(16))
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		d := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 })
		require.InDelta(t, 60, time.Until(*d.NextAttemptAt).Seconds(), 15, "the delivery keeps its schedule")
		b.awaitLane(t, endpointID, ledger.LaneSlow)
		require.Equal(t, 8, b.count(t, `SELECT width FROM outhook.lanes`))
		b.receiver.answers(status(http.StatusNoContent))
		b.enqueueFor(t, tenant, 5)
		eventually(t, func() bool { return b.pending(t, endpointID) == 1 }, func() any { return b.pending(t, endpointID) })
	})
}
