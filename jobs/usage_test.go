package jobs_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/usage"
)

// usageOf is what is stored as used, and usageInLog what the log has of hours that are over, a line for each hour, tenant
// and type.
const (
	usageOf = `SELECT format('%s %s %s: %s events, %s deliveries, %s attempts, %s bytes', h.hour AT TIME ZONE 'UTC', h.tenant_id, h.type, h.events,
			h.deliveries, h.attempts, h.payload_bytes) FROM outhook.report_usage AS h ORDER BY 1`

	usageInLog = `SELECT format('%s %s %s: %s events, %s deliveries, %s attempts, %s bytes', u.hour AT TIME ZONE 'UTC', u.tenant_id, u.type,
			sum(u.events), sum(u.deliveries), sum(u.attempts), sum(u.bytes)) FROM (
		SELECT date_trunc('hour', outhook.uuid_v7_time(e.id)) AS hour, e.tenant_id, e.type, 1 AS events,
			(SELECT count(*) FROM outhook.deliveries AS d WHERE d.event_id = e.id) AS deliveries, 0 AS attempts,
			octet_length(e.payload::text) AS bytes FROM outhook.events AS e
		UNION ALL
		SELECT date_trunc('hour', a.started_at), e.tenant_id, e.type, 0, 0, 1, 0
		FROM outhook.delivery_attempts AS a JOIN outhook.events AS e ON e.id = a.event_id
	) AS u WHERE u.hour < date_trunc('hour', now()) GROUP BY u.hour, u.tenant_id, u.type ORDER BY 1`
)

func (b *testBundle) lines(t *testing.T, sql string) []string {
	t.Helper()
	rows, err := b.pool.Query(b.ctx, sql)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

// used stores events of a tenant, each with deliveries and with attempts up to some hours later, as of an hour ago or more.
func (b *testBundle) used(t *testing.T, conn db.DBTX, tenantID string, at time.Time, n int) {
	t.Helper()
	_, err := conn.Exec(b.ctx, `WITH e AS (
			INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
			SELECT outhook.uuid_v7($1, n), $1, $2, 'a.' || n % 3, json_build_object('n', n, 'é', repeat('x', n % 50)) FROM generate_series(1, $3::integer) AS n RETURNING id
		), d AS (
			INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, state, completed_at)
			SELECT e.id, gen_random_uuid(), 1, 'succeeded', now() FROM e, generate_series(1, 2) RETURNING event_id, endpoint_id
		)
		INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome)
		SELECT d.event_id, d.endpoint_id, i, $1::timestamptz + (i - 1) * interval '40 minutes', 'succeeded'
		FROM d, generate_series(1, 1 + abs(hashtext(d.endpoint_id::text)) % 4) AS i`, at, tenantID, n)
	require.NoError(t, err)
}

// What is used is what the log says, hour by hour, also of what was committed after its hour was counted, once a day has
// passed.
func TestUsageIsWhatTheLogSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.awayFromTheHour(t)
	b.daysAgo(t, 2)
	b.daysAgo(t, 3)
	hour := time.Now().UTC().Truncate(time.Hour)
	for range 30 {
		at := hour.Add(-time.Duration(rand.Int64N(int64(20 * time.Hour)))).Truncate(time.Millisecond)
		b.used(t, b.pool, fmt.Sprintf("t%d", rand.IntN(3)), at, 1+rand.IntN(40))
	}
	b.used(t, b.pool, "t1", hour.Add(-2*time.Hour), 5) // at the very beginning of an hour
	b.used(t, b.pool, "t1", hour.Add(-26*time.Hour), 5)

	// A transaction that is open across the end of its hour, and retries of an event that is older than the counting.
	open, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	defer open.Rollback(b.ctx)
	b.used(t, open, "late", hour.Add(-5*time.Hour), 7) // with attempts in hours that are counted again by now
	b.exec(t, `INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome)
		SELECT e.id, gen_random_uuid(), 1, $1::timestamptz - interval '150 minutes', 'rejected' FROM outhook.events AS e
		WHERE e.created_at < $1::timestamptz - interval '25 hours'`, hour)

	require.NoError(t, usage.Count(b.ctx, b.pool))
	counted := b.lines(t, usageOf)
	require.NotContains(t, fmt.Sprint(counted), "late")
	require.NoError(t, open.Commit(b.ctx))
	require.NoError(t, usage.Count(b.ctx, b.pool))
	require.Equal(t, counted, b.lines(t, usageOf), "no hour is due")

	// As if 23 hours had passed since each was counted.
	b.exec(t, `UPDATE outhook.usage_counts SET counted_at = counted_at - interval '20 days'`)
	require.NoError(t, usage.Count(b.ctx, b.pool))
	first := b.lines(t, `SELECT (min(hour) AT TIME ZONE 'UTC')::text FROM outhook.usage_counts`)[0]
	want := slices.DeleteFunc(b.lines(t, usageInLog), func(line string) bool { return line < first })
	require.Equal(t, want, b.lines(t, usageOf))
	require.Contains(t, fmt.Sprint(want), "late")
}

// An hour is counted when it is over, an hour later, and a day after it began: then it is final.
func TestUsageIsCountedThreeTimes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.awayFromTheHour(t)
	require.NoError(t, usage.Count(b.ctx, b.pool))
	require.Equal(t, 24, b.count(t, `SELECT count(*) FROM outhook.usage_counts`), "a day, once, of a log that may be older")

	// One whose first count was right after its end, and the others in the time to come.
	for age, want := range map[string]int{"1 hour": 0, "3 hours": 1, "10 hours": 1, "24 hours": 1} {
		b.exec(t, `UPDATE outhook.usage_counts SET counted_at = CASE WHEN hour = date_trunc('hour', now() - $1::interval, 'UTC')
			THEN hour + interval '61 minutes' ELSE now() + interval '1 hour' END`, age)
		require.NoError(t, usage.Count(b.ctx, b.pool))
		require.Equal(t, want, b.count(t, `SELECT count(*) FROM outhook.usage_counts WHERE counted_at BETWEEN now() - interval '10 minutes' AND now()
			AND counted_at <> hour + interval '61 minutes'`), age)
	}
	require.Equal(t, 24, b.count(t, `SELECT count(*) FROM outhook.usage_counts`))

	b.exec(t, `INSERT INTO outhook.usage_hours VALUES (now() - $1::interval, 't', 'a', 1, 1, 1, 1), (now() - $2::interval, 't', 'a', 1, 1, 1, 1)`,
		usage.Keep+time.Hour, usage.Keep-time.Hour)
	require.NoError(t, usage.Count(b.ctx, b.pool))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.usage_hours`))
}

// What was counted does not become less when the log does, and what is erased does not come back.
func TestUsageOutlivesTheLogAndNotItsTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.awayFromTheHour(t)
	b.daysAgo(t, 1)
	at := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	b.used(t, b.pool, tenant, at, 10)
	b.used(t, b.pool, "other", at, 10)
	require.NoError(t, usage.Count(b.ctx, b.pool))
	counted := b.lines(t, usageOf)
	require.NotEmpty(t, counted)

	b.exec(t, `UPDATE outhook.events SET payload = NULL; DELETE FROM outhook.delivery_attempts`)
	b.exec(t, `UPDATE outhook.usage_counts SET counted_at = '2026-01-01'`)
	require.NoError(t, usage.Count(b.ctx, b.pool))
	require.Equal(t, counted, b.lines(t, usageOf))

	order := b.orderErasure(t)
	b.start(t, b.config(t))
	b.awaitErasure(t, order.ID)
	b.exec(t, `UPDATE outhook.usage_counts SET counted_at = '2026-01-01'`)
	require.NoError(t, usage.Count(b.ctx, b.pool))
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.usage_hours WHERE tenant_id = $1`, tenant))
	require.NotZero(t, b.count(t, `SELECT count(*) FROM outhook.usage_hours WHERE tenant_id = 'other'`))
}

// The retention counts before it drops a day.
func TestUsageIsCountedBeforeItsDayLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.awayFromTheHour(t)
	b.daysAgo(t, 2)
	b.exec(t, `INSERT INTO outhook.usage_counts VALUES (date_trunc('day', now() - interval '2 days', 'UTC'), '2026-01-01')`)
	last := time.Now().UTC().Truncate(24 * time.Hour).Add(-24*time.Hour - 30*time.Minute)
	b.used(t, b.pool, tenant, last, 10)
	cfg := b.config(t)
	cfg.Retention.Keep = ledger.Day
	b.start(t, cfg)
	eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM pg_class WHERE relname = 'events_p' || $1`, last.Format("20060102")) == 0
	}, func() any { return "the day is there" })
	require.Equal(t, 10, b.count(t, `SELECT sum(events) FROM outhook.usage_hours`))
}
