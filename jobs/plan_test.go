package jobs_test

import (
	"context"
	"encoding/json"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

// statements keeps, by name, the statements that workers send: River's fetch of the queue deliver, and the pacer's.
type statements struct {
	mu   sync.Mutex
	seen map[string]pgx.TraceQueryStartData
}

var statementName = regexp.MustCompile(`^-- name: (\w+)`)

// TraceQueryStart keeps a statement.
func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	m := statementName.FindStringSubmatch(data.SQL)
	if m == nil {
		return ctx
	}
	name := m[1]
	for _, arg := range data.Args {
		if name == "JobGetAvailable" && arg == ledger.QueueDeliver {
			name = "fetch"
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[name]; !ok {
		s.seen[name] = data
	}
	return ctx
}

// TraceQueryEnd does nothing.
func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) get(name string) (pgx.TraceQueryStartData, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.seen[name]
	return data, ok
}

// plan is what EXPLAIN says of a node; its keys have spaces.
type plan struct {
	NodeType         string `json:"Node Type"`          //nolint:tagliatelle // Postgres' name
	RelationName     string `json:"Relation Name"`      //nolint:tagliatelle // Postgres' name
	IndexName        string `json:"Index Name"`         //nolint:tagliatelle // Postgres' name
	SharedHitBlocks  int    `json:"Shared Hit Blocks"`  //nolint:tagliatelle // Postgres' name
	SharedReadBlocks int    `json:"Shared Read Blocks"` //nolint:tagliatelle // Postgres' name
	Plans            []plan
}

func (p plan) walk(visit func(plan)) {
	visit(p)
	for _, child := range p.Plans {
		child.walk(visit)
	}
}

// The statements that run many times a second find what they look for by an index and read a few pages, also beside
// 200,000 jobs that wait in lanes and bursts, with fresh statistics or with none.
func TestABacklogCostsOthersNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.openLane(t, endpointID)
	_, client, seen := b.startTraced(t)
	b.enqueueFor(t, tenant, 1)
	b.awaitNonePending(t, endpointID)
	names := []string{"fetch", "LookAtLanes", "ReleaseJobs", "ListStrandedQueues", "SettleRuns", "WakeJobs"}
	for _, name := range names {
		eventually(t, func() bool { _, ok := seen.get(name); return ok }, func() any { return name })
	}
	require.NoError(t, client.Stop(b.ctx))

	const backlog = `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, scheduled_at)
		SELECT 'deliver', jsonb_build_object('event_id', gen_random_uuid(), 'endpoint_id', $1::text), $2, 1000, now() - interval '1 hour'
		FROM generate_series(1, $3::integer)`
	b.exec(t, backlog, endpointID.String(), "endpoint-"+endpointID.String(), 100_000)
	b.exec(t, backlog, endpointID.String(), ledger.QueueDeliverBulk, 100_000)
	b.exec(t, backlog, endpointID.String(), ledger.QueueDeliver, 200)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
		SELECT 'deliver', '{}', outhook.bulk_queue('tenant' || i), 1000 FROM generate_series(1, 1000) AS i`)
	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			b.exec(t, `ANALYZE outhook.river_job`)
		}
		for _, name := range names {
			pages := 0
			b.explain(t, seen, name).walk(func(p plan) {
				require.False(t, p.NodeType == "Seq Scan" && p.RelationName == "river_job", "%s with %s statistics reads all jobs", name, statistics)
				if p.RelationName == "river_job" && p.IndexName != "" && name == "fetch" {
					require.Contains(t, []string{"river_job_prioritized_fetching_index", "river_job_pkey"}, p.IndexName)
				}
				pages = max(pages, p.SharedHitBlocks+p.SharedReadBlocks)
			})
			t.Logf("%s with %s statistics reads %d pages", name, statistics, pages)
			// A fetch of 50 jobs writes 50 rows with their index entries.
			require.Less(t, pages, 2500, "%s with %s statistics", name, statistics)
		}
	}
}

// Jobs that wait for their time cost those who look for work nothing, however many they are.
func TestWaitingJobsCostNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	_, client, seen := b.startTraced(t)
	b.enqueueFor(t, tenant, 1)
	b.awaitNonePending(t, endpointID)
	b.requireWaitingFree(t, client, seen, "fetch", "WakeJobs")
}

// requireWaitingFree checks that statements of a client, which it stops, read a few pages beside 100,000 jobs that wait for a
// retry in an hour, with fresh statistics or with none.
func (b *testBundle) requireWaitingFree(t *testing.T, client *jobs.Client, seen *statements, names ...string) {
	t.Helper()
	for _, name := range names {
		eventually(t, func() bool { _, ok := seen.get(name); return ok }, func() any { return name })
	}
	require.NoError(t, client.Stop(b.ctx))

	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, attempt, state, scheduled_at)
		SELECT 'deliver', '{}', $1, 1000, 1, 'retryable', now() + interval '1 hour' + i * interval '1 ms'
		FROM generate_series(1, 100000) AS i`, ledger.QueueDeliver)
	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			b.exec(t, `ANALYZE outhook.river_job`)
		}
		for _, name := range names {
			root := b.explain(t, seen, name)
			pages := root.SharedHitBlocks + root.SharedReadBlocks
			t.Logf("%s with %s statistics reads %d pages", name, statistics, pages)
			require.Less(t, pages, 20, "%s with %s statistics", name, statistics)
		}
	}
}

// workerPool returns a pool like that of `outhook serve`, which plans each statement anew.
func (b *testBundle) workerPool(t *testing.T, tracer pgx.QueryTracer) *pgxpool.Pool {
	t.Helper()
	cfg := b.pool.Config()
	cfg.ConnConfig.Tracer = tracer
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET plan_cache_mode = force_custom_plan")
		return err
	}
	pool, err := pgxpool.NewWithConfig(b.ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// startTraced starts a worker that keeps no job of a success, and the statements that it sends.
func (b *testBundle) startTraced(t *testing.T) (*pgxpool.Pool, *jobs.Client, *statements) {
	t.Helper()
	seen := &statements{seen: make(map[string]pgx.TraceQueryStartData)}
	cfg := b.config(t)
	cfg.Pool, cfg.Deliver.KeptJobRate = b.workerPool(t, seen), 0
	client, err := jobs.New(cfg)
	require.NoError(t, err)
	require.NoError(t, client.Start(b.ctx))
	return cfg.Pool, client, seen
}

// explain runs a statement in a transaction that is rolled back.
func (b *testBundle) explain(t *testing.T, seen *statements, name string) plan {
	t.Helper()
	data, ok := seen.get(name)
	require.True(t, ok)
	tx, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(b.ctx)) }()
	if name != "fetch" { // the pacer's session
		_, err = tx.Exec(b.ctx, `SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
			SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off`)
		require.NoError(t, err)
	}
	var text []byte
	require.NoError(t, tx.QueryRow(b.ctx, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+data.SQL, data.Args...).Scan(&text))
	var plans []struct{ Plan plan }
	require.NoError(t, json.Unmarshal(text, &plans))
	require.Len(t, plans, 1)
	return plans[0].Plan
}

// A plan is kept from the time at which it was made. Neither one of a quiet time, with next to nothing analyzed, may read all
// that has come since, nor one of a time with many jobs more than the few that it takes.
func TestKeptPlansReadAFewRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	pool, client, seen := b.startTraced(t)
	b.enqueueFor(t, tenant, 1)
	b.awaitNonePending(t, endpointID)
	require.NoError(t, client.Stop(b.ctx))
	b.exec(t, `DELETE FROM outhook.river_job`)
	b.exec(t, `VACUUM ANALYZE`)

	keyPool, err := pg.NewKeyPool(b.ctx, pool)
	require.NoError(t, err)
	defer keyPool.Close()
	fetchPool, err := pg.NewFetchPool(b.ctx, pool)
	require.NoError(t, err)
	defer fetchPool.Close()
	pools := map[string]*pgxpool.Pool{
		"fetch": fetchPool, "LoadDeliveries": keyPool, "SettleRuns": keyPool,
	}
	for name, pool := range pools {
		b.rowsRead(t, pool, seen, name)
	}
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, scheduled_at)
		SELECT 'deliver', '{}', CASE WHEN i <= 25000 THEN $1 ELSE $2 END, 1000, now() - interval '1 hour'
		FROM generate_series(1, 50000) AS i`, ledger.QueueDeliverBulk, ledger.QueueDeliver)
	b.exec(t, `WITH e AS (INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
			SELECT outhook.uuid_v7(now(), i), now(), 'acme', 'a.b', '{}' FROM generate_series(1, 20000) AS i RETURNING id)
		INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
		SELECT e.id, $1, nextval('outhook.river_job_id_seq'), now() FROM e`, endpointID)
	for _, statistics := range []string{"old", "fresh"} {
		if statistics == "fresh" {
			b.exec(t, `ANALYZE`)
		}
		for name, pool := range pools {
			if name == "fetch" { // its plan may be as old as fetchPlanAge
				began := time.Now()
				eventually(t, func() bool { return b.rowsRead(t, pool, seen, name) < 1000 }, func() any { return statistics })
				require.Less(t, time.Since(began), 15*time.Second)
				continue
			}
			require.Less(t, b.rowsRead(t, pool, seen, name), 100, "%s with %s statistics", name, statistics)
		}
	}
}

// rowsRead runs a statement in a transaction that is rolled back, and returns how many rows of our tables it read.
func (b *testBundle) rowsRead(t *testing.T, pool *pgxpool.Pool, seen *statements, name string) int {
	t.Helper()
	const count = `SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::integer FROM pg_stat_xact_all_tables WHERE schemaname = 'outhook'`
	data, ok := seen.get(name)
	require.True(t, ok, name)
	tx, err := pool.Begin(b.ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(b.ctx)) }()
	var before, after int
	require.NoError(t, tx.QueryRow(b.ctx, count).Scan(&before))
	_, err = tx.Exec(b.ctx, data.SQL, data.Args...)
	require.NoError(t, err, name)
	require.NoError(t, tx.QueryRow(b.ctx, count).Scan(&after))
	return after - before
}

// The worker's pool plans each statement anew; the pool that is made of it keeps plans.
func TestKeyPoolKeepsPlans(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keyPool, err := pg.NewKeyPool(b.ctx, b.workerPool(t, nil))
	require.NoError(t, err)
	defer keyPool.Close()
	for setting, want := range map[string]string{"plan_cache_mode": "force_generic_plan", "jit": "off"} {
		var got string
		require.NoError(t, keyPool.QueryRow(b.ctx, "SELECT current_setting($1)", setting).Scan(&got))
		require.Equal(t, want, got, setting)
	}
}
