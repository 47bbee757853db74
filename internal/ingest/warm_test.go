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
	const conns = 3
	pool, err := pg.NewPoolLike(t.Context(), b.pool, conns, ingest.Warm(conns))
	require.NoError(t, err)
	defer pool.Close()
	require.Eventually(t, func() bool { return pool.Stat().IdleConns() == conns }, time.Minute, time.Millisecond)

	// Nothing of it stays with the session.
	for _, c := range pool.AcquireAllIdle(t.Context()) {
		var status string
		require.NoError(t, c.QueryRow(t.Context(), `SELECT current_setting('lock_timeout')`).Scan(&status))
		require.Equal(t, "0", status)
		require.Equal(t, byte('I'), c.Conn().PgConn().TxStatus())
		c.Release()
	}
	pool.Close() // who leaves reports what it has counted

	require.Zero(t, b.count(`SELECT sum(n_tup_ins) FROM pg_catalog.pg_stat_user_tables
		WHERE schemaname = 'outhook' AND relname ~ '^(events|deliveries|river_job)'`))
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
