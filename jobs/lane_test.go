package jobs_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

// hanging answers nothing on its path until it is released, and counts how many requests hang at the same time.
type hanging struct {
	path     string
	released chan struct{}
	once     sync.Once
	now, max atomic.Int64
}

func (b *testBundle) hangPath(t *testing.T) *hanging {
	t.Helper()
	h := &hanging{path: "/" + uuid.NewString(), released: make(chan struct{})}
	t.Cleanup(h.release)
	b.receiver.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == h.path {
			n := h.now.Add(1)
			defer h.now.Add(-1)
			b.receiver.mu.Lock()
			h.max.Store(max(h.max.Load(), n))
			b.receiver.mu.Unlock()
			select {
			case <-h.released:
			case <-r.Context().Done():
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return h
}

func (h *hanging) release() { h.once.Do(func() { close(h.released) }) }

func (b *testBundle) laneOf(t *testing.T, endpointID uuid.UUID) (lane, reason string) {
	t.Helper()
	n, err := db.New().GetEndpoint(b.ctx, b.pool, endpointID)
	require.NoError(t, err)
	return n.Lane, n.LaneReason
}

// pacing returns the client id of the process that paces, or "".
func (b *testBundle) pacing(t *testing.T) (holder string) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT coalesce(max(holder), '') FROM outhook.leases WHERE name = 'pacer'`).Scan(&holder))
	return holder
}

func (b *testBundle) awaitLane(t *testing.T, endpointID uuid.UUID, lane string) {
	t.Helper()
	var last string
	eventually(t, func() bool { last, _ = b.laneOf(t, endpointID); return last == lane }, func() any { return last })
}

func (b *testBundle) pending(t *testing.T, endpointID uuid.UUID) int {
	t.Helper()
	return b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE endpoint_id = $1 AND state = 'pending'`, endpointID)
}

func (b *testBundle) awaitNonePending(t *testing.T, endpointID uuid.UUID) {
	t.Helper()
	var n int
	eventually(t, func() bool { n = b.pending(t, endpointID); return n == 0 }, func() any { return n })
}

// openLane gives an endpoint a lane, as many requests in a row that are slow do.
func (b *testBundle) openLane(t *testing.T, endpointID uuid.UUID) {
	t.Helper()
	require.NoError(t, db.New().SlowEndpoints(b.ctx, b.pool, db.SlowEndpointsParams{
		EndpointIDs: []uuid.UUID{endpointID}, Reasons: []string{"by the test"}, HoldSeconds: []float64{0}, Throttled: []bool{false},
		MaxLanes: 10, ProveMS: 3_600_000,
	}))
}

func (b *testBundle) closeLane(t *testing.T, endpointID uuid.UUID) {
	t.Helper()
	b.exec(t, `UPDATE outhook.lanes SET slow_at = 'epoch' WHERE endpoint_id = $1`, endpointID)
	closed, err := db.New().CloseLanes(b.ctx, b.pool)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{endpointID}, closed)
}

func withMaxInFlight(n int32) endpointOption {
	return func(p *db.InsertEndpointParams) { p.MaxInFlight = n }
}

func withTenant(tenantID string) endpointOption {
	return func(p *db.InsertEndpointParams) { p.TenantID = tenantID }
}

func (b *testBundle) enqueueFor(t *testing.T, tenantID string, n int) {
	t.Helper()
	for range n {
		b.exec(t, `SELECT outhook.enqueue($1, 'invoice.paid', '{}'::text)`, tenantID)
	}
}

func TestHangingEndpointTakesNoSlotsFromOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hangPath(t)
	hanging, _ := b.endpoint(t, withTenant("slow"), withURL(b.receiver.URL+h.path))
	healthy, _ := b.endpoint(t)
	b.enqueueFor(t, "slow", 100)
	b.enqueueFor(t, tenant, 10)
	cfg := b.config(t)
	cfg.River.MaxWorkers = 20 // with 100 that hang in front of the others
	cfg.Lane.Prove = time.Second
	b.start(t, cfg)

	b.awaitNonePending(t, healthy)
	require.Equal(t, 100, b.pending(t, hanging))
	b.awaitLane(t, hanging, ledger.LaneSlow)
	_, reason := b.laneOf(t, hanging)
	require.NotEmpty(t, reason)
	b.enqueueFor(t, "slow", 10)
	b.enqueueFor(t, tenant, 10)
	b.awaitNonePending(t, healthy)
	lane, _ := b.laneOf(t, healthy)
	require.Equal(t, ledger.LaneNone, lane)
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE args ->> 'endpoint_id' = $1 AND attempt > 1`, hanging.String()),
		"being set aside takes no attempt")

	h.release()
	b.awaitNonePending(t, hanging)
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE endpoint_id = $1 AND state <> 'succeeded'`, hanging))
	b.awaitLane(t, hanging, ledger.LaneNone)
}

// Many endpoints of one tenant don't bring down the host that they all lead to, and what is too much waits in nobody's way.
func TestRequestsOfATenantToAHostAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hangPath(t)
	flood := func(p *db.InsertEndpointParams) { p.TenantID, p.URL = "flood", b.receiver.URL+h.path }
	for range 4 {
		b.endpoint(t, flood)
	}
	healthy, _ := b.endpoint(t)
	b.enqueueFor(t, "flood", 3)
	b.enqueueFor(t, tenant, 10)
	cfg := b.config(t)
	cfg.River.MaxWorkers, cfg.Lane.MaxPerHost = 6, 4
	b.start(t, cfg)

	b.awaitNonePending(t, healthy)
	eventually(t, func() bool { return h.now.Load() == 2 }, func() any { return h.now.Load() })
	h.release()
	const waits = `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`
	eventually(t, func() bool { return b.count(t, waits) == 0 }, func() any { return b.count(t, waits) })
	require.EqualValues(t, 2, h.max.Load(), "half of what may be under way, for endpoints that have not answered yet")
	require.Equal(t, 12+10, b.count(t, `SELECT count(*) FROM outhook.delivery_attempts WHERE number = 1 AND outcome = 'succeeded'`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.endpoints WHERE lane <> ''`))
}

func TestMaxInFlightIsATotalInALane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hangPath(t)
	endpointID, _ := b.endpoint(t, withURL(b.receiver.URL+h.path), withMaxInFlight(3))
	b.openLane(t, endpointID)
	b.enqueueFor(t, tenant, 12)
	for range 2 {
		b.start(t, b.config(t))
	}
	eventually(t, func() bool { return h.now.Load() == 3 }, func() any { return h.now.Load() })
	require.Equal(t, 9, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = 'endpoint-' || $1::uuid AND attempt = 0`, endpointID))
	h.release()
	b.awaitNonePending(t, endpointID)
	require.EqualValues(t, 3, h.max.Load())
	require.Equal(t, 12, b.count(t, `SELECT count(*) FROM outhook.delivery_attempts`))
}

// A tenant whose endpoints all hang leaves places for another's slow one.
func TestSlowEndpointsOfATenantLeavePlaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hangPath(t)
	for range 6 {
		id, _ := b.endpoint(t, withTenant("greedy"), withURL(b.receiver.URL+h.path), func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
		b.openLane(t, id)
	}
	b.enqueueFor(t, "greedy", 3)
	cfg := b.config(t)
	cfg.Lane.MaxSlowWorkers = 4
	b.start(t, cfg)
	eventually(t, func() bool { return h.now.Load() == 3 }, func() any { return h.now.Load() })

	other, _ := b.endpoint(t)
	b.openLane(t, other)
	b.enqueueFor(t, tenant, 3)
	b.awaitNonePending(t, other)
	require.EqualValues(t, 3, h.now.Load(), "three of four places")
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.delivery_attempts WHERE endpoint_id <> $1`, other))
}

func TestStrandedJobsComeBack(t *testing.T) {
	t.Parallel()

	t.Run("OfATransactionThatReadTheLane", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.openLane(t, endpointID)
		tx, err := b.pool.Begin(b.ctx)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback(context.WithoutCancel(b.ctx)) }()
		_, err = tx.Exec(b.ctx, `SELECT outhook.enqueue($1, 'invoice.paid', '{}'::text)`, tenant)
		require.NoError(t, err)
		b.closeLane(t, endpointID)
		require.NoError(t, tx.Commit(b.ctx))
		// It was closed a while ago.
		b.exec(t, `UPDATE outhook.endpoints SET lane_changed_at = now() - interval '6 min', status_changed_at = now() - interval '6 min'`)
		require.Equal(t, map[string]int{"deliveries_in_idle_queues": 1}, b.inspect(t))

		b.start(t, b.config(t))
		b.awaitNonePending(t, endpointID)
		require.Empty(t, b.inspect(t))
	})

	t.Run("OfARetry", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.openLane(t, endpointID)
		b.enqueueFor(t, tenant, 120)
		b.exec(t, `UPDATE outhook.river_job SET state = 'retryable', scheduled_at = now() + interval '1 s'`)
		b.closeLane(t, endpointID)
		b.start(t, b.config(t))
		b.awaitNonePending(t, endpointID)
		require.Equal(t, 120, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = outhook.bulk_queue($1) AND kind = 'deliver'`, tenant),
			"many do not stand in front of everybody")
	})
}

func TestLanesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hangPath(t)
	var ids []uuid.UUID
	for range 3 {
		id, _ := b.endpoint(t, withURL(b.receiver.URL+h.path))
		ids = append(ids, id)
	}
	b.enqueueFor(t, tenant, 40)
	cfg := b.config(t)
	cfg.Lane.MaxLanes, cfg.Lane.Prove = 2, time.Second
	b.start(t, cfg)
	var lanes []int
	eventually(t, func() bool {
		lanes = []int{
			b.count(t, `SELECT count(*) FROM outhook.endpoints WHERE lane = 'slow'`), b.count(t, `SELECT count(*) FROM outhook.endpoints WHERE lane = 'bulk'`),
		}
		return lanes[0] == 2 && lanes[1] == 1
	}, func() any { return lanes })
	other, _ := b.endpoint(t, withTenant("other"))
	b.enqueueFor(t, "other", 5)
	b.awaitNonePending(t, other)
	h.release()
	for _, id := range ids {
		b.awaitNonePending(t, id)
		b.awaitLane(t, id, ledger.LaneNone)
	}
}

func TestPacerSurvives(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.openLane(t, endpointID)
	first, err := jobs.New(b.config(t))
	require.NoError(t, err)
	require.NoError(t, first.Start(b.ctx))
	eventually(t, func() bool { return b.pacing(t) == first.River().ID() }, func() any { return b.pacing(t) })
	b.enqueueFor(t, tenant, 3)
	b.awaitNonePending(t, endpointID)

	// Its connection is lost.
	eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE '-- name: LookAtLanes%') AS k`) == 1
	}, func() any { return "the pacer's session was not found" })
	b.enqueueFor(t, tenant, 3)
	b.awaitNonePending(t, endpointID)
	require.Equal(t, first.River().ID(), b.pacing(t))

	// Its process ends.
	second := b.start(t, b.config(t))
	require.NoError(t, first.Stop(b.ctx))
	require.NotEqual(t, first.River().ID(), b.pacing(t), "a stop gives the lease back")
	b.enqueueFor(t, tenant, 3)
	b.awaitNonePending(t, endpointID)
	require.Equal(t, second.River().ID(), b.pacing(t))
}

func TestPauseWinsOverALane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.openLane(t, endpointID)
	b.exec(t, `UPDATE outhook.endpoints SET status = 'paused'`)
	b.enqueueFor(t, tenant, 2)
	b.start(t, b.config(t))
	other, _ := b.endpoint(t, withTenant("other"))
	b.openLane(t, other)
	b.enqueueFor(t, "other", 2)
	b.awaitNonePending(t, other) // the pacer has looked
	require.Equal(t, 2, b.pending(t, endpointID))
	b.exec(t, `UPDATE outhook.endpoints SET status = 'enabled' WHERE id = $1`, endpointID)
	b.awaitNonePending(t, endpointID)
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE args ->> 'endpoint_id' = $1 AND queue = 'deliver'`, endpointID.String()),
		"they left through the lane")
}
