package dbtest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/migrations"
)

func TestMain(m *testing.M) { Main(m) }

// recorder is a test whose end we can watch: it keeps what the code under test reports instead of reporting it.
type recorder struct {
	testing.TB

	cleanups        []func()
	failed, skipped bool
	said            strings.Builder
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool     { return r.failed }
func (r *recorder) Log(args ...any)  { fmt.Fprintln(&r.said, args...) }

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	fmt.Fprintf(&r.said, format+"\n", args...)
	runtime.Goexit()
}

// record runs f as a test of its own, cleanups included, and returns what came of it.
func record(t *testing.T, f func(testing.TB)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, cleanup := range slices.Backward(r.cleanups) {
				cleanup()
			}
		}()
		f(r)
	}()
	<-done
	return r
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func databaseName(t *testing.T, address string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	return cfg.Database
}

func exists(t *testing.T, database string) bool {
	t.Helper()
	var found bool
	err := connect(t, AdminURL(t)).
		QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&found)
	require.NoError(t, err)
	return found
}

func TestNew(t *testing.T) {
	t.Parallel()

	t.Run("HasAllMigrationsAndNothingElse", func(t *testing.T) {
		t.Parallel()
		pool := New(t)
		require.NoError(t, migrations.Check(t.Context(), pool))
		var events, jobs int
		require.NoError(t, pool.QueryRow(t.Context(),
			"SELECT (SELECT count(*) FROM outhook.events), (SELECT count(*) FROM outhook.river_job)").Scan(&events, &jobs))
		require.Zero(t, events+jobs)
		require.EqualValues(t, poolConns, pool.Config().MaxConns)
	})

	t.Run("PartitionsAreThoseOfToday", func(t *testing.T) {
		t.Parallel()
		var ahead int
		require.NoError(t, New(t).QueryRow(t.Context(), `SELECT count(*) FROM pg_inherits
			WHERE inhparent = 'outhook.events'::regclass`).Scan(&ahead))
		require.GreaterOrEqual(t, ahead, 31)
	})

	t.Run("TwoTestsDoNotMeet", func(t *testing.T) {
		t.Parallel()
		one, two := New(t), New(t)
		_, err := one.Exec(t.Context(), "CREATE TABLE public.mine (a int)")
		require.NoError(t, err)
		_, err = two.Exec(t.Context(), "SELECT FROM public.mine")
		require.ErrorContains(t, err, "does not exist")
	})

	t.Run("DatabaseGoesWithItsTest", func(t *testing.T) {
		t.Parallel()
		var name string
		r := record(t, func(t testing.TB) {
			t.Helper()
			pool := New(t)
			name = pool.Config().ConnConfig.Database
			if err := pool.Ping(t.Context()); err != nil {
				t.Fatalf("pinging: %v", err)
			}
		})
		require.False(t, r.failed, r.said.String())
		require.NotEmpty(t, name)
		require.False(t, exists(t, name))
	})

	t.Run("DatabaseOfAFailedTestStays", func(t *testing.T) {
		t.Parallel()
		var address string
		r := record(t, func(t testing.TB) {
			t.Helper()
			address = NewURL(t)
			t.Fatalf("no luck")
		})
		require.True(t, exists(t, databaseName(t, address)))
		require.Contains(t, r.said.String(), databaseName(t, address))
	})

	t.Run("ConnectionThatIsNotGivenBackFailsTheTest", func(t *testing.T) {
		t.Parallel()
		pool, err := pgxpool.New(t.Context(), NewURL(t))
		require.NoError(t, err)
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)

		r := record(t, func(t testing.TB) {
			t.Helper()
			closePool(t, pool, 10*time.Millisecond)
		})
		conn.Release()
		require.True(t, r.failed)
		require.Contains(t, r.said.String(), "1 connections are still in use")
	})

	t.Run("OpenConnectionDoesNotKeepADatabase", func(t *testing.T) {
		t.Parallel()
		var address string
		r := record(t, func(tb testing.TB) {
			tb.Helper()
			address = NewURL(tb)
			connect(t, address)
		})
		require.False(t, r.failed, r.said.String())
		require.False(t, exists(t, databaseName(t, address)))
	})
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	address := Empty(t)
	var encoding string
	var tables int
	require.NoError(t, connect(t, address).QueryRow(t.Context(), `SELECT current_setting('server_encoding'), count(*)
		FROM pg_class WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
			AND relnamespace::regnamespace::text NOT LIKE 'pg_toast%'`).Scan(&encoding, &tables))
	require.Equal(t, "UTF8", encoding)
	require.Zero(t, tables)
}

func TestCloneName(t *testing.T) {
	t.Parallel()
	name := cloneName("TestEnqueue/Ünïcode_Names#01/" + strings.Repeat("x", 100))
	require.Regexp(t, `^outhook_t_testenqueue_ncode_names01_x{14}_[a-z2-7]{10}$`, name)
	require.LessOrEqual(t, len(name), 63)
	again := cloneName("TestEnqueue/Ünïcode_Names#01/" + strings.Repeat("x", 100))
	require.NotEqual(t, name, again)
}
