package migrations_test

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/migrations"
)

// tool runs one of Postgres' own programs.
func tool(t *testing.T, s *localpg.Server, name string, args ...string) {
	t.Helper()
	path := filepath.Join(s.BinDir(), name)
	_, err := os.Stat(path)
	dbtest.RequireTool(t, name, err == nil)
	out, err := osexec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}

// A dump of the schema alone (structure.sql, Flyway's baseline) has tables and no version.
func TestADumpOfTheSchemaAloneIsAdopted(t *testing.T) {
	t.Parallel()
	s := server(t, os.Getenv("OUTHOOK_TEST_POSTGRES_BIN"))
	source := open(t, s.URL("outhook"))
	up(t, source)
	want := fingerprint(t, source)
	file := filepath.Join(t.TempDir(), "structure.sql")
	tool(t, s, "pg_dump", "--schema-only", "--file", file, s.URL("outhook"))

	restore := func(name string) *pgxpool.Pool {
		exec(t, open(t, s.URL("postgres")), `CREATE DATABASE `+name)
		tool(t, s, "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", file, s.URL(name))
		return open(t, s.URL(name))
	}
	whole := restore("whole")
	require.ErrorIs(t, migrations.Check(t.Context(), whole), migrations.ErrSchemaTooOld)
	up(t, whole)
	require.NoError(t, migrations.Check(t.Context(), whole))
	require.Equal(t, want, fingerprint(t, whole))
	require.Empty(t, up(t, whole).Changes)
	require.Equal(t, column[int64](t, source, `SELECT version_id FROM outhook.goose_db_version ORDER BY version_id`),
		column[int64](t, whole, `SELECT version_id FROM outhook.goose_db_version ORDER BY version_id`))
	require.Equal(t, column[int64](t, source, `SELECT version FROM outhook.river_migration ORDER BY version`),
		column[int64](t, whole, `SELECT version FROM outhook.river_migration ORDER BY version`))
	exec(t, whole, `SELECT outhook.enqueue('acme', 'a.b', '{}')`)

	// What is not the version's is told.
	altered := restore("altered")
	exec(t, altered, `ALTER TABLE outhook.endpoints DROP COLUMN metadata, ADD COLUMN extra integer`)
	_, err := migrations.Up(t.Context(), altered)
	require.ErrorContains(t, err, "lacks endpoints.metadata jsonb")
	require.ErrorContains(t, err, "has endpoints.extra integer")

	nameless := restore("nameless")
	exec(t, nameless, `COMMENT ON SCHEMA outhook IS NULL`)
	_, err = migrations.Up(t.Context(), nameless)
	require.ErrorIs(t, err, migrations.ErrUnknownSchema)

	newer := restore("newer")
	exec(t, newer, `COMMENT ON SCHEMA outhook IS 'Outhook, schema version 9999'`)
	_, err = migrations.Up(t.Context(), newer)
	require.ErrorContains(t, err, "version 9999")
}

// A dump that is restored into another cluster, where the roles are not, gives nobody the rights that they had, and PUBLIC
// some that it had not.
func TestARestoreElsewhereIsMended(t *testing.T) {
	t.Parallel()
	s := server(t, os.Getenv("OUTHOOK_TEST_POSTGRES_BIN"))
	source := open(t, s.URL("outhook"))
	up(t, source)
	exec(t, source, `INSERT INTO outhook.endpoints (id, tenant_id, url) VALUES (outhook.uuid_v7(), 'acme', 'https://example.com')`)
	exec(t, source, `SELECT outhook.enqueue('acme', 'a.b', '{}')`)
	want := fingerprint(t, source)

	for name, args := range map[string][]string{"plain": nil, "noacl": {"--no-acl"}, "noowner": {"--no-owner", "--no-acl"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			elsewhere := server(t, os.Getenv("OUTHOOK_TEST_POSTGRES_BIN"))
			file := filepath.Join(t.TempDir(), "dump")
			tool(t, s, "pg_dump", append(args, "--format", "custom", "--file", file, s.URL("outhook"))...)
			cmd := osexec.CommandContext(t.Context(), filepath.Join(s.BinDir(), "pg_restore"), "--dbname", elsewhere.URL("outhook"), file)
			_, _ = cmd.CombinedOutput() // it tells of the roles that are missing

			pool := open(t, elsewhere.URL("outhook"))
			require.Equal(t, 1, value[int](t, pool, `SELECT count(*) FROM outhook.events`))
			if name != "plain" {
				require.NotEmpty(t, rights(t, pool, "public"))
			}
			require.NotEmpty(t, up(t, pool).Changes)
			require.Equal(t, want, fingerprint(t, pool))
			requireRights(t, pool)
			exec(t, pool, `SELECT outhook.enqueue('acme', 'a.b', '{}')`)
		})
	}
}
