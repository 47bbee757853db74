package console_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/migrations"
)

// scaleDays is how many days the stored events spread over: the retention's default.
const scaleDays = 30

// scale is a server of its own with very many events in it.
type scale struct {
	t      *testing.T
	server *localpg.Server
	pool   *pgxpool.Pool
}

// newScale starts a small production server's Postgres whose log has what took longer than slowQuery. Its files are not
// kept in memory, which the processes need.
func newScale(t *testing.T) *scale {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "outhook-scale-*") //nolint:usetesting // t.TempDir may be in memory
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) // where we are root, the database's user must get through
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })

	ctx := context.WithoutCancel(t.Context())
	server, err := localpg.Start(ctx, localpg.Config{DataDir: dir + "/pg", Settings: map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "8GB", "maintenance_work_mem": "256MB", "fsync": "off", "full_page_writes": "off",
		"synchronous_commit": "off", "autovacuum": "off", "log_min_duration_statement": strconv.FormatInt(slowQuery.Milliseconds(), 10),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop(ctx)) })

	pool := openScale(t, server)
	_, err = migrations.Up(ctx, pool)
	require.NoError(t, err)
	return &scale{t, server, pool}
}

// openScale opens a pool with as many connections as an API process has.
func openScale(t *testing.T, server *localpg.Server) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(server.URL("outhook"))
	require.NoError(t, err)
	cfg.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// explainSlow makes the log hold the plan of a slow query, where the server has the module for it.
func (s *scale) explainSlow() {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), `LOAD 'auto_explain'`); err != nil {
		s.t.Logf("without plans: %v", err)
		return
	}
	s.exec(`DO $$ BEGIN
		EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = auto_explain', current_database());
		EXECUTE format('ALTER DATABASE %I SET auto_explain.log_min_duration = ` + strconv.FormatInt(slowQuery.Milliseconds(), 10) + `', current_database());
	END $$`)
	s.pool.Reset()
}

func (s *scale) exec(query string, args ...any) {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), query, args...)
	require.NoError(s.t, err, query)
}

// scaleTypes are the types of the stored events.
const scaleTypes = `ARRAY['invoice.paid', 'invoice.created', 'order.created', 'order.shipped', 'customer.updated', 'stock.low']`

// load stores n events of the last scaleDays days, a tenth of them of the tenant acme, the rest of others, with their
// deliveries, attempts, keys and rollups. Its SQL, set by set, stands for publishers and workers: to enqueue ten million
// events takes hours.
func (s *scale) load(n int) {
	s.t.Helper()
	began := time.Now()
	tenants := max(20, min(n/10_000, 900))
	s.exec(`SELECT outhook.create_partitions((now() - make_interval(days => $1))::date, current_date + 7)`, scaleDays+1)

	// acme has two endpoints for each type and nobody for another one, the others have one for all.
	s.exec(`INSERT INTO outhook.endpoints (id, tenant_id, url, description, event_types, created_at, updated_at, status_changed_at)
		SELECT outhook.uuid_v7(at), 'acme', 'https://hooks' || n || '.acme.example/in', 'Part ' || n,
			ARRAY[(` + scaleTypes + `)[1 + n % 5]], at, at, at
		FROM generate_series(1, 10) AS n, (SELECT now() - interval '40 days' AS at) AS t`)
	s.exec(`INSERT INTO outhook.endpoints (id, tenant_id, url, description, created_at, updated_at, status_changed_at)
		SELECT outhook.uuid_v7(at), 'tenant-' || n, 'https://tenant-' || n || '.example/in', 'Production', at, at, at
		FROM generate_series(0, $1 - 1) AS n, (SELECT now() - interval '40 days' AS at) AS t`, tenants)
	s.exec(`UPDATE outhook.endpoint_revisions SET at = now() - interval '40 days', id = outhook.uuid_v7(now() - interval '40 days')`)
	s.exec(`INSERT INTO outhook.endpoint_health (endpoint_id, state, state_changed_at, consecutive_failures, failing_since, last_failure_at)
		SELECT id, 'failing', now(), 9, now() - interval '1 hour', now() FROM outhook.endpoints WHERE tenant_id LIKE 'tenant-_'`)

	group, ctx := errgroup.WithContext(s.t.Context())
	group.SetLimit(3)
	for day := range scaleDays {
		group.Go(func() error { return s.loadDay(ctx, day, n/scaleDays, tenants) })
	}
	require.NoError(s.t, group.Wait())

	s.exec(`INSERT INTO outhook.event_keys (tenant_id, idempotency_key, event_id, created_at)
		SELECT e.tenant_id, 'key-' || e.id, e.id, e.created_at FROM outhook.events AS e WHERE e.tenant_id = 'acme'`)
	s.rollUp()
	s.exec(`INSERT INTO outhook.audit_entries (id, at, actor, action, tenant_id, object_type, object_id)
		SELECT outhook.uuid_v7(at), at, 'ops', 'update-endpoint', 'tenant-' || n % $1, 'endpoint', gen_random_uuid()
		FROM (SELECT n, now() - n * interval '20 seconds' AS at FROM generate_series(1, 100000) AS n) AS t`, tenants)
	s.exec(`INSERT INTO outhook.operations (id, kind, state, tenant_id, states, since, until, total_count, created_at, completed_at)
		SELECT outhook.uuid_v7(at), 'replay', 'completed', 'tenant-' || n % $1, '{failed}', at - interval '1 hour', at, 40, at, at
		FROM (SELECT n, now() - n * interval '3 minutes' AS at FROM generate_series(1, 10000) AS n) AS t`, tenants)
	s.exec(`INSERT INTO outhook.api_keys (id, name, key_hash, scope, tenant_id)
		SELECT outhook.uuid_v7(), 'key ' || n, sha256(n::text::bytea), 'publish', 'tenant-' || n % $1 FROM generate_series(1, 2000) AS n`, tenants)
	s.exec(`VACUUM (ANALYZE)`)
	s.explainSlow()

	var size string
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT pg_size_pretty(pg_database_size(current_database()))`).Scan(&size))
	s.t.Logf("loaded %d events of %d tenants in %s: %s", n, tenants+1, time.Since(began).Round(time.Second), size)
}

// loadDay stores the events of 24 hours, of the day before those of the day after. What became of each is drawn from its
// id: 2 % are dead letters, after four attempts, 1 % were cancelled.
func (s *scale) loadDay(ctx context.Context, day, n, tenants int) error {
	_, err := s.pool.Exec(ctx, `
		WITH e AS (
			INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
			SELECT outhook.uuid_v7(at), at, CASE WHEN n % 10 = 0 THEN 'acme' ELSE 'tenant-' || n::bigint * 7919 % $3 END,
				(`+scaleTypes+`)[1 + n / 10 % 6], json_build_object('id', 'in_' || n, 'amount', n % 5000)
			FROM (SELECT n, now() - make_interval(days => $1 + 1) + n * interval '24 hours' / $2 AS at
				FROM generate_series(1, $2::integer) AS n) AS t
			RETURNING id, created_at, tenant_id, type, ('x' || right(id::text, 4))::bit(16)::integer % 100 AS luck
		), d AS (
			INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, state, attempt_count, try_count, completed_at, reason)
			SELECT e.id, n.id, 0, c.state, c.attempts, c.attempts - 1, e.created_at + c.attempts * interval '1 second', c.reason
			FROM e JOIN outhook.endpoints AS n ON n.tenant_id = e.tenant_id
				AND (n.event_types = '{}' OR e.type = ANY (n.event_types)),
				LATERAL (SELECT CASE WHEN luck < 2 THEN 'failed' WHEN luck < 3 THEN 'cancelled' ELSE 'succeeded' END::outhook.delivery_state AS state,
					CASE WHEN luck < 2 THEN 4 ELSE 1 END AS attempts,
					CASE WHEN luck < 2 THEN 'exhausted' WHEN luck < 3 THEN 'endpoint_disabled' END AS reason) AS c
			RETURNING event_id, endpoint_id, state, attempt_count
		)
		INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, status_code, started_at, duration_ms, outcome, remote_addr,
			request_headers, response_headers, response_body)
		SELECT d.event_id, d.endpoint_id, i, CASE d.state WHEN 'succeeded' THEN 200 ELSE 503 END,
			outhook.uuid_v7_time(d.event_id) + i * interval '1 second', 48, CASE d.state WHEN 'succeeded' THEN 'succeeded' ELSE 'rejected' END::outhook.attempt_outcome,
			'192.0.2.10:443', '{"content-type": "application/json"}', '{"Content-Type": "text/plain"}', 'ok'
		FROM d, generate_series(1, d.attempt_count) AS i`, day, n, tenants)
	return err
}

// rollUp adds up what workers would have: by hours, and by minutes what has ended in the last two.
func (s *scale) rollUp() {
	s.t.Helper()
	s.exec(`INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, events, succeeded, rejected, delivered, failed, first_latency, duration)
		SELECT coalesce(a.endpoint_id, '00000000-0000-0000-0000-000000000000'), coalesce(a.tenant_id, ''), a.at, a.seconds, 1,
			CASE WHEN grouping(a.endpoint_id) = 1 THEN count(*) FILTER (WHERE a.number = 1) END,
			count(*) FILTER (WHERE a.status_code = 200), count(*) FILTER (WHERE a.status_code = 503),
			count(*) FILTER (WHERE a.status_code = 200), count(*) FILTER (WHERE a.number = 4),
			array_fill(0, ARRAY[8]) || (count(*) FILTER (WHERE a.number = 1))::integer || array_fill(0, ARRAY[15]),
			array_fill(0, ARRAY[7]) || count(*)::integer || array_fill(0, ARRAY[16])
		FROM (SELECT d.endpoint_id, n.tenant_id, d.number, d.status_code, b.seconds,
				date_bin(make_interval(secs => b.seconds), d.started_at, '2000-01-01') AS at
			FROM outhook.delivery_attempts AS d JOIN outhook.endpoints AS n ON n.id = d.endpoint_id,
				LATERAL (SELECT CASE WHEN d.started_at > now() - interval '2 hours' THEN 60 ELSE 3600 END AS seconds) AS b) AS a
		GROUP BY GROUPING SETS ((a.endpoint_id, a.tenant_id, a.at, a.seconds), (a.tenant_id, a.at, a.seconds), (a.at, a.seconds))`)
	s.exec(`INSERT INTO outhook.usage_hours (hour, tenant_id, type, events, deliveries, payload_bytes, attempts)
		SELECT date_trunc('hour', e.created_at), e.tenant_id, e.type, count(*), count(*), 40 * count(*), count(*)
		FROM outhook.events AS e GROUP BY 1, 2, 3`)
}
