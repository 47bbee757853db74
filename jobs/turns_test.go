package jobs_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/lane"
	"github.com/outhook/outhook/jobs/ledger"
)

// bulkQueue returns the queue of a tenant's bursts.
func (b *testBundle) bulkQueue(t *testing.T, tenantID string) (queue string) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.bulk_queue($1)`, tenantID).Scan(&queue))
	require.Regexp(t, `^bulk-[0-9a-f]{7}$`, queue)
	return queue
}

// waiting inserts n jobs into a queue that have waited for an hour.
func (b *testBundle) waiting(t *testing.T, queue string, n int) {
	t.Helper()
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, scheduled_at)
		SELECT 'deliver', '{}', $1, 1000, now() - interval '1 hour' FROM generate_series(1, $2::integer)`, queue, n)
}

// take takes n jobs of bursts and returns how many of each queue it got.
func (b *testBundle) take(t *testing.T, turns *lane.Turns, n int) map[string]int {
	t.Helper()
	taken, err := turns.Take(b.ctx, b.pool, n, db.TakeJobsParams{AttemptedBy: "test", MaxAttemptedBy: 100})
	require.NoError(t, err)
	require.LessOrEqual(t, len(taken), n)
	got := map[string]int{}
	for _, j := range taken {
		require.Equal(t, db.RiverJobStateRunning, j.State)
		got[j.Queue]++
	}
	return got
}

// Of two bursts the later and smaller one is delivered while nearly all of the other still waits.
func TestASmallBurstDoesNotWaitForALargeOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	large, _ := b.endpoint(t)
	small, _ := b.endpoint(t, withTenant("small"))
	b.backlog(t, tenant, 30_000)
	b.backlog(t, "small", 150)
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue NOT IN ($1, $2)`,
		b.bulkQueue(t, tenant), b.bulkQueue(t, "small")))

	b.start(t, b.config(t))
	b.awaitNonePending(t, small)
	require.Greater(t, b.pending(t, large), 25_000)
}

// However many tenants there are, none has a second turn before each has had one.
func TestEachTenantHasATurnBeforeAnyHasTwo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
		SELECT 'deliver', '{}', outhook.bulk_queue('tenant' || i), 1000 FROM generate_series(1, 1000) AS i, generate_series(1, 3)`)
	queues := b.count(t, `SELECT count(DISTINCT queue) FROM outhook.river_job`)
	require.Equal(t, 1000, queues, "no two of these have the same hash")

	turns := lane.NewTurns()
	for lap := range 3 {
		seen := map[string]int{}
		for range 10 {
			for queue, n := range b.take(t, turns, 100) {
				seen[queue] += n
			}
		}
		require.Len(t, seen, queues, "lap %d", lap)
		for queue, n := range seen {
			require.Equal(t, 1, n, queue)
		}
	}
	require.Empty(t, b.take(t, turns, 100))
}

// One place at a time goes to each in turn, too, and to what waits in deliver_bulk itself as to a tenant.
func TestOnePlaceAtATimeIsTakenInTurn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queues := []string{"bulk-0000000", "bulk-8888888", "bulk-fffffff", ledger.QueueDeliverBulk}
	for _, queue := range queues {
		b.waiting(t, queue, 50)
	}
	b.waiting(t, ledger.QueueDeliver, 50)
	b.waiting(t, "bulkhead", 50) // a stranger's
	b.waiting(t, "default", 50)

	turns := lane.NewTurns()
	for range 10 {
		seen := map[string]int{}
		for range queues {
			for queue, n := range b.take(t, turns, 1) {
				seen[queue] += n
			}
		}
		require.Equal(t, map[string]int{queues[0]: 1, queues[1]: 1, queues[2]: 1, queues[3]: 1}, seen)
	}
}

// A fetch takes the same of each, and what one does not use goes to the others.
func TestAFetchIsShared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.waiting(t, "bulk-0000000", 1000)
	b.waiting(t, "bulk-8888888", 5)
	b.waiting(t, "bulk-fffffff", 1000)
	turns := lane.NewTurns()
	first := b.take(t, turns, 100)
	require.Equal(t, 5, first["bulk-8888888"])
	require.Equal(t, 95, first["bulk-0000000"]+first["bulk-fffffff"])
	require.InDelta(t, first["bulk-0000000"], first["bulk-fffffff"], 3)

	second := b.take(t, turns, 99)
	require.Equal(t, 99, second["bulk-0000000"]+second["bulk-fffffff"])
	require.InDelta(t, second["bulk-0000000"], second["bulk-fffffff"], 1)

	// The oldest of a queue come first.
	b.exec(t, `UPDATE outhook.river_job SET priority = 4 WHERE queue = 'bulk-fffffff' AND state = 'available'`)
	b.exec(t, `UPDATE outhook.river_job SET priority = 1 WHERE id = (SELECT max(id) FROM outhook.river_job)`)
	b.take(t, turns, 2)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'running' AND queue = 'bulk-fffffff'
		AND id = (SELECT max(id) FROM outhook.river_job)`))
}

// What somebody has locked, or whose time has not come, keeps nobody else's waiting, even with one place.
func TestNobodyWaitsForATurnThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 5 {
		b.waiting(t, fmt.Sprintf("bulk-000000%d", i), 2)
		b.waiting(t, fmt.Sprintf("bulk-100000%d", i), 2)
	}
	b.waiting(t, "bulk-2222222", 4)
	b.exec(t, `UPDATE outhook.river_job SET scheduled_at = now() + interval '1 hour' WHERE queue LIKE 'bulk-1%'`)
	unlock := b.locking(t, `SELECT FROM outhook.river_job WHERE queue LIKE 'bulk-0%' FOR UPDATE`)

	turns := lane.NewTurns()
	got := 0
	for range 12 { // the circle has six queues with something due
		got += b.take(t, turns, 1)["bulk-2222222"]
	}
	require.GreaterOrEqual(t, got, 2)
	require.Equal(t, 4-got, b.take(t, turns, 100)["bulk-2222222"])

	unlock()
	require.Len(t, b.take(t, turns, 100), 5)
	require.Empty(t, b.take(t, turns, 100))
}

// A job that is taken in turn is as River's own fetch would have left it and told of it.
func TestTakenAsRiverTakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, attempt, attempted_at, attempted_by, errors, metadata, tags,
			priority, created_at, scheduled_at, unique_key)
		SELECT 'deliver', '{"event_id": "1"}', q, 1000, n, now() - interval '1 min', (SELECT array_agg(i::text) FROM generate_series(1, n) AS i),
			ARRAY['{"at": "2026-01-01T00:00:00Z", "attempt": 1, "error": "x", "trace": "y"}', '"odd"']::jsonb[], '{"rescues": 1}',
			'{a}', 2, '2026-01-01', '2026-01-02', convert_to(q || n, 'UTF8')
		FROM unnest(ARRAY['deliver', 'bulk-0000000']) AS q, unnest(ARRAY[1, 99, 100, 101]) AS n ORDER BY q, n`)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, created_at, scheduled_at) SELECT k, '{}', q, 1, '2026-01-01', '2026-01-03'
		FROM unnest(ARRAY['deliver', 'bulk-0000000']) AS q, unnest(ARRAY['bare', 'other']) AS k ORDER BY q, k`)

	tx, err := b.pool.Begin(b.ctx) // of one time
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(b.ctx)) }()
	river, err := riverpgxv5.New(b.pool).UnwrapExecutor(tx).JobGetAvailable(b.ctx, &riverdriver.JobGetAvailableParams{
		ClientID: "client", Kind: []string{"deliver", "bare"}, MaxAttemptedBy: 100, MaxToLock: 10, Queue: "deliver", Schema: pg.Schema,
	})
	require.NoError(t, err)
	taken, err := lane.NewTurns().Take(b.ctx, tx, 10, db.TakeJobsParams{
		AttemptedBy: "client", Kinds: []string{"deliver", "bare"}, MaxAttemptedBy: 100,
	})
	require.NoError(t, err)
	ours := jobs.Fetched(taken)
	require.Nil(t, ours.DecodeErrors)
	require.Len(t, ours.Jobs, 5)
	for i, job := range ours.Jobs {
		want := river.Jobs[i]
		require.Len(t, job.AttemptedBy, min(len(want.AttemptedBy), 100))
		require.Equal(t, "bulk-0000000", job.Queue)
		if job.UniqueKey != nil {
			require.Contains(t, string(job.UniqueKey), job.Queue)
			job.UniqueKey = want.UniqueKey
		}
		job.ID, job.Queue = want.ID, want.Queue
		require.Equal(t, want, job)
	}
}

// Whatever is paused of bursts is all of them: River has one queue, and so has River UI.
func TestAPauseOfBurstsIsOfAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []uuid.UUID
	for _, tenantID := range []string{tenant, "other"} {
		id, _ := b.endpoint(t, withTenant(tenantID))
		b.backlog(t, tenantID, 100)
		ids = append(ids, id)
	}
	b.exec(t, `UPDATE outhook.river_job SET queue = 'deliver_bulk' WHERE id % 10 = 0`)
	b.exec(t, `INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver_bulk', now(), now())`)
	client := b.start(t, b.config(t))
	b.enqueueFor(t, tenant, 3)
	eventually(t, func() bool { return b.pending(t, ids[0]) == 100 }, func() any { return b.pending(t, ids[0]) })
	require.Equal(t, 100, b.pending(t, ids[1]))
	eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return client.Ready(b.ctx) })
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND attempt > 0 AND queue <> 'deliver'`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_queue WHERE name LIKE 'bulk%'`))

	require.NoError(t, client.River().QueueResume(b.ctx, ledger.QueueDeliverBulk, &river.QueuePauseOpts{}))
	for _, id := range ids {
		b.awaitNonePending(t, id)
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_queue WHERE name LIKE 'bulk%'`))
	require.Empty(t, b.inspect(t))
}

// What a function of the version before, or a person, has put into deliver_bulk is worked, and what of it comes back waits with
// its tenant's bursts, as a burst's own retry does.
func TestABurstsRetryWaitsWithItsTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(status(http.StatusInternalServerError))
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{0, 3600e9}))
	b.backlog(t, tenant, 120)
	b.exec(t, `UPDATE outhook.river_job SET queue = 'deliver_bulk' WHERE id % 2 = 0`)
	require.Empty(t, b.inspect(t))
	b.start(t, b.config(t))
	const failed = `SELECT count(*) FROM outhook.river_job WHERE state = 'retryable' AND attempt = 2 AND queue = $1`
	queue := b.bulkQueue(t, tenant)
	eventually(t, func() bool { return b.count(t, failed, queue) == 120 }, func() any { return b.count(t, failed, queue) })
	require.Equal(t, 120, b.pending(t, endpointID))
	require.Empty(t, b.inspect(t))
	require.Empty(t, b.reconcile(t))
}

// A worker that takes nothing of bursts although it could is not ready, whichever tenant's they are, and one whose places are
// taken is.
func TestBurstsThatAreLeftAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	free := make(chan struct{})
	answer := sync.OnceFunc(func() { close(free) })
	t.Cleanup(answer)
	b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		<-free
		w.WriteHeader(http.StatusNoContent)
	})
	endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	b.backlog(t, tenant, 100)
	unlock := b.locking(t, `SELECT FROM outhook.river_job FOR UPDATE`)
	cfg := b.config(t)
	cfg.River.MaxBulkWorkers = 1
	client := b.start(t, cfg)
	eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return client.Ready(b.ctx) })
	eventually(t, func() bool { return client.Ready(b.ctx) != nil }, func() any { return nil })
	require.ErrorContains(t, client.Ready(b.ctx), ledger.QueueDeliverBulk)

	unlock()
	eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return client.Ready(b.ctx) })
	answer()
	b.awaitNonePending(t, endpointID)
}

// Whoever makes a burst, by one event or many, and whoever rescues its runs wakes the workers of deliver_bulk.
func TestBurstsWakeTheirWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	listener, err := b.pool.Acquire(b.ctx)
	require.NoError(t, err)
	defer listener.Release()
	_, err = listener.Exec(b.ctx, `LISTEN "outhook.river_insert"`)
	require.NoError(t, err)
	woken := func(within func()) {
		t.Helper()
		within()
		n, err := listener.Conn().WaitForNotification(b.ctx)
		require.NoError(t, err)
		require.JSONEq(t, `{"queue": "deliver_bulk"}`, n.Payload)
	}

	woken(func() { b.backlog(t, tenant, 100) })
	woken(func() {
		require.NoError(t, b.inTx(t, func(tx pgx.Tx) error {
			_, err := tx.Exec(b.ctx, `SELECT set_config('outhook.enqueued', '100', true), outhook.enqueue($1, 'a.b', '{}'::text)`, tenant)
			return err
		}))
	})
	require.Equal(t, 101, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = $1`, b.bulkQueue(t, tenant)))
	b.pretendRunning(t, "gone")
	woken(func() { require.EqualValues(t, 100, b.rescue(t)[0].Jobs, "as many as one look rescues") })
	require.Equal(t, 100, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = $1 AND state = 'available'`, b.bulkQueue(t, tenant)))
}

// A fetch reads a few pages whatever waits: 200,000 jobs of one tenant, some of a thousand others, and as many whose time has
// not come. So does a look at what is left, and at what an operation waits for.
func TestATurnCostsTheSameWhateverWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const insert = `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, scheduled_at)
		SELECT 'deliver', '{}', %s, 1000, now() %s FROM generate_series(1, %d) AS i`
	b.exec(t, fmt.Sprintf(insert, `outhook.bulk_queue('large')`, `- interval '1 hour'`, 200_000))
	b.exec(t, fmt.Sprintf(insert, `outhook.bulk_queue('tenant' || i % 1000)`, `- interval '1 hour'`, 2000))
	b.exec(t, fmt.Sprintf(insert, `outhook.bulk_queue('tenant' || i % 1000)`, `+ interval '1 hour'`, 2000))
	b.exec(t, fmt.Sprintf(insert, `'deliver_bulk'`, `- interval '1 hour'`, 20_000))

	seen := &statements{seen: make(map[string]pgx.TraceQueryStartData)}
	pool, err := pg.NewFetchPool(b.ctx, b.workerPool(t, seen))
	require.NoError(t, err)
	defer pool.Close()
	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			b.exec(t, `ANALYZE outhook.river_job`)
		}
		for _, n := range []int{1, 100} {
			clear(seen.seen)
			tx, err := pool.Begin(b.ctx)
			require.NoError(t, err)
			_, err = tx.Exec(b.ctx, `DISCARD PLANS`)
			require.NoError(t, err)
			taken, err := lane.NewTurns().Take(b.ctx, tx, n, db.TakeJobsParams{AttemptedBy: "test", MaxAttemptedBy: 100})
			require.NoError(t, err)
			require.Len(t, taken, n)
			_, err = db.New().ListDueQueues(b.ctx, tx, ledger.WorkedQueues())
			require.NoError(t, err)
			whose := "large"
			waiting, err := db.New().CountWaitingBursts(b.ctx, tx, &whose, 1000)
			require.NoError(t, err)
			require.EqualValues(t, 1000, waiting)
			require.NoError(t, tx.Rollback(b.ctx))

			// Each job that is taken is written, with its index entries.
			for name, most := range map[string]int{
				"ListBulkQueues": 150 + 10*n, "TakeJobs": 60 + 30*n, "ListDueQueues": 60, "CountWaitingBursts": 1200,
			} {
				root := b.explain(t, seen, name)
				pages := root.SharedHitBlocks + root.SharedReadBlocks
				t.Logf("%s of %d with %s statistics reads %d pages", name, n, statistics, pages)
				require.Less(t, pages, most, "%s of %d with %s statistics", name, n, statistics)
				root.walk(func(p plan) {
					require.False(t, p.NodeType == "Seq Scan" && p.RelationName == "river_job", "%s with %s statistics", name, statistics)
				})
			}
		}
	}
}

// What stands in bursts for an endpoint that has got a lane is moved there, however many tenants have bursts, whether or not
// workers come to it; and of the others' nothing is.
func TestBurstsLeaveForTheirLanes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const tenants = 130
	ids := make([]uuid.UUID, tenants)
	for i := range ids {
		ids[i], _ = b.endpoint(t, withTenant(fmt.Sprint("tenant", i)))
		b.enqueueFor(t, fmt.Sprint("tenant", i), 5)
	}
	b.exec(t, `UPDATE outhook.river_job AS j SET queue = outhook.bulk_queue(n.tenant_id) FROM outhook.endpoints AS n
		WHERE n.id = (j.args ->> 'endpoint_id')::uuid`)
	b.exec(t, `INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver_bulk', now(), now())`)
	laned := []uuid.UUID{ids[0], ids[60], ids[tenants-1]}
	for _, id := range laned {
		b.openLane(t, id)
	}

	b.start(t, b.config(t))
	for _, id := range laned {
		b.awaitNonePending(t, id)
	}
	require.Equal(t, 5*(tenants-3), b.count(t, `SELECT count(*) FROM outhook.river_job AS j JOIN outhook.endpoints AS n
		ON n.id = (j.args ->> 'endpoint_id')::uuid AND j.queue = outhook.bulk_queue(n.tenant_id) WHERE j.state = 'available'`))
}

// Many jobs that are found where nobody works them go to the bursts of whose they are, and what is nobody's to deliver_bulk.
func TestManyStrandedJobsWaitWithTheirTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	other, _ := b.endpoint(t, withTenant("other"))
	const insert = `INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
		SELECT 'deliver', jsonb_build_object('endpoint_id', $1::text), 'stranded', 1 FROM generate_series(1, 60)`
	for _, id := range []string{endpointID.String(), other.String(), uuid.NewString(), "nothing"} {
		b.exec(t, insert, id)
	}
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts) VALUES ('deliver', '{}', 'bulk-0000000', 1)`)
	stranded, err := db.New().ListStrandedQueues(b.ctx, b.pool, ledger.WorkedQueues())
	require.NoError(t, err)
	require.Equal(t, []string{"stranded"}, stranded)
	moved, err := db.New().MoveStrandedJobs(b.ctx, b.pool, "stranded", 1000)
	require.NoError(t, err)
	require.EqualValues(t, 240, moved)
	for queue, n := range map[string]int{b.bulkQueue(t, tenant): 60, b.bulkQueue(t, "other"): 60, ledger.QueueDeliverBulk: 120} {
		require.Equal(t, n, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = $1`, queue))
	}
}

// The rows of a large transaction that is still open are read past once in a while, not with every fetch of another's bursts.
func TestALargeOpenTransactionIsNotReadPastWithEachFetch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.waiting(t, "bulk-0000000", 600)
	b.waiting(t, "bulk-8888888", 600)
	tx, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(b.ctx)) }()
	_, err = tx.Exec(b.ctx, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
		SELECT 'deliver', '{}', 'bulk-4444444', 1000 FROM generate_series(1, 200000)`)
	require.NoError(t, err)

	looks := &counter{seen: make(map[string]int)}
	cfg := b.pool.Config()
	cfg.ConnConfig.Tracer = looks
	traced, err := pgxpool.NewWithConfig(b.ctx, cfg)
	require.NoError(t, err)
	defer traced.Close()
	pool, err := pg.NewFetchPool(b.ctx, traced)
	require.NoError(t, err)
	defer pool.Close()
	turns := lane.NewTurns()
	for range 40 {
		taken, err := turns.Take(b.ctx, pool, 30, db.TakeJobsParams{AttemptedBy: "test", MaxAttemptedBy: 100})
		require.NoError(t, err)
		of := map[string]int{}
		for _, j := range taken {
			of[j.Queue]++
		}
		require.Equal(t, map[string]int{"bulk-0000000": 15, "bulk-8888888": 15}, of)
	}
	require.GreaterOrEqual(t, looks.count("TakeJobs"), 40)
	require.Less(t, looks.count("ListBulkQueues"), looks.count("TakeJobs")/2)
}
