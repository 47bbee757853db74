package migrations_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/migrations"
)

// Any login of the database can take any advisory lock.
func TestAStrangersLocksStopNoMigrationAndNoPartition(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t))
	stranger, err := pgx.ConnectConfig(t.Context(), pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	role := uniqueName("outhook_stranger_")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := stranger.Exec(ctx, `ROLLBACK; RESET SESSION AUTHORIZATION; DROP ROLE `+role)
		require.NoError(t, err)
		require.NoError(t, stranger.Close(ctx))
	})
	_, err = stranger.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN; SET SESSION AUTHORIZATION `+role+`;
		SELECT pg_advisory_lock(x'6f7574686d696772'::bigint), pg_advisory_lock(1869968488, hashtext('create_partitions'))`)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	up(t, pool)
	_, err = stranger.Exec(t.Context(), `BEGIN; LOCK TABLE outhook.migration_lock IN ACCESS SHARE MODE`)
	require.ErrorContains(t, err, "permission denied")
	_, err = pool.Exec(ctx, `SET lock_timeout = '10s'; SELECT outhook.create_partitions('2030-01-01', '2030-01-01')`)
	require.NoError(t, err)
	require.NoError(t, migrations.DownTo(ctx, pool, 0))
}

// A process that is frozen with the lock in its hand answers nothing, and its connection stays open.
func TestAFrozenMigrationIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.NewURL(t))
	frozen, err := pgx.ConnectConfig(t.Context(), pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	defer frozen.Close(context.WithoutCancel(t.Context()))
	_, err = frozen.Exec(t.Context(), migrations.TakeLock)
	require.NoError(t, err)

	began := time.Now()
	up(t, pool)
	require.Greater(t, time.Since(began), 20*time.Second, "others wait for one that lives")
	require.Error(t, frozen.Ping(t.Context()))
}

func TestAMigrationThatLosesItsLockEnds(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.NewURL(t))
	reader, err := pool.Begin(t.Context())
	require.NoError(t, err)
	exec(t, reader, `LOCK TABLE outhook.events IN ACCESS SHARE MODE`)
	down := make(chan error, 1)
	go func() { down <- migrations.DownTo(t.Context(), pool, 1) }()
	require.Eventually(t, func() bool {
		return value[int](t, pool, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	}, time.Minute, 10*time.Millisecond)
	exec(t, pool, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'outhook.migration_lock'::regclass
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	err = <-down
	require.ErrorContains(t, err, "has lost its lock")
	require.NoError(t, reader.Rollback(t.Context()))
}
