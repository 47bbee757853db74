package migrations_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/migrations"
)

// postgres18 returns the folder of PostgreSQL 18's binaries.
func postgres18(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("OUTHOOK_TEST_POSTGRES18_BIN")
	dbtest.RequireTool(t, "PostgreSQL 18 (OUTHOOK_TEST_POSTGRES18_BIN)", dir != "")
	return dir
}

func TestUpAndDown(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQLOfTheTests", func(t *testing.T) {
		t.Parallel()
		testUpAndDown(t, open(t, dbtest.Empty(t)))
	})
	t.Run("PostgreSQL18", func(t *testing.T) {
		t.Parallel()
		pool := open(t, server(t, postgres18(t)).URL("outhook"))
		require.GreaterOrEqual(t, value[int](t, pool, `SELECT current_setting('server_version_num')::integer`), 180000)
		testUpAndDown(t, pool)
	})
}

func testUpAndDown(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	up(t, pool)
	first := fingerprint(t, pool)
	up(t, pool)
	require.Equal(t, first, fingerprint(t, pool), "a second time there is nothing to do")

	for _, v := range slices.Backward(versions(t)[:len(versions(t))-1]) {
		require.NoError(t, migrations.DownTo(ctx, pool, v))
		require.Equal(t, v, value[int64](t, pool, `SELECT max(version_id) FROM outhook.goose_db_version`))
		up(t, pool, "from version %d", v)                                   //nolint:contextcheck // t brings it
		require.Equal(t, first, fingerprint(t, pool), "from version %d", v) //nolint:contextcheck // t brings it
	}

	require.NoError(t, migrations.DownTo(ctx, pool, 0))
	requireEmpty(t, pool)
	up(t, pool)
	require.Equal(t, first, fingerprint(t, pool))
	require.Empty(t, column[string](t, pool, `SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'outhook')`), "everything is in the schema")
}

// A version before works no queue of one tenant's bursts.
func TestDownLeavesNoBurstWhereNobodyWorksIt(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.NewURL(t))
	exec(t, pool, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, state, finalized_at)
		SELECT 'deliver', '{}', q, 1, s, CASE WHEN s IN ('completed', 'cancelled', 'discarded') THEN now() END
		FROM unnest(ARRAY[outhook.bulk_queue('acme'), 'deliver', 'endpoint-1']) AS q, unnest(enum_range(NULL::outhook.river_job_state)) AS s`)
	require.NoError(t, migrations.DownTo(t.Context(), pool, 110))
	require.Equal(t, 5, value[int](t, pool, `SELECT count(*) FROM outhook.river_job WHERE queue = 'deliver_bulk' AND finalized_at IS NULL`))
	require.Equal(t, 3, value[int](t, pool, `SELECT count(*) FROM outhook.river_job WHERE queue LIKE 'bulk-%' AND finalized_at IS NOT NULL`))
	require.Equal(t, 16, value[int](t, pool, `SELECT count(*) FROM outhook.river_job WHERE queue IN ('deliver', 'endpoint-1')`))
}

// An index that was being built beside the workers is left invalid when the run is broken off, and its column is there.
func TestTheMigrationOfUIDsIsRepeatedWhenItWasBrokenOff(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	want := fingerprint(t, pool)
	require.NoError(t, migrations.DownTo(t.Context(), pool, 105))
	exec(t, pool, `ALTER TABLE outhook.endpoints ADD COLUMN uid text COLLATE "C"`)
	up(t, pool)
	require.Equal(t, want, fingerprint(t, pool))
}

// Whoever reads attempts for long is waited for, and the workers that record do not wait with it.
func TestTheTimesOfAttemptsHoldNoWorkerUp(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.NewURL(t))
	want := fingerprint(t, pool)
	event := value[string](t, pool, `SELECT outhook.uuid_v7()::text`)
	require.NoError(t, migrations.DownTo(t.Context(), pool, 115))
	report, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer report.Rollback(t.Context())
	exec(t, report, `SELECT * FROM outhook.delivery_attempts`)

	migrated := make(chan error, 1)
	go func() {
		_, err := migrations.Up(t.Context(), pool)
		migrated <- err
	}()
	require.Eventually(t, func() bool {
		return value[int](t, pool, `SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'`) > 0
	}, time.Minute, 10*time.Millisecond)
	exec(t, pool, `INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome)
		VALUES ($1, gen_random_uuid(), 1, now(), 'succeeded')`, event)
	require.Empty(t, migrated)

	require.NoError(t, report.Rollback(t.Context()))
	require.NoError(t, <-migrated)
	require.Equal(t, want, fingerprint(t, pool))
}

// requireEmpty wants a schema that holds goose's version table, the table of the lock and nothing else, and group roles without any right.
func requireEmpty(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ofGoose := regexp.MustCompile(`^(relation|column|index|constraint|sequence|type) .*\bgoose_db_version|^type _goose_db_version |^(relation|type) _?migration_lock `)
	var others []string
	for _, line := range fingerprint(t, pool) {
		if !ofGoose.MatchString(line) {
			others = append(others, line)
		}
	}
	require.Equal(t, []string{"schema rights "}, others)
	require.Equal(t, []string{"outhook_publisher", "outhook_reporter", "outhook_server"}, groupRoles(t, pool))
	require.Zero(t, value[int](t, pool, `SELECT count(*) FROM pg_shdepend AS d JOIN pg_roles AS r ON r.oid = d.refobjid
		WHERE d.refclassid = 'pg_authid'::regclass AND r.rolname IN ('outhook_publisher', 'outhook_reporter')
			AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`))
}

// Three connections are what Up asks for.
func TestConcurrentUpAppliesOnce(t *testing.T) {
	t.Parallel()
	cfg, err := pgxpool.ParseConfig(dbtest.Empty(t))
	require.NoError(t, err)
	cfg.MaxConns = 3
	var g errgroup.Group
	for range 8 {
		pool := openConfig(t, cfg.Copy())
		g.Go(func() error {
			_, err := migrations.Up(t.Context(), pool)
			return err
		})
	}
	require.NoError(t, g.Wait())

	pool := openConfig(t, cfg)
	require.Equal(t, versions(t), column[int64](t, pool, `SELECT version_id FROM outhook.goose_db_version ORDER BY id`))
	require.Equal(t, fingerprint(t, dbtest.New(t)), fingerprint(t, pool))
}

func TestEncodingMustBeUTF8(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			pool := openConfig(t, encoded(t, encoding))
			_, err := migrations.Up(t.Context(), pool)
			require.ErrorIs(t, err, migrations.ErrEncoding)
			require.ErrorContains(t, err, encoding)
			require.False(t, value[bool](t, pool, `SELECT to_regnamespace('outhook') IS NOT NULL`))
			require.Zero(t, value[int](t, pool, `SELECT count(*) FROM pg_class WHERE oid >= 16384`), "nothing was created")
		})
	}
}

// encoded creates a database with an encoding, and returns its address.
func encoded(t *testing.T, encoding string) *pgxpool.Config {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(dbtest.AdminURL(t))
	require.NoError(t, err)
	name := uniqueName("outhook_encoding_")
	admin, err := pgx.ConnectConfig(t.Context(), cfg.ConnConfig.Copy())
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		defer admin.Close(ctx)
		_, err := admin.Exec(ctx, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`)
		require.NoError(t, err)
	})
	_, err = admin.Exec(t.Context(), fmt.Sprintf(
		`CREATE DATABASE %s TEMPLATE template0 ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C'`, name, encoding))
	require.NoError(t, err)
	cfg.ConnConfig.Database = name
	return cfg
}

func TestEmptyDatabaseIsTooOld(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t))
	requireVersion(t, pool, 0)
	requireTooOld(t, pool, 0)
	require.False(t, value[bool](t, pool, `SELECT to_regnamespace('outhook') IS NOT NULL`), "looking creates nothing")
}

func TestPartlyMigratedDatabaseIsTooOld(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.NewURL(t))
	all := versions(t)
	for _, v := range []int64{all[len(all)-2], riverMigration, 0} {
		require.NoError(t, migrations.DownTo(t.Context(), pool, v))
		requireVersion(t, pool, v)
		requireTooOld(t, pool, v)
	}
}

func TestMigratedDatabaseIsCurrent(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	requireVersion(t, pool, migrations.Latest())
	require.NoError(t, migrations.Check(t.Context(), pool))
}

// In a rolling upgrade the older release goes on, and starts, on a database that the newer has migrated.
func TestNewerDatabaseIsAccepted(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.NewURL(t))
	newer := migrations.Latest() + 1
	exec(t, pool, `INSERT INTO outhook.goose_db_version (version_id, is_applied) VALUES ($1, true)`, newer)
	before := fingerprint(t, pool)
	require.NoError(t, migrations.Check(t.Context(), pool))
	up(t, pool)
	require.Equal(t, before, fingerprint(t, pool))
	requireVersion(t, pool, newer)
}

// requireVersion wants every migration up to a version to be applied and the later ones to be listed too.
func requireVersion(t *testing.T, pool *pgxpool.Pool, want int64) {
	t.Helper()
	got, err := migrations.Version(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, want, got)
	list, err := migrations.List(t.Context(), pool)
	require.NoError(t, err)
	all := versions(t)[1:]
	require.Len(t, list, len(all))
	for i, m := range list {
		require.Equal(t, all[i], m.Version)
		require.Regexp(t, fmt.Sprintf(`^%05d_[a-z0-9_]+(\.sql)?$`, m.Version), m.Name)
		require.Equal(t, m.Version <= want, m.Applied, m.Name)
	}
}

func requireTooOld(t *testing.T, pool *pgxpool.Pool, version int64) {
	t.Helper()
	err := migrations.Check(t.Context(), pool)
	require.ErrorIs(t, err, migrations.ErrSchemaTooOld)
	require.ErrorContains(t, err, "`outhook migrate up`")
	require.ErrorContains(t, err, fmt.Sprintf("at version %d, this binary needs %d", version, migrations.Latest()))
}

// versions returns 0 and the version of each migration, in order. River's have a number and no file.
func versions(t *testing.T) []int64 {
	t.Helper()
	all := []int64{0, riverMigration}
	for _, name := range fileNames(t) {
		v, err := strconv.ParseInt(name[:5], 10, 64)
		require.NoError(t, err)
		all = append(all, v)
	}
	slices.Sort(all)
	require.Equal(t, slices.Compact(slices.Clone(all)), all, "each number is taken once")
	return all
}

func TestLatestIsTheLastFile(t *testing.T) {
	t.Parallel()
	names := fileNames(t)
	require.True(t, strings.HasPrefix(names[len(names)-1], fmt.Sprintf("%05d_", migrations.Latest())))
}

// The tests' template is named by the hash: a file that is not in it would be tested in an older form.
func TestHashCoversEachFileAndRiver(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^[0-9a-f]{64}$`, migrations.Hash())
	river := newestRiverVersion(t)
	require.Equal(t, hashOfFiles(t, river), migrations.Hash())
	require.NotEqual(t, hashOfFiles(t, river+1), migrations.Hash())
}

func hashOfFiles(t *testing.T, river int) string {
	t.Helper()
	h := sha256.New()
	fmt.Fprintf(h, "river %d\n", river)
	columns, err := filepath.Glob("columns/*")
	require.NoError(t, err)
	declared, err := filepath.Glob("declared/*")
	require.NoError(t, err)
	for _, name := range slices.Concat(fileNames(t), columns, declared) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func fileNames(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}
