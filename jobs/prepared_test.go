package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/migrations"
)

// setupPrepared is setup on a server that prepares transactions, which none does unless it is told.
func setupPrepared(t *testing.T) *testBundle {
	t.Helper()
	server, err := localpg.Start(t.Context(), localpg.Config{Settings: map[string]string{"max_prepared_transactions": "5"}})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		require.NoError(t, server.Stop(ctx))
	})
	pool, err := pgxpool.New(t.Context(), server.URL("outhook"))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	return &testBundle{ctx: t.Context(), pool: pool, keyring: keyring, receiver: newReceiver(t)}
}

// Postgres prepares no transaction that has notified. One that says so enqueues without, and its delivery is made once it is
// committed, by the workers' poll.
func TestAnEventOfAPreparedTransaction(t *testing.T) {
	t.Parallel()
	b := setupPrepared(t)
	endpointID, _ := b.endpoint(t)
	b.start(t, b.config(t))
	prepare := func(name, setting string) (eventID uuid.UUID, err error) {
		conn, err := b.pool.Acquire(b.ctx)
		require.NoError(t, err)
		defer conn.Release()
		_, err = conn.Exec(b.ctx, `BEGIN;`+setting)
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'invoice.paid', '{}', $2)`, tenant, name).Scan(&eventID))
		_, err = conn.Exec(b.ctx, `PREPARE TRANSACTION '`+name+`'`)
		return eventID, err
	}

	var pgErr *pgconn.PgError
	_, err := prepare("notifying", "")
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "0A000", pgErr.Code)
	require.Contains(t, pgErr.Message, "NOTIFY")

	taken, err := prepare("rolled-back", `SET LOCAL outhook.notify = off`)
	require.NoError(t, err)
	_, err = b.pool.Exec(b.ctx, `ROLLBACK PREPARED 'rolled-back'`)
	require.NoError(t, err)
	eventID, err := prepare("committed", `SET LOCAL outhook.notify = off`)
	require.NoError(t, err)
	require.Empty(t, b.receiver.received())
	_, err = b.pool.Exec(b.ctx, `COMMIT PREPARED 'committed'`)
	require.NoError(t, err)
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	var stored []uuid.UUID
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT array_agg(id) FROM outhook.events`).Scan(&stored))
	require.Equal(t, []uuid.UUID{eventID}, stored, "not %s", taken)
}

// A burst and an event for a slow endpoint wake other queues, by other statements: with the setting off none of them notifies.
func TestNothingNotifiesIfATransactionSaysSo(t *testing.T) {
	t.Parallel()
	b := setupPrepared(t)
	b.endpoint(t)
	for name, sql := range map[string]string{
		"one":   `SELECT outhook.enqueue('acme', 'a.b', '1')`,
		"keyed": `SELECT outhook.enqueue('acme', 'a.b', '1', 'k')`,
		"event": `SELECT outhook.enqueue_event('acme', 'a.b', '1')`,
		"burst": `SELECT outhook.enqueue('acme', 'a.b', '1') FROM generate_series(1, 150)`,
		"batch": `SELECT count(*) FROM outhook.enqueue_many(array_fill('acme'::text, '{150}'), array_fill('a.b'::text, '{150}'),
			array_fill('1'::text, '{150}'), NULL, true)`,
	} {
		_, err := b.pool.Exec(b.ctx, `BEGIN; SET LOCAL outhook.notify = off; `+sql+`; PREPARE TRANSACTION '`+name+`'`)
		require.NoError(t, err, name)
		_, err = b.pool.Exec(b.ctx, `COMMIT PREPARED '`+name+`'`)
		require.NoError(t, err, name)
	}
}
