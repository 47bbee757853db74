package jobs_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs"
)

func (b *testBundle) orderErasure(t *testing.T) (order db.TenantErasure) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) (err error) {
		order, err = jobs.OrderErasure(b.ctx, tx, tenant)
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
		require.Equal(t, jobs.ReasonErased, *b.delivery(t, underWay, endpointID).Reason)
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver'
			AND state IN ('available', 'retryable', 'scheduled', 'running')`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = 'other' AND payload IS NOT NULL`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.event_keys WHERE tenant_id = 'other'`))
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
