package jobs_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/rollup"
)

// sums adds up all rollups of a subject, as text: outcomes, deliveries, first attempts and durations.
func (b *testBundle) sums(t *testing.T, tenantID string, endpointID uuid.UUID) (sums string) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT format('%s succeeded, %s rejected, %s unreachable; %s delivered, %s failed; %s first, %s in all',
			coalesce(sum(r.succeeded), 0), coalesce(sum(r.rejected), 0), coalesce(sum(r.unreachable), 0), coalesce(sum(r.delivered), 0),
			coalesce(sum(r.failed), 0), coalesce(sum((SELECT sum(n) FROM unnest(r.first_latency) AS n)), 0),
			coalesce(sum((SELECT sum(n) FROM unnest(r.duration) AS n)), 0))
		FROM outhook.rollups AS r WHERE r.tenant_id = $1 AND r.endpoint_id = $2`, tenantID, endpointID).Scan(&sums))
	return sums
}

func TestRollupsHaveWhatWasDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good, _ := b.endpoint(t)
	bad, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Second}))
	var n db.Endpoint
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT url FROM outhook.endpoints WHERE id = $1`, bad).Scan(&n.URL))
	b.receiver.answers(func(w http.ResponseWriter, req *http.Request) {
		if "http://"+req.Host+req.URL.Path == n.URL {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	client, err := jobs.New(b.config(t))
	require.NoError(t, err)
	require.NoError(t, client.Start(b.ctx))
	for range 3 {
		event := b.enqueue(t, `{}`)
		b.awaitState(t, event, good, db.DeliveryStateSucceeded)
		b.awaitState(t, event, bad, db.DeliveryStateFailed)
	}
	require.NoError(t, client.Stop(b.ctx)) // writes what is left

	require.Equal(t, "3 succeeded, 0 rejected, 0 unreachable; 3 delivered, 0 failed; 3 first, 3 in all", b.sums(t, tenant, good))
	require.Equal(t, "0 succeeded, 6 rejected, 0 unreachable; 0 delivered, 3 failed; 3 first, 6 in all", b.sums(t, tenant, bad))
	all := "3 succeeded, 6 rejected, 0 unreachable; 3 delivered, 3 failed; 6 first, 9 in all"
	require.Equal(t, all, b.sums(t, tenant, uuid.Nil))
	require.Equal(t, all, b.sums(t, "", uuid.Nil))
}

// Folding makes fewer rows of what it has, adds nothing and drops nothing, also if it is repeated or done by two at a
// time; what is older than the retention goes.
func TestRollupsAreFolded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.awayFromTheHour(t)
	now := time.Now()
	const fresh = 10 * time.Minute // what is drawn is older
	insert := func(age time.Duration) {
		subjects := [][2]any{{tenant, uuid.Nil}, {tenant, uuid.UUID{15: 1}}, {"", uuid.Nil}}
		s := subjects[rand.IntN(3)]
		b.exec(t, `INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, succeeded, rejected, delivered, first_latency, duration)
			SELECT $1, $2, date_trunc('minute', $3::timestamptz), 60, $4, $5, 1, NULL, CASE WHEN $5 % 2 = 0 THEN
				array_fill(NULL::integer, ARRAY[$5 % 24]) || 7 || array_fill(NULL::integer, ARRAY[23 - $5 % 24]) END,
				array_fill(1, ARRAY[24])`, s[1], s[0], now.Add(-age), 1+rand.IntN(1<<30), rand.IntN(1000))
	}
	for range 300 {
		insert(fresh + time.Duration(rand.Int64N(int64(70*time.Hour))))
	}
	for range 20 {
		insert(time.Minute)
	}

	hours := func() map[string]string {
		sums := map[string]string{}
		rows, err := b.pool.Query(b.ctx, `SELECT concat(r.tenant_id, r.endpoint_id, date_trunc('hour', r.at)), concat_ws(' ', sum(r.succeeded),
				sum(r.rejected), coalesce(sum(r.delivered), -1), sum(r.first_latency[3]), sum(r.first_latency[24]), sum(r.duration[1]), sum(r.duration[24]))
			FROM outhook.rollups AS r GROUP BY 1`)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var k, v string
			require.NoError(t, rows.Scan(&k, &v))
			sums[k] = v
		}
		require.NoError(t, rows.Err())
		return sums
	}
	before := hours()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { require.NoError(t, rollup.Fold(b.ctx, b.pool, 30*24*time.Hour)) })
	}
	both.Wait()
	require.Equal(t, before, hours())
	folded := b.count(t, `SELECT count(*) FROM outhook.rollups`)
	require.NoError(t, rollup.Fold(b.ctx, b.pool, 30*24*time.Hour))
	require.Equal(t, folded, b.count(t, `SELECT count(*) FROM outhook.rollups`), "there is nothing left to do")

	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.rollups WHERE seconds < 3600 AND at < date_trunc('hour', now() - interval '2 days')
		OR seconds < 300 AND at < date_trunc('hour', now() - interval '2 hours')`))
	require.Equal(t, 20, b.count(t, `SELECT count(*) FROM outhook.rollups WHERE seconds = 60 AND at > $1`, now.Add(-fresh)))
	require.Zero(t, b.count(t, `SELECT count(*) FROM (SELECT FROM outhook.rollups WHERE seconds = 3600
		GROUP BY endpoint_id, tenant_id, at HAVING count(*) > 2) AS r`), "one an hour; two if both folded some of it")

	require.NoError(t, rollup.Fold(b.ctx, b.pool, 24*time.Hour))
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.rollups WHERE at < now() - interval '1 day'`))
}

// The events of a minute are counted once, whoever counts, and so are minutes without any.
func TestEventsAreCountedByTheMinute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	minute := time.Now().Truncate(time.Minute)
	b.daysAgo(t, 1)
	b.oldEvents(t, minute.Add(-10*time.Minute), 5, endpointID, "succeeded", "completed")
	b.oldEvents(t, minute.Add(-3*time.Minute), 7, endpointID, "succeeded", "completed")
	b.exec(t, `UPDATE outhook.events SET tenant_id = 'other' WHERE id IN (SELECT id FROM outhook.events ORDER BY id DESC LIMIT 2)`)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { require.NoError(t, rollup.CountEvents(b.ctx, b.pool)) })
	}
	all.Wait()
	for who, want := range map[string]int{"": 12, tenant: 10, "other": 2} {
		require.Equal(t, want, b.count(t, fmt.Sprintf(`SELECT coalesce(sum(events), 0) FROM outhook.rollups WHERE tenant_id = '%s'`, who)), who)
	}
	require.GreaterOrEqual(t, b.count(t, `SELECT count(*) FROM outhook.rollups WHERE tenant_id = '' AND events = 0`), 50)
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.rollups WHERE at > now() - interval '1 minute'`), "it has not ended")

	// What is committed after its minute was counted is not in it, and not in another one.
	b.oldEvents(t, minute.Add(-3*time.Minute), 1, endpointID, "succeeded", "completed")
	require.NoError(t, rollup.CountEvents(b.ctx, b.pool))
	require.Equal(t, 12, b.count(t, `SELECT sum(events) FROM outhook.rollups WHERE tenant_id = ''`))
}

// Charts and folding find their rows by indexes, whatever there is.
func TestRollupsAreFoundByTheirIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, succeeded)
		SELECT ('00000000-0000-0000-0000-0000000000' || lpad(to_hex(n % 200), 2, '0'))::uuid, 't' || n % 20, now() - make_interval(mins => n / 200), 60, n, 1
		FROM generate_series(1, 40000) AS n`)
	b.exec(t, `ANALYZE outhook.rollups`)
	for sql, index := range map[string]string{
		`SELECT sum(succeeded) FROM outhook.rollups WHERE endpoint_id = '00000000-0000-0000-0000-000000000001' AND tenant_id = 't1'
			AND at >= now() - interval '1 hour' AND at < now()`: "rollups_pkey",
		`SELECT FROM outhook.rollups WHERE seconds = 60 AND at < now() - interval '3 hours' ORDER BY at LIMIT 1`: "rollups_at_idx",
	} {
		rows, err := b.pool.Query(b.ctx, `EXPLAIN `+sql)
		require.NoError(t, err)
		var plan string
		for rows.Next() {
			var line string
			require.NoError(t, rows.Scan(&line))
			plan += line + "\n"
		}
		require.NoError(t, rows.Err())
		require.Contains(t, plan, index)
	}
}
