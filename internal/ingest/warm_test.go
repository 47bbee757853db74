package ingest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/ingest"
	"github.com/outhook/outhook/internal/pg"
)

func TestConnectionsAreWarmBeforeTheyAreNeeded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoints("outhook", 3) // whatever an application calls its tenants
	const conns = 3
	pool, err := pg.NewPoolLike(t.Context(), b.pool, conns, ingest.Warm(conns))
	require.NoError(t, err)
	defer pool.Close()
	require.Eventually(t, func() bool { return pool.Stat().IdleConns() == conns }, time.Minute, time.Millisecond)

	// The statements of a function are planned at their first execution: what follows finds their relations open.
	for _, c := range pool.AcquireAllIdle(t.Context()) {
		defer c.Release()
		var status string
		require.NoError(t, c.QueryRow(t.Context(), `SELECT current_setting('lock_timeout')`).Scan(&status))
		require.Equal(t, "0", status)
		require.Equal(t, byte('I'), c.Conn().PgConn().TxStatus())
	}
	require.Zero(t, b.count(`SELECT (SELECT count(*) FROM outhook.events) + (SELECT count(*) FROM outhook.deliveries)
		+ (SELECT count(*) FROM outhook.river_job)`))
	// On a machine with a lot to do one or another meets its bounds.
	require.GreaterOrEqual(t, b.count(`SELECT last_value FROM outhook.river_job_id_seq`), 3*3, "each event had its deliveries")
}

func TestWhatCantBeWarmedCanBeUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), `LOCK TABLE outhook.events`)
	require.NoError(t, err)

	pool, err := pg.NewPoolLike(t.Context(), b.pool, 1, ingest.Warm(0))
	require.NoError(t, err)
	defer pool.Close()
	c, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer c.Release()
	require.Equal(t, byte('I'), c.Conn().PgConn().TxStatus())
}
