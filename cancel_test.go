package outhook_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// laterEvent is one that is to be delivered in an hour.
func laterEvent(key string) outhook.Event {
	e := keyed(`{}`, key)
	e.DeliverAt = time.Now().Add(time.Hour)
	return e
}

// An event is taken back with the change that makes it untrue, and not without it.
func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	db := stdlib.OpenDBFromPool(b.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	byKey := outhook.Reference{TenantID: tenant, IdempotencyKey: "a"}
	byID := outhook.Reference{TenantID: tenant, ID: b.store(t, laterEvent("a")).ID}
	pending := func(want int) {
		t.Helper()
		var deliveries, jobs int
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT (SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'),
			(SELECT count(*) FROM outhook.river_job WHERE state = 'scheduled')`).Scan(&deliveries, &jobs))
		require.Equal(t, []int{want, want}, []int{deliveries, jobs})
	}

	for _, event := range []outhook.Reference{byKey, byID} {
		tx := b.begin(t, pgx.Serializable)
		back, err := outhook.Cancel(b.ctx, tx, event)
		require.NoError(t, err)
		require.True(t, back)
		require.NoError(t, tx.Rollback(b.ctx))
		pending(1)
	}
	tx, err := db.BeginTx(b.ctx, nil)
	require.NoError(t, err)
	back, err := outhook.CancelSQL(b.ctx, tx, byKey)
	require.NoError(t, err)
	require.True(t, back)
	pending(1)
	require.NoError(t, tx.Commit())
	pending(0)
	require.True(t, b.store(t, laterEvent("a")).Duplicate, "it keeps its key")
	pending(0)

	// Again, and in the transaction that has enqueued it.
	require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
		res, err := outhook.Enqueue(b.ctx, tx, laterEvent("b"))
		require.NoError(t, err)
		for _, event := range []outhook.Reference{byID, {TenantID: tenant, ID: res.ID}, {TenantID: tenant, IdempotencyKey: "b"}} {
			back, err := outhook.Cancel(b.ctx, tx, event)
			require.NoError(t, err)
			require.True(t, back)
		}
		return nil
	}))
	pending(0)
}

// What can't be taken back leaves the transaction as it is.
func TestCancelTooLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	db := stdlib.OpenDBFromPool(b.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	due := b.store(t, laterEvent("due")).ID
	b.exec(t, `UPDATE outhook.events SET deliver_at = now() - interval '1 ms' WHERE id = $1`, due)
	atOnce := b.store(t, keyed(`{}`, "at once")).ID

	tx := b.begin(t, "")
	for _, event := range []outhook.Reference{
		{TenantID: tenant, IdempotencyKey: "due"}, {TenantID: tenant, ID: due}, {TenantID: tenant, ID: atOnce},
	} {
		back, err := outhook.Cancel(b.ctx, tx, event)
		require.NoError(t, err)
		require.False(t, back)
		back, err = outhook.CancelSQL(b.ctx, db, event)
		require.NoError(t, err)
		require.False(t, back)
	}
	for _, event := range []outhook.Reference{
		{TenantID: tenant, IdempotencyKey: "none"},
		{TenantID: tenant, ID: uuid.NewString()},
		{TenantID: "other", ID: due},
		{TenantID: "other", IdempotencyKey: "due"},
	} {
		_, err := outhook.Cancel(b.ctx, tx, event)
		require.ErrorIs(t, err, outhook.ErrNoEvent)
		_, err = outhook.CancelSQL(b.ctx, db, event)
		require.ErrorIs(t, err, outhook.ErrNoEvent)
	}
	for field, event := range map[string]outhook.Reference{
		"id": {TenantID: tenant}, "tenant_id": {ID: due}, "idempotency_key": {TenantID: tenant, IdempotencyKey: "\x00"},
	} {
		_, err := outhook.Cancel(b.ctx, tx, event)
		var invalid *outhook.InvalidEventError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, field, invalid.Field)
	}
	for _, event := range []outhook.Reference{{TenantID: tenant, ID: "17"}, {TenantID: tenant, ID: due, IdempotencyKey: "due"}} {
		_, err := outhook.CancelSQL(b.ctx, db, event)
		require.ErrorIs(t, err, outhook.ErrInvalidEvent)
	}
	require.NoError(t, tx.Commit(b.ctx))

	for _, call := range []string{"'acme'", "NULL, 'a'", "'', 'a'", "'acme', ''", "'acme', 'a', '" + due + "'"} {
		_, err := b.pool.Exec(b.ctx, `SELECT outhook.cancel_event(`+call+`)`)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, call)
		require.Equal(t, "22023", pgErr.Code)
	}
}
