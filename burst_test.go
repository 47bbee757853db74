package outhook_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// enqueueMany enqueues n events in calls of size.
func (b *testBundle) enqueueMany(t *testing.T, tx pgx.Tx, n, size int) {
	t.Helper()
	for n > 0 {
		events := make([]outhook.Event, min(n, size))
		for i := range events {
			events[i] = event(`{}`)
		}
		_, err := outhook.EnqueueMany(b.ctx, tx, events)
		require.NoError(t, err)
		n -= size
	}
}

// queues returns the number of jobs by their queue, or bulk for that of their tenant's bursts. Each is the job of its delivery.
func (b *testBundle) queues(t *testing.T) map[string]int {
	t.Helper()
	rows, err := b.pool.Query(b.ctx, //nolint:rowserrcheck // ForEachRow checks it
		`SELECT CASE j.queue WHEN outhook.bulk_queue(e.tenant_id) THEN 'bulk' ELSE j.queue END AS queue, count(*), count(d.job_id)
			FROM outhook.river_job j
			JOIN outhook.events e ON e.id = (j.args->>'event_id')::uuid
			LEFT JOIN outhook.deliveries d ON d.job_id = j.id AND d.event_id = (j.args->>'event_id')::uuid
			GROUP BY 1`)
	require.NoError(t, err)
	var queue string
	var jobs, owned int
	queues := map[string]int{}
	_, err = pgx.ForEachRow(rows, []any{&queue, &jobs, &owned}, func() error {
		queues[queue] = jobs
		require.Equal(t, jobs, owned)
		return nil
	})
	require.NoError(t, err)
	return queues
}

// What a transaction enqueues beyond its first 100 events goes where it stands in front of nobody, and so does a call
// with 100 for one endpoint.
func TestQueue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		enqueue func(*testing.T, *testBundle, pgx.Tx)
		want    map[string]int
	}{
		"CallOf99": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			b.enqueueMany(t, tx, 99, 99)
		}, map[string]int{"deliver": 99}},
		"CallOf100": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			b.enqueueMany(t, tx, 100, 100)
		}, map[string]int{"bulk": 100}},
		"Loop": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			b.enqueueMany(t, tx, 250, 1)
		}, map[string]int{"deliver": 100, "bulk": 150}},
		"LoopWithKeys": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			for i := range 250 {
				_, err := outhook.Enqueue(b.ctx, tx, keyed(`{}`, fmt.Sprint(i)))
				require.NoError(t, err)
			}
		}, map[string]int{"deliver": 100, "bulk": 150}},
		"CallsOf50": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			b.enqueueMany(t, tx, 250, 50)
		}, map[string]int{"deliver": 100, "bulk": 150}},
		"OneStatement": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			_, err := tx.Exec(b.ctx, `SELECT outhook.enqueue($1, 'a.b', '{}'::jsonb) FROM generate_series(1, 250)`, tenant)
			require.NoError(t, err)
		}, map[string]int{"deliver": 100, "bulk": 150}},
		"Trigger": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			_, err := tx.Exec(b.ctx, `UPDATE changed SET paid = true`)
			require.NoError(t, err)
		}, map[string]int{"deliver": 100, "bulk": 150}},
		"FanOutOfOneEvent": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			e := event(`{}`)
			e.TenantID = "wide"
			_, err := outhook.Enqueue(b.ctx, tx, e)
			require.NoError(t, err)
		}, map[string]int{"deliver": 1000}},
		"OneCallForManyTenants": {func(t *testing.T, b *testBundle, tx pgx.Tx) { // as the API's groups are
			t.Helper()
			_, err := tx.Exec(b.ctx, `SELECT FROM outhook.enqueue_many(
				ARRAY(SELECT 'many' || i FROM generate_series(1, 250) AS i),
				array_fill('a.b'::text, '{250}'), array_fill('1'::text, '{250}'))`)
			require.NoError(t, err)
		}, map[string]int{"deliver": 250}},
		"RolledBackSavepoint": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			savepoint, err := tx.Begin(b.ctx)
			require.NoError(t, err)
			b.enqueueMany(t, savepoint, 250, 1)
			require.NoError(t, savepoint.Rollback(b.ctx))
			b.enqueueMany(t, tx, 110, 1)
		}, map[string]int{"deliver": 100, "bulk": 10}},
		"ReleasedSavepoints": {func(t *testing.T, b *testBundle, tx pgx.Tx) {
			t.Helper()
			for range 110 {
				savepoint, err := tx.Begin(b.ctx)
				require.NoError(t, err)
				b.enqueueMany(t, savepoint, 1, 1)
				require.NoError(t, savepoint.Commit(b.ctx))
			}
		}, map[string]int{"deliver": 100, "bulk": 10}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url) SELECT outhook.uuid_v7(), 'wide', 'x' FROM generate_series(1, 1000)`)
			b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url) SELECT outhook.uuid_v7(), 'many' || i, 'x' FROM generate_series(1, 250) AS i`)
			b.exec(t, `CREATE TABLE changed AS SELECT i AS id, false AS paid FROM generate_series(1, 250) AS i;
				CREATE FUNCTION public.paid() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN
					BEGIN
						PERFORM outhook.enqueue('acme', 'invoice.paid', jsonb_build_object('id', NEW.id));
					EXCEPTION WHEN division_by_zero THEN NULL;
					END;
					RETURN NEW;
				END $$;
				CREATE TRIGGER paid AFTER UPDATE ON changed FOR EACH ROW EXECUTE FUNCTION public.paid()`)

			tx := b.begin(t, "")
			c.enqueue(t, b, tx)
			require.NoError(t, tx.Commit(b.ctx))
			require.Equal(t, c.want, b.queues(t))
		})
	}
}

// The count of a transaction's events ends with it, and whatever a session has made of it aborts nothing.
func TestCountOfTheTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, err := b.pool.Acquire(b.ctx)
	require.NoError(t, err)
	defer conn.Release()

	want := map[string]int{}
	for _, value := range []string{"", "abc", "-1", " 7", "99999999999999999999"} {
		_, err := conn.Exec(b.ctx, `SELECT set_config('outhook.enqueued', $1, false)`, value)
		require.NoError(t, err)
		require.NoError(t, pgx.BeginFunc(b.ctx, conn, func(tx pgx.Tx) error {
			b.enqueueMany(t, tx, 110, 1)
			return nil
		}))
		want["deliver"] += 100
		want["bulk"] += 10
		require.Equal(t, want, b.queues(t), value)
	}
}
