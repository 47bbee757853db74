package pg_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/pg"
)

// What a frozen process has locked is free after a moment, whichever of its connections it was.
func TestAFrozenProcessLosesItsTransactions(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	const setting = "SHOW idle_in_transaction_session_timeout"

	for name, open := range map[string]func(context.Context, *pgxpool.Pool) (*pgxpool.Pool, error){
		"KeyPool": pg.NewKeyPool, "FetchPool": pg.NewFetchPool,
	} {
		derived, err := open(t.Context(), pool)
		require.NoError(t, err)
		t.Cleanup(derived.Close)
		var timeout string
		require.NoError(t, derived.QueryRow(t.Context(), setting).Scan(&timeout))
		require.Equal(t, "5s", timeout, name)
	}

	side, err := pg.Connect(t.Context(), pg.SideConn(pool, "test"), pg.SideSettings)
	require.NoError(t, err)
	defer pg.CloseSide(t.Context(), side)
	var timeout string
	require.NoError(t, side.QueryRow(t.Context(), setting).Scan(&timeout))
	require.Equal(t, "5s", timeout)
}
