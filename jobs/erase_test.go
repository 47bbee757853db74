package jobs_test

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/erasure"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/operation"
)

func (b *testBundle) orderErasure(t *testing.T) (order db.TenantErasure) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) (err error) {
		order, err = erasure.Order(b.ctx, tx, tenant)
		return err
	}))
	return order
}

// awaitErasure waits for the end. The second pass may begin at once, as if the wait for it were over.
func (b *testBundle) awaitErasure(t *testing.T, id uuid.UUID) (e db.TenantErasure) {
	t.Helper()
	eventually(t, func() bool {
		var err error
		e, err = db.New().GetErasure(b.ctx, b.pool, id)
		require.NoError(t, err)
		if e.Pass == 2 && e.CompletedAt == nil {
			b.exec(t, `UPDATE outhook.tenant_erasures SET settled_at = now() WHERE id = $1`, id)
		}
		return e.CompletedAt != nil
	}, func() any { return e })
	return e
}

func TestErasure(t *testing.T) {
	t.Parallel()

	t.Run("LeavesNothingOfTheTenantButTheLog", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.exec(t, `UPDATE outhook.endpoints SET description = 'd', headers = '{"x": "y"}', metadata = '{"a": "b"}'`)
		arrived, release := make(chan struct{}, 10), make(chan struct{})
		letGo := sync.OnceFunc(func() { close(release) })
		t.Cleanup(letGo)
		b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
			arrived <- struct{}{}
			<-release
			w.Header().Set("X-Request-Id", "personal")
			_, _ = w.Write([]byte("a personal answer"))
		})
		underWay := b.enqueue(t, `{"name": "Ann"}`)
		b.start(t, b.config(t))
		<-arrived
		// Enough for several chunks; their jobs wait.
		b.oldEvents(t, time.Now().Add(-time.Minute), 1200, endpointID, "pending", "retryable")
		b.exec(t, `SELECT outhook.enqueue('other', 'a.b', '{"name": "Bob"}'::text, 'key')`)
		b.exec(t, `SELECT outhook.enqueue($1, 'a.b', '{"name": "Cyd"}'::text, 'key')`, tenant)
		<-arrived

		order := b.orderErasure(t)
		eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM outhook.tenant_erasures WHERE pass = 2`) == 1
		}, func() any { return "the first pass" })
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.endpoints WHERE deleted_at IS NOT NULL AND url = ''
			AND description = '' AND headers = '{}' AND metadata = '{}'`))
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.endpoint_secrets`))
		// The request that was under way is recorded after the first pass has been there.
		letGo()
		eventually(t, func() bool { return b.count(t, `SELECT count(*) FROM outhook.delivery_attempts`) == 2 },
			func() any { return b.attempts(t, underWay) })
		require.NotNil(t, b.attempts(t, underWay)[0].ResponseBody)

		e := b.awaitErasure(t, order.ID)
		require.EqualValues(t, 1, e.EndpointCount)
		require.EqualValues(t, 1, e.KeyCount)
		require.EqualValues(t, 1202, e.PayloadCount)
		require.EqualValues(t, 1202, e.DeliveryCount, "with the two that were under way")
		require.EqualValues(t, 2, e.AttemptCount)
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = $1 AND payload IS NOT NULL`, tenant))
		require.Equal(t, 1202, b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = $1`, tenant))
		a := b.attempts(t, underWay)[0]
		require.Nil(t, a.ResponseBody)
		require.Nil(t, a.ResponseHeaders)
		require.Nil(t, a.RequestHeaders)
		require.Nil(t, a.RemoteAddr)
		require.Equal(t, db.AttemptOutcomeSucceeded, a.Outcome)
		require.Equal(t, ledger.ReasonErased, *b.delivery(t, underWay, endpointID).Reason)
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver'
			AND state IN ('available', 'retryable', 'scheduled', 'running')`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = 'other' AND payload IS NOT NULL`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.event_keys WHERE tenant_id = 'other'`))
	})

	t.Run("TakesEntryHealthOperationsAndAPIKeys", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		filter := operation.Filter{Since: time.Now().Add(-time.Hour)}
		ofEndpoint := filter
		ofEndpoint.EndpointID = &endpointID
		ofOther := filter
		other := "other"
		ofOther.TenantID = &other
		b.recover(t, endpointID, filter)
		for _, f := range []operation.Filter{ofEndpoint, ofOther} {
			b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, f) })
		}
		b.exec(t, `INSERT INTO outhook.endpoint_health (endpoint_id) VALUES ($1), ($2)`, endpointID, uuid.New())
		b.exec(t, `INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, failed)
			SELECT e, n, now(), 60, 1, 5 FROM (VALUES ($1::uuid, 'acme'), ($2, 'acme'), ($2, ''), ($2, 'other')) AS v (e, n)`, endpointID, uuid.Nil)
		b.exec(t, `INSERT INTO outhook.api_keys (id, name, key_hash, scope, tenant_id, created_at) VALUES
			(outhook.uuid_v7(), 'own', '1', 'tenant', 'acme', now()), (outhook.uuid_v7(), 'reads', '2', 'read', 'acme', now()), (outhook.uuid_v7(), 'other', '3', 'tenant', 'other', now()),
			(outhook.uuid_v7(), 'all', '4', 'admin', NULL, now()), (outhook.uuid_v7(), 'later', '5', 'tenant', 'acme', now() + interval '1 hour')`)
		b.exec(t, `INSERT INTO outhook.stored_answers (id, tenant_ids, key_id, sealed) VALUES
			('1', '{acme}', '', ''), ('2', '{other,acme}', '', ''), ('3', '{other}', '', ''), ('4', '{}', '', '')`)
		b.exec(t, `INSERT INTO outhook.tenants (id, tenant_id, name) VALUES (outhook.uuid_v7(), 'acme', 'ACME'), (outhook.uuid_v7(), 'other', 'Other')`)
		order := b.orderErasure(t)
		b.exec(t, `INSERT INTO outhook.stored_answers (id, tenant_ids, key_id, sealed) VALUES ('5', '{acme}', '', '')`)
		b.start(t, b.config(t))
		b.awaitErasure(t, order.ID)
		require.Equal(t, 3, b.count(t, `SELECT count(*) FROM outhook.stored_answers WHERE id IN ('3', '4', '5')`))
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM outhook.rollups WHERE failed = 5 AND tenant_id IN ('', 'other')`))
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.rollups WHERE tenant_id = 'acme' AND failed IS NOT NULL`))
		require.Equal(t, 3, b.count(t, `SELECT count(*) FROM outhook.stored_answers`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.endpoint_health`))
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.endpoint_health WHERE endpoint_id = $1`, endpointID))
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.endpoint_revisions WHERE endpoint_id = $1`, endpointID))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.tenants`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.tenants WHERE tenant_id = 'other'`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.operations`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.operations WHERE tenant_id = 'other'`))
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM outhook.api_keys WHERE revoked_at IS NOT NULL AND name IN ('own', 'reads')`))
		require.Equal(t, 3, b.count(t, `SELECT count(*) FROM outhook.api_keys WHERE revoked_at IS NULL`))
	})

	// As when the process is killed: what the open chunk did is rolled back, and nothing is counted twice.
	t.Run("GoesOnAfterItsConnectionWasKilledInAChunk", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		ids := b.oldEvents(t, time.Now().Add(-time.Minute), 1200, endpointID, "pending", "retryable")
		order := b.orderErasure(t)
		blocker, err := b.pool.Begin(b.ctx)
		require.NoError(t, err)
		_, err = blocker.Exec(b.ctx, `SELECT FROM outhook.events WHERE id = $1 FOR UPDATE`, slices.SortedFunc(slices.Values(ids), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })[700])
		require.NoError(t, err)
		t.Cleanup(func() { _ = blocker.Rollback(context.WithoutCancel(b.ctx)) }) // if the test has failed
		b.start(t, b.config(t))
		const waiting = `SELECT count(*) FROM pg_stat_activity AS a
			WHERE a.datname = current_database() AND a.wait_event_type = 'Lock' AND a.query LIKE '%EraseEvents%'`
		eventually(t, func() bool { return b.count(t, waiting) == 1 }, func() any { return "the second chunk" })
		left := func() int {
			return b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = $1 AND payload IS NOT NULL`, tenant)
		}
		require.Equal(t, 700, left(), "the first chunk is committed")
		b.exec(t, `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a
			WHERE a.datname = current_database() AND a.wait_event_type = 'Lock' AND a.query LIKE '%EraseEvents%'`)
		eventually(t, func() bool { return b.count(t, waiting) == 0 }, func() any { return "the end of the connection" })
		require.Equal(t, 700, left(), "the second is undone")
		require.Equal(t, 700, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`))
		require.NoError(t, blocker.Rollback(b.ctx))
		e := b.awaitErasure(t, order.ID)
		require.EqualValues(t, 1200, e.PayloadCount)
		require.EqualValues(t, 1200, e.DeliveryCount)
		require.Zero(t, left())
	})

	t.Run("GoesOnAfterItsJobWasLost", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.oldEvents(t, time.Now().Add(-time.Minute), 600, endpointID, "succeeded", "completed")
		order := b.orderErasure(t)
		require.Equal(t, order.ID, b.orderErasure(t).ID, "one at a time")
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'erase'`))
		b.exec(t, `DELETE FROM outhook.river_job WHERE kind = 'erase'`)
		b.start(t, b.config(t)) // the retention's first run brings the job back
		require.EqualValues(t, 600, b.awaitErasure(t, order.ID).PayloadCount)
		require.NotEqual(t, order.ID, b.orderErasure(t).ID)
	})

	t.Run("WaitsForTransactionsThatWereOpen", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		open, err := b.pool.Begin(b.ctx)
		require.NoError(t, err)
		_, err = open.Exec(b.ctx, `SELECT outhook.enqueue($1, 'a.b', '{"name": "Dan"}'::text)`, tenant)
		require.NoError(t, err)
		order := b.orderErasure(t)
		b.start(t, b.config(t))
		eventually(t, func() bool {
			b.exec(t, `UPDATE outhook.tenant_erasures SET settled_at = now()`)
			return b.count(t, `SELECT count(*) FROM outhook.tenant_erasures WHERE pass = 2`) == 1
		}, func() any { return "the first pass" })
		require.NoError(t, open.Commit(b.ctx))
		require.EqualValues(t, 1, b.awaitErasure(t, order.ID).PayloadCount)
	})
}
