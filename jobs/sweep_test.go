package jobs_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/erasure"
	"github.com/outhook/outhook/jobs/ledger"
)

// backlog enqueues n events for a tenant in one call.
func (b *testBundle) backlog(t *testing.T, tenantID string, n int) {
	t.Helper()
	b.exec(t, `SELECT count(*) FROM outhook.enqueue_many(array_fill($1::text, ARRAY[$2::int]), array_fill('a.b'::text, ARRAY[$2::int]),
		array_fill('{}'::text, ARRAY[$2::int]))`, tenantID, n)
}

// locking keeps rows locked, as a person's transaction may, until the end of the test or of unlock.
func (b *testBundle) locking(t *testing.T, query string, args ...any) (unlock func()) {
	t.Helper()
	tx, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	unlock = func() { _ = tx.Rollback(context.WithoutCancel(b.ctx)) }
	t.Cleanup(unlock)
	tag, err := tx.Exec(b.ctx, query, args...)
	require.NoError(t, err)
	require.Positive(t, tag.RowsAffected())
	return unlock
}

func TestWhatWaitsForAnEndedEndpointIsCancelled(t *testing.T) {
	t.Parallel()

	t.Run("AllOfItButWhatIsLockedAndThatLater", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		const n = 5000
		endpointID, _ := b.endpoint(t)
		b.setStatus(t, endpointID, db.EndpointStatusPaused)
		b.backlog(t, tenant, n)
		b.exec(t, `UPDATE outhook.river_job SET state = 'retryable', scheduled_at = now() + interval '1 hour', attempt = 2
			WHERE id % 2 = 0`)
		unlock := b.locking(t, `SELECT FROM outhook.deliveries ORDER BY job_id LIMIT 3 FOR UPDATE`)
		unlockJobs := b.locking(t, `SELECT FROM outhook.river_job ORDER BY id DESC LIMIT 2 FOR UPDATE`)
		_, err := db.New().DeleteEndpoint(b.ctx, b.pool, endpointID)
		require.NoError(t, err)
		require.Empty(t, b.inspect(t), "they are as good as cancelled")

		other, _ := b.endpoint(t, withTenant("other"))
		b.openLane(t, other)
		b.start(t, b.config(t))
		b.enqueueFor(t, "other", 3)
		b.awaitNonePending(t, other)
		const cancelled = `SELECT count(*) FROM outhook.deliveries AS d JOIN outhook.river_job AS j ON j.id = d.job_id
			WHERE d.state = 'cancelled' AND d.reason = 'endpoint_deleted' AND j.state = 'cancelled' AND j.queue = 'endpoint-' || d.endpoint_id`
		eventually(t, func() bool { return b.count(t, cancelled) == n-5 }, func() any { return b.count(t, cancelled) })
		unlock()
		unlockJobs()
		eventually(t, func() bool { return b.count(t, cancelled) == n }, func() any { return b.count(t, cancelled) })
		const open = `SELECT count(*) FROM outhook.endpoints WHERE cancel_since IS NOT NULL`
		eventually(t, func() bool { return b.count(t, open) == 0 }, func() any { return b.count(t, open) })
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.delivery_attempts WHERE endpoint_id = $1`, endpointID))
	})

	t.Run("UnlessItIsEnabledAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.setStatus(t, endpointID, db.EndpointStatusPaused)
		b.backlog(t, tenant, 50)
		n, err := db.New().DisableEndpoint(b.ctx, b.pool, "by the test", endpointID)
		require.NoError(t, err)
		p := db.CancelEndpointDeliveriesParams{
			EndpointID: endpointID, CancelSince: *n.CancelSince, Before: uuid.Max, Reason: "r", MaxRows: 20, LookRows: 30,
		}
		row, err := db.New().CancelEndpointDeliveries(b.ctx, b.pool, p)
		require.NoError(t, err)
		require.True(t, row.Held)
		require.EqualValues(t, 20, row.Pending)
		require.Equal(t, 30, b.pending(t, endpointID))
		p.Before, p.LookRows = row.Last, 10
		row, err = db.New().CancelEndpointDeliveries(b.ctx, b.pool, p)
		require.NoError(t, err)
		require.EqualValues(t, 10, row.Pending)
		require.NotZero(t, row.Last, "there may be more")

		b.exec(t, `UPDATE outhook.endpoints SET status = 'enabled', cancel_since = NULL`)
		p.Before = row.Last
		row, err = db.New().CancelEndpointDeliveries(b.ctx, b.pool, p)
		require.NoError(t, err)
		require.Equal(t, db.CancelEndpointDeliveriesRow{}, row)
		b.start(t, b.config(t))
		b.awaitNonePending(t, endpointID)
		require.Equal(t, 20, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`))
	})

	t.Run("AProbeOfItStays", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		n, err := db.New().DisableEndpoint(b.ctx, b.pool, "failing: by the test", endpointID)
		require.NoError(t, err)
		require.NoError(t, db.New().InsertProbe(b.ctx, b.pool, db.InsertProbeParams{
			TenantID: tenant, Type: ledger.TestEventType, Payload: json.RawMessage(`{}`), EndpointID: endpointID,
		}))
		row, err := db.New().CancelEndpointDeliveries(b.ctx, b.pool, db.CancelEndpointDeliveriesParams{
			EndpointID: endpointID, CancelSince: *n.CancelSince, Before: uuid.Max, Reason: "r", MaxRows: 20, LookRows: 30,
		})
		require.NoError(t, err)
		require.Equal(t, db.CancelEndpointDeliveriesRow{Held: true}, row)
		require.Equal(t, 1, b.pending(t, endpointID))
	})
}

// What was enabled goes to the queue of bursts, chunk by chunk: no change of an endpoint touches a job.
func TestABacklogIsEnabledByThePacer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 2000
	endpointID, _ := b.endpoint(t)
	b.setStatus(t, endpointID, db.EndpointStatusPaused)
	b.backlog(t, tenant, n)
	unlock := b.locking(t, `SELECT FROM outhook.river_job ORDER BY id LIMIT 1 FOR UPDATE`)
	b.start(t, b.config(t))
	b.setStatus(t, endpointID, db.EndpointStatusEnabled)
	eventually(t, func() bool { return b.pending(t, endpointID) == 1 }, func() any { return b.pending(t, endpointID) })
	unlock()
	b.awaitNonePending(t, endpointID)
	require.Equal(t, n, b.count(t, `SELECT count(*) FROM outhook.delivery_attempts WHERE number = 1`))
}

// A frozen process keeps its lease for 10 s, and can't do anything with it afterwards. TestFrozenPacer of cmd/outhook stops a
// real one.
func TestThePacersLeaseEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.openLane(t, endpointID)
	b.enqueueFor(t, tenant, 3)
	_, err := db.New().TakeLease(b.ctx, b.pool, "pacer", "frozen", 3)
	require.NoError(t, err)
	client := b.start(t, b.config(t))
	require.Equal(t, 3, b.pending(t, endpointID))
	b.awaitNonePending(t, endpointID)
	require.Equal(t, client.River().ID(), b.pacing(t))

	held, err := db.New().HoldLease(b.ctx, b.pool, "pacer", "frozen")
	require.NoError(t, err)
	require.Zero(t, held)
	// Whoever loses it stops at once, and takes it again when it is free.
	b.exec(t, `UPDATE outhook.leases SET holder = 'another', until = now() + interval '3 s'`)
	b.enqueueFor(t, tenant, 3)
	b.awaitNonePending(t, endpointID)
	require.Equal(t, client.River().ID(), b.pacing(t))
}

// counter counts the statements of each session by name.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, _, _ := strings.Cut(strings.TrimPrefix(data.SQL, "-- name: "), " ")
	c.seen[name]++
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *counter) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[name]
}

func TestEventsForAPausedEndpointCostThePacerNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.setStatus(t, endpointID, db.EndpointStatusPaused)
	looks := &counter{seen: make(map[string]int)}
	poolConfig := b.pool.Config()
	poolConfig.ConnConfig.Tracer = looks
	pool, err := pgxpool.NewWithConfig(b.ctx, poolConfig)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	cfg := b.config(t)
	cfg.Pool = pool
	client, err := jobs.New(cfg)
	require.NoError(t, err)
	require.NoError(t, client.Start(b.ctx))
	eventually(t, func() bool { return looks.count("ListStrandedQueues") > 0 }, func() any { return "nobody paces" })

	before, began := looks.count("ListStrandedQueues")+looks.count("LookAtLanes"), time.Now()
	const n = 300
	b.enqueueFor(t, tenant, n)
	made, took := looks.count("ListStrandedQueues")+looks.count("LookAtLanes")-before, time.Since(began)
	require.LessOrEqual(t, made, int(took/time.Second)+2, "%d events in %v", n, took)
	require.NoError(t, client.Stop(b.ctx))
}

// slowSign is a sign that endpoints are slow.
func (b *testBundle) slowSign(t *testing.T, maxLanes int32, endpointIDs ...uuid.UUID) {
	t.Helper()
	p := db.SlowEndpointsParams{MaxLanes: maxLanes, ProveMS: 3_600_000}
	for _, id := range endpointIDs {
		p.EndpointIDs, p.Reasons = append(p.EndpointIDs, id), append(p.Reasons, "by the test")
		p.HoldSeconds, p.Throttled = append(p.HoldSeconds, 0), append(p.Throttled, false)
	}
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	require.NoError(t, db.New().SlowEndpoints(ctx, b.pool, p))
}

func TestALaneOfAnEndedEndpointIsFree(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*testing.T, *testBundle, uuid.UUID){
		"Deleted": func(t *testing.T, b *testBundle, id uuid.UUID) {
			t.Helper()
			_, err := db.New().DeleteEndpoint(b.ctx, b.pool, id)
			require.NoError(t, err)
		},
		"Disabled": func(t *testing.T, b *testBundle, id uuid.UUID) {
			t.Helper()
			_, err := db.New().DisableEndpoint(b.ctx, b.pool, "by the test", id)
			require.NoError(t, err)
		},
		"Erased": func(t *testing.T, b *testBundle, _ uuid.UUID) {
			t.Helper()
			require.NoError(t, b.inTx(t, func(tx pgx.Tx) error {
				_, err := erasure.Order(b.ctx, tx, tenant)
				return err
			}))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			first, _ := b.endpoint(t)
			second, _ := b.endpoint(t, withTenant("second"))
			third, _ := b.endpoint(t, withTenant("third"))
			lane := func(id uuid.UUID) (lane string) {
				require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT lane FROM outhook.endpoints WHERE id = $1`, id).Scan(&lane))
				return lane
			}
			b.slowSign(t, 1, first)
			b.slowSign(t, 1, second)
			require.Equal(t, []string{ledger.LaneSlow, ledger.LaneBulk}, []string{lane(first), lane(second)})

			cfg := b.config(t)
			cfg.Lane.MaxLanes = 1
			b.start(t, cfg)
			end(t, b, first)
			eventually(t, func() bool { return lane(first) == ledger.LaneNone && lane(second) == ledger.LaneSlow },
				func() any { return []string{lane(first), lane(second)} })
			b.slowSign(t, 1, third, first)
			require.Equal(t, []string{ledger.LaneBulk, ledger.LaneNone}, []string{lane(third), lane(first)}, "what was ended gets none again")
		})
	}
}

// A tenant whose slow endpoints have taken all lanes gives way to others, down to what is its share.
func TestTenantsShareLanes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slow := func(tenantID string, n int, options ...endpointOption) {
		for range n {
			id, _ := b.endpoint(t, append(options, withTenant(tenantID))...)
			b.slowSign(t, 4, id)
		}
	}
	lanes := func() (s string) {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT string_agg(k.tenant_id || ' ' || k.lane || ' ' || k.n, ', ' ORDER BY k.tenant_id, k.lane)
			FROM (SELECT tenant_id, lane, count(*) AS n FROM outhook.endpoints GROUP BY 1, 2) AS k`).Scan(&s))
		return s
	}
	await := func(want string) {
		t.Helper()
		eventually(t, func() bool { return lanes() == want }, func() any { return lanes() })
	}

	cfg := b.config(t)
	cfg.Lane.MaxLanes = 4
	b.start(t, cfg)
	limits := withRateLimit(1, "minute", 1)
	slow("greedy", 4, limits)
	slow("greedy", 1)
	await("greedy bulk 1, greedy slow 4")
	slow("second", 1)
	await("greedy bulk 1, greedy limited 1, greedy slow 3, second slow 1")
	slow("second", 2)
	slow("third", 1)
	await("greedy bulk 1, greedy limited 2, greedy slow 2, second bulk 2, second slow 1, third slow 1")

	slow("fourth", 1, limits)
	require.Contains(t, lanes(), "fourth limited 1", "its limit holds although there is no lane")
	changed := func() (s string) {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT string_agg(lane_changed_at::text, ' ' ORDER BY id) FROM outhook.endpoints`).Scan(&s))
		return s
	}
	before := changed()
	require.NoError(t, db.New().ShareLanes(b.ctx, b.pool, 4))
	require.Equal(t, before, changed(), "who has a lane keeps it")
	b.exec(t, `UPDATE outhook.endpoints SET status = 'disabled' WHERE tenant_id = 'second'`)
	await("fourth limited 1, greedy limited 2, greedy slow 3, second  3, third slow 1")
}

// A person may lock an endpoint's row, and so may a process that is frozen.
func TestALockedEndpointDelaysNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	locked, _ := b.endpoint(t)
	free, _ := b.endpoint(t, withTenant("free"))
	known, _ := b.endpoint(t, withTenant("known"))
	b.openLane(t, known)
	unlock := b.locking(t, `SELECT FROM outhook.endpoints WHERE id = $1 FOR UPDATE`, locked)
	unlockLane := b.locking(t, `SELECT FROM outhook.lanes WHERE endpoint_id = $1 FOR UPDATE`, known)
	b.slowSign(t, 10, locked, free, known)
	lane, _ := b.laneOf(t, free)
	require.Equal(t, ledger.LaneSlow, lane)
	lane, _ = b.laneOf(t, locked)
	require.Equal(t, ledger.LaneNone, lane)

	b.enqueueFor(t, "free", 2)
	b.enqueueFor(t, "known", 2)
	b.start(t, b.config(t))
	b.awaitNonePending(t, free)
	require.Equal(t, 2, b.pending(t, known), "nobody may note what left")
	unlockLane()
	b.awaitNonePending(t, known)
	unlock()
	b.slowSign(t, 10, locked)
	lane, _ = b.laneOf(t, locked)
	require.Equal(t, ledger.LaneSlow, lane)
}
