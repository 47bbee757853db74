package migrations_test

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/migrations"
)

// riverMigration is the version that runs River's migrations; the next one tunes River's table.
const riverMigration = 100

// riverMigrator returns River's own migrations, for the schema of a database.
func riverMigrator(t *testing.T, pool *pgxpool.Pool) *rivermigrate.Migrator[pgx.Tx] {
	t.Helper()
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{
		Schema: migrations.Schema, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return m
}

func newestRiverVersion(t *testing.T) int {
	t.Helper()
	all := riverMigrator(t, nil).AllVersions()
	return all[len(all)-1].Version
}

func TestRiverIsAtItsNewestVersion(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	m := riverMigrator(t, pool)
	result, err := m.Validate(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, result.OK, result.Messages)
	existing, err := m.ExistingVersions(t.Context())
	require.NoError(t, err)
	require.Equal(t, newestRiverVersion(t), existing[len(existing)-1].Version)
}

// What our migrations do to River's objects is undone to the letter.
func TestRiverWithoutTuningIsRiversOwn(t *testing.T) {
	t.Parallel()
	own := open(t, dbtest.Empty(t))
	exec(t, own, `CREATE SCHEMA outhook`)
	_, err := riverMigrator(t, own).Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	want := linesOf(fingerprint(t, own), "river_")

	pool := open(t, dbtest.NewURL(t))
	require.NotEqual(t, want, linesOf(fingerprint(t, pool), "river_"))
	require.NoError(t, migrations.DownTo(t.Context(), pool, riverMigration))
	// The server's role may use what is left, and PUBLIC may not.
	exec(t, pool, `REVOKE ALL ON ALL TABLES IN SCHEMA outhook FROM outhook_server; REVOKE ALL ON ALL SEQUENCES IN SCHEMA outhook FROM outhook_server;
		REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outhook FROM outhook_server; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA outhook TO PUBLIC`)
	require.Equal(t, want, linesOf(fingerprint(t, pool), "river_"))
	require.Subset(t, riverJobIndexes(t, pool), []string{"river_job_args_index", "river_job_metadata_index"})
}

func riverJobIndexes(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return column[string](t, pool, `SELECT indexname::text FROM pg_indexes
		WHERE schemaname = 'outhook' AND tablename = 'river_job' ORDER BY indexname COLLATE "C"`)
}

// An index that a River upgrade adds is a decision: keep it, or drop it in a migration.
func TestRiverJobIsTuned(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	require.Equal(t, []string{
		"river_job_late_idx",
		"river_job_pkey",
		"river_job_prioritized_fetching_index",
		"river_job_state_and_finalized_at_index",
		"river_job_unique_idx",
		"river_job_waiting_idx",
	}, riverJobIndexes(t, pool))
	require.Zero(t, value[int](t, pool, `SELECT count(*) FROM pg_index AS i
		JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS m ON m.oid = c.relam
		WHERE i.indrelid = 'outhook.river_job'::regclass AND m.amname = 'gin'`))

	options := value[[]string](t, pool, `SELECT reloptions FROM pg_class WHERE oid = 'outhook.river_job'::regclass`)
	slices.Sort(options)
	require.Equal(t, []string{
		"autovacuum_analyze_scale_factor=0",
		"autovacuum_analyze_threshold=20000",
		"autovacuum_vacuum_cost_delay=0",
		"autovacuum_vacuum_insert_scale_factor=0",
		"autovacuum_vacuum_insert_threshold=50000",
		"autovacuum_vacuum_scale_factor=0",
		"autovacuum_vacuum_threshold=20000",
	}, options)
}
