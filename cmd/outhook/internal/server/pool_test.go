package server_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/dbtest"
)

// A process is frozen in the middle of a transaction: what it has locked is free soon, and it can do nothing more with it.
func TestAFrozenProcessLosesItsTransaction(t *testing.T) {
	t.Parallel()
	url := dbtest.NewURL(t)
	frozen, err := server.OpenPool(t.Context(), url, "frozen", 1)
	require.NoError(t, err)
	t.Cleanup(frozen.Close)
	other, err := server.OpenPool(t.Context(), url, "other", 1)
	require.NoError(t, err)
	t.Cleanup(other.Close)

	tx, err := frozen.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	_, err = tx.Exec(t.Context(), `LOCK TABLE outhook.endpoints IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)

	_, err = other.Exec(t.Context(), `SET lock_timeout = '30s'; SELECT FROM outhook.endpoints`)
	require.NoError(t, err)
	require.Error(t, tx.Commit(t.Context()))
}
