package jobs_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/jobs/erasure"
	"github.com/outhook/outhook/jobs/rekey"
)

// A job that a stranger holds must not keep reconcile from repairing the others.
func TestALockedJobHoldsUpNoRepair(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.exec(t, `UPDATE outhook.river_job SET state = 'completed', finalized_at = now()`)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts) VALUES ('deliver', '{}', 'nobody', 1), ('deliver', '{}', 'nobody', 1)`)
	release := b.hold(t, `SELECT id FROM outhook.river_job WHERE queue = 'nobody' ORDER BY id LIMIT 1 FOR UPDATE`)

	b.reconcile(t)
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "available", state)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = 'nobody' AND state = 'cancelled'`))
	release()
	eventually(t, func() bool {
		b.reconcile(t)
		return b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = 'nobody' AND state = 'cancelled'`) == 2
	}, func() any { return nil })
}

// There are two slots for maintenance. Erasures that wait for a stranger's locks must not have them.
func TestALockedTenantHoldsUpNoOtherErasure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := func(tenantID string) (e db.TenantErasure) {
		require.NoError(t, b.inTx(t, func(tx pgx.Tx) (err error) {
			e, err = erasure.Order(b.ctx, tx, tenantID)
			return err
		}))
		return e
	}
	endpoint := func(tenantID string) uuid.UUID {
		id, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.TenantID = tenantID })
		return id
	}
	free := endpoint("free")
	for _, tenantID := range []string{"held 1", "held 2", "held 3"} {
		b.hold(t, `SELECT * FROM outhook.endpoints WHERE id = $1 FOR UPDATE`, endpoint(tenantID))
		order(tenantID)
	}
	b.start(t, b.config(t))
	eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'erase' AND attempted_at IS NOT NULL`) >= 2
	}, func() any { return nil })

	e := order("free")
	var deletedAt *time.Time
	eventually(t, func() bool {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT deleted_at FROM outhook.endpoints WHERE id = $1`, free).Scan(&deletedAt))
		return deletedAt != nil
	}, func() any { return nil })
	require.Less(t, deletedAt.Sub(e.RequestedAt), 10*time.Second)
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'erase' AND priority = 1`),
		"reconcile and the retention go first")
}

// A key that a stranger holds stays a day longer, with the pages around it; the retention goes on.
func TestALockedKeyHoldsUpNoRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.event_keys (tenant_id, idempotency_key, event_id, created_at)
		SELECT 'acme', 'key ' || n, outhook.uuid_v7(), now() - interval '40 days' FROM generate_series(1, 60000) AS n`)
	b.hold(t, `SELECT * FROM outhook.event_keys WHERE idempotency_key = 'key 1' FOR UPDATE`)
	cfg := b.config(t)
	done := make(chan error, 1)
	go func() { _, err := b.retain(b.ctx, cfg); done <- err }()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		require.FailNow(t, "it waits")
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.event_keys WHERE idempotency_key = 'key 1'`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.event_keys WHERE idempotency_key = 'key 60000'`))
}

// Encrypting anew holds many rows at a time, and must not wait with them for one that a stranger holds.
func TestReencryptDoesNotWaitForLong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.hold(t, `SELECT * FROM outhook.endpoint_secrets WHERE endpoint_id = $1 FOR UPDATE`, endpointID)
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { _, err := rekey.Run(b.ctx, b.pool, keyring, 500); done <- err }()
	select {
	case err := <-done:
		require.Equal(t, sqlstate.LockNotAvailable, sqlstate.Of(err))
	case <-time.After(time.Minute):
		require.FailNow(t, "it waits")
	}
}
