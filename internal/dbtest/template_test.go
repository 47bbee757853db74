package dbtest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/localpg"
)

// newServer is a server like that of another test binary on the same PostgreSQL.
func newServer(t *testing.T, address string) *server {
	t.Helper()
	s := new(server)
	s.startOnce.Do(func() { s.startErr = s.start(t.Context(), address, "") })
	require.NoError(t, s.startErr)
	t.Cleanup(func() { require.NoError(t, s.close(context.WithoutCancel(t.Context()))) })
	return s
}

// countingUp is a small migration that counts its runs.
func countingUp(runs *atomic.Int32) func(context.Context, *pgxpool.Pool) error {
	return func(ctx context.Context, pool *pgxpool.Pool) error {
		runs.Add(1)
		_, err := pool.Exec(ctx, "CREATE TABLE migrated (a int)")
		return err
	}
}

func (s *server) templateNames(t *testing.T) []string {
	t.Helper()
	var names []string
	require.NoError(t, s.admin.QueryRow(t.Context(), `SELECT array_agg(datname::text ORDER BY datname) FROM pg_database
		WHERE datistemplate AND starts_with(datname, $1)`, templatePrefix).Scan(&names))
	return names
}

// TestTemplate is the life of one PostgreSQL that many test binaries use; its subtests follow one another.
//
//nolint:paralleltest,tparallel // the subtests share what is above them
func TestTemplate(t *testing.T) {
	t.Parallel()
	local, err := localpg.Start(t.Context(), localpg.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, local.Stop(context.WithoutCancel(t.Context()))) })
	address := local.URL("postgres")
	var runs atomic.Int32

	t.Run("ManyBinariesBuildItOnce", func(t *testing.T) {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			s := newServer(t, address)
			wg.Go(func() { errs[i] = s.prepareTemplate(t.Context(), "aaaa", countingUp(&runs)) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		require.EqualValues(t, 1, runs.Load())
	})

	t.Run("LaterBinaryFindsIt", func(t *testing.T) {
		s := newServer(t, address)
		require.NoError(t, s.prepareTemplate(t.Context(), "aaaa", countingUp(&runs)))
		require.EqualValues(t, 1, runs.Load())
		require.Equal(t, []string{s.templateName}, s.templateNames(t))
		_, err := connect(t, s.newDatabase(t, s.templateName)).Exec(t.Context(), "TABLE migrated")
		require.NoError(t, err)
	})

	t.Run("TemplateInUseIsNotDropped", func(t *testing.T) {
		user, other := newServer(t, address), newServer(t, address)
		require.NoError(t, user.prepareTemplate(t.Context(), "aaaa", countingUp(&runs)))
		require.NoError(t, other.prepareTemplate(t.Context(), "bbbb", countingUp(&runs)))
		require.Equal(t, []string{user.templateName, other.templateName}, other.templateNames(t))
	})

	t.Run("UnusedTemplatesAreDropped", func(t *testing.T) {
		s := newServer(t, address)
		require.Eventually(t, func() bool { // the backends of the binaries before us take a moment to end
			var unlocked bool
			err := s.admin.QueryRow(t.Context(), "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')").Scan(&unlocked)
			return err == nil && unlocked
		}, time.Minute, 5*time.Millisecond)
		require.NoError(t, s.prepareTemplate(t.Context(), "cccc", countingUp(&runs)))
		require.Equal(t, []string{s.templateName}, s.templateNames(t))
	})

	t.Run("FailedMigrationIsReportedAndBuiltAnew", func(t *testing.T) {
		broken := errors.New("broken migration")
		err := newServer(t, address).prepareTemplate(t.Context(), "dddd", func(ctx context.Context, pool *pgxpool.Pool) error {
			_, err := pool.Exec(ctx, "CREATE TABLE half (a int)")
			return errors.Join(err, broken)
		})
		require.ErrorIs(t, err, broken)

		s := newServer(t, address)
		require.NoError(t, s.prepareTemplate(t.Context(), "dddd", countingUp(&runs)))
		_, err = connect(t, s.newDatabase(t, s.templateName)).Exec(t.Context(), "TABLE half")
		require.ErrorContains(t, err, `relation "half" does not exist`)
	})

	t.Run("KeptDatabaseOfAUsersServerShowsNoPassword", func(t *testing.T) {
		s := newServer(t, address)
		message := s.keptMessage("some_database")
		require.Contains(t, message, "/some_database")
		require.Contains(t, message, "postgres:xxxxx@")
	})
}

func TestServerVariableMustBeAURL(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"host=/tmp user=me", "mysql://localhost/x", "postgres://a b"} {
		err := new(server).start(t.Context(), address, "")
		require.ErrorContains(t, err, "OUTHOOK_TEST_DATABASE_URL", address)
	}
}
