package migrations_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/migrations"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func TestMain(m *testing.M) { dbtest.Main(m) }

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	return openConfig(t, cfg)
}

func openConfig(t *testing.T, cfg *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// server starts a PostgreSQL of its own, for what belongs to a whole cluster.
func server(t *testing.T, binDir string) *localpg.Server {
	t.Helper()
	s, err := localpg.Start(t.Context(), localpg.Config{BinDir: binDir})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		require.NoError(t, s.Stop(ctx))
	})
	return s
}

// up migrates a database and returns what changed.
func up(t *testing.T, pool *pgxpool.Pool, why ...any) migrations.Result {
	t.Helper()
	r, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err, why...)
	return r
}

// database is a pool, a connection or a transaction.
type database interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func exec(t *testing.T, db database, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

// column returns the values of a query's only column.
func column[T any](t *testing.T, db database, sql string, args ...any) []T {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	require.NoError(t, err, sql)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(t, err, sql)
	return values
}

// value returns the only value of a query.
func value[T any](t *testing.T, db database, sql string, args ...any) T {
	t.Helper()
	values := column[T](t, db, sql, args...)
	require.Len(t, values, 1, sql)
	return values[0]
}
