package ingest_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/ingest"
	"github.com/outhook/outhook/internal/pg"
)

// Commits that notify wait for each other, and for those of anybody who may log in: no request may.
func TestWorkersAreToldAfterTheCommitByAnotherConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoints("acme", 1)
	one, err := pg.NewPoolLike(t.Context(), b.pool, 1)
	require.NoError(t, err)
	t.Cleanup(one.Close)
	store := ingest.New(one, b.pool, slog.New(slog.DiscardHandler), nil)
	t.Cleanup(func() { require.NoError(t, store.Close(context.WithoutCancel(t.Context()))) })
	listener, err := b.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer listener.Release()
	_, err = listener.Exec(t.Context(), `LISTEN "outhook.river_insert"`)
	require.NoError(t, err)

	_, err = store.Put(t.Context(), of("acme", 1), "")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told, err := listener.Conn().WaitForNotification(ctx)
	require.NoError(t, err)
	require.JSONEq(t, `{"queue": "deliver"}`, told.Payload)
	var pid uint32
	require.NoError(t, one.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid))
	require.NotEqual(t, pid, told.PID)
}
