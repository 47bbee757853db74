package eventtype_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/api/eventtype"
	"github.com/outhook/outhook/internal/dbtest"
)

// What the catalogue would refuse does not pass while its connections are taken: the store may have some.
func TestNothingPassesUnchecked(t *testing.T) {
	t.Parallel()
	cfg := dbtest.New(t).Config()
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = 1, 0, 0
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	taken, err := pool.Acquire(t.Context())
	require.NoError(t, err)

	c := &eventtype.Checker{Pool: pool, Known: true}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	event := outhook.Event{TenantID: "acme", Type: "nobody.described", Payload: []byte("{}")}
	require.ErrorIs(t, c.Check(ctx, event, "body"), context.Canceled)
	taken.Release()
	require.ErrorContains(t, c.Check(t.Context(), event, "body"), "no such event type")
}
