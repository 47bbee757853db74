package jobs_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/operation"
)

// ofDay stores events of so many days ago, each with a delivery that was settled ten minutes ago; with no state: without one.
func (b *testBundle) ofDay(t *testing.T, days, n int, endpointID uuid.UUID, state string) {
	t.Helper()
	b.exec(t, `WITH made AS (
			INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
			SELECT v.id, outhook.uuid_v7_time(v.id), $3, 'a.b', '{}'
			FROM (SELECT outhook.uuid_v7(now() - make_interval(days => $1) - i * interval '1 second') AS id
				FROM generate_series(1, $2) AS i) AS v RETURNING id
		) INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, state, reason, attempt_count, completed_at)
		SELECT m.id, $4::uuid, 0, $5::text::outhook.delivery_state, CASE $5 WHEN 'failed' THEN 'exhausted' END, 1, now() - interval '10 minutes'
		FROM made AS m WHERE $5 <> ''`, days, n, tenant, endpointID, state)
}

// What replays, makes and erases goes through the log a few days a transaction, and misses none.
func TestOperationsGoThroughTheLogByDays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.keepDays(t)
	endpointID, _ := b.endpoint(t)
	b.exec(t, `UPDATE outhook.endpoints SET created_at = now() - interval '100 days'`)
	for _, days := range []int{0, 1, 6, 7, 8, 15, 25} {
		b.ofDay(t, days, 3, endpointID, "failed")
		b.ofDay(t, days, 2, endpointID, "succeeded")
		b.ofDay(t, days, 1, endpointID, "")
	}
	b.ofDay(t, 20, 700, endpointID, "failed") // more than one chunk
	pool, client, seen := b.startTraced(t)

	op := b.awaitOperation(t, b.recover(t, endpointID, lastHour()).ID, completed)
	require.EqualValues(t, 721, op.ReplayedCount)
	require.EqualValues(t, 721, *op.TotalCount)
	b.awaitNonePending(t, endpointID)
	received := len(b.receiver.received())
	require.Equal(t, 721, received)

	acme := tenant
	f := operation.Filter{Since: time.Now().Add(-time.Hour), TenantID: &acme, States: []db.DeliveryState{db.DeliveryStateSucceeded}}
	until := time.Now().Add(-5 * time.Minute)
	f.Until = &until
	op = b.awaitOperation(t, b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, f) }).ID, completed)
	require.EqualValues(t, 12, op.ReplayedCount, "those of events that are older than until, which all of today's are not")

	since := time.Now().AddDate(0, 0, -99)
	op = b.awaitOperation(t, b.recover(t, endpointID, operation.Filter{Since: since, Until: &until, Missed: true}).ID, completed)
	require.EqualValues(t, 6, op.ReplayedCount)
	b.awaitNonePending(t, endpointID)

	erased := b.awaitErasure(t, b.orderErasure(t).ID)
	require.EqualValues(t, 742, erased.PayloadCount)
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.events WHERE payload IS NOT NULL`))
	require.NoError(t, client.Stop(b.ctx))

	b.keepDays(t) // those that the retention has dropped
	for name, days := range map[string]int{
		"ScanEndedDeliveries": 1, "ScanDeliveries": 1, "ScanMissedEvents": 1, "CountEndedDeliveries": 7, "ListTenantEvents": 7,
	} {
		data, ok := seen.get(name)
		require.True(t, ok, name)
		n := b.locks(t, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(b.ctx, pg.Planned); err != nil {
				return err
			}
			_, err := tx.Exec(b.ctx, data.SQL, data.Args...)
			return err
		})
		t.Log(name, n)
		require.Greater(t, n, 2*days, name)
		require.Less(t, n, 30*days, name)
	}
}
