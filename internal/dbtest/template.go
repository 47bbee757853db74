package dbtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/migrations"
)

// templatePrefix begins the names of the migrated templates.
const templatePrefix = "outhook_test_"

// template returns the name of the migrated template, which is built if no test binary has done so yet.
func (s *server) template(t testing.TB) string {
	t.Helper()
	s.require(t)
	s.templateOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), setUpLimit)
		defer cancel()

		s.templateErr = s.prepareTemplate(ctx, migrations.Hash(), func(ctx context.Context, pool *pgxpool.Pool) error {
			_, err := migrations.Up(ctx, pool)
			return err
		})
	})
	if s.templateErr != nil {
		t.Fatalf("preparing the migrated template: %v", s.templateErr)
	}
	return s.templateName
}

// prepareTemplate makes sure of the template that up makes. It is named by the hash of the migrations and by the day,
// since they create the partitions of the days to come: a fresh database should be one that was migrated today.
//
// Two advisory locks of the maintenance database order the test binaries that share a server: each holds a shared lock
// on the template that it uses, so that nobody drops it, and the exclusive build lock while it looks whether the
// template is there.
func (s *server) prepareTemplate(
	ctx context.Context, hash string, up func(context.Context, *pgxpool.Pool) error,
) error {
	conn, err := s.admin.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	s.templateUse = conn

	day := time.Now().UTC().Format("20060102")
	s.templateName = templatePrefix + hash[:min(len(hash), 16)] + "_" + day

	if err := lockTemplate(ctx, conn, s.templateName); err != nil {
		return err
	}
	if err := s.buildOnce(ctx, conn, up); err != nil {
		return err
	}
	return dropOldTemplates(ctx, conn, s.templateName)
}

func lockTemplate(ctx context.Context, conn *pgxpool.Conn, name string) error {
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock_shared(hashtextextended($1, 0))", name); err != nil {
		return fmt.Errorf("locking template %s: %w", name, err)
	}
	return nil
}

// buildOnce builds the template unless it is complete. datistemplate is set last, so it says that.
func (s *server) buildOnce(
	ctx context.Context, conn *pgxpool.Conn, up func(context.Context, *pgxpool.Pool) error,
) (err error) {
	key := s.templateName + " build"
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", key); err != nil {
		return fmt.Errorf("locking the building of template %s: %w", s.templateName, err)
	}
	defer func() {
		_, unlockErr := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(hashtextextended($1, 0))", key)
		err = errors.Join(err, unlockErr)
	}()

	var complete bool
	err = conn.QueryRow(ctx, "SELECT datistemplate FROM pg_database WHERE datname = $1", s.templateName).Scan(&complete)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("looking for template %s: %w", s.templateName, err)
	}
	if complete {
		return nil
	}

	if err := s.build(ctx, conn, up); err != nil {
		return fmt.Errorf("building template %s: %w", s.templateName, err)
	}
	return nil
}

// build makes the template anew; what is there is the half of one that a test binary did not finish. Nobody can connect
// to the finished one, since a connection to a template keeps others from cloning it.
func (s *server) build(ctx context.Context, conn *pgxpool.Conn, up func(context.Context, *pgxpool.Pool) error) error {
	name := quote(s.templateName)
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name+" ENCODING 'UTF8' TEMPLATE "+emptyTemplate); err != nil {
		return err
	}

	if err := s.migrate(ctx, up); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "ALTER DATABASE "+name+" IS_TEMPLATE true ALLOW_CONNECTIONS false")
	return err
}

func (s *server) migrate(ctx context.Context, up func(context.Context, *pgxpool.Pool) error) error {
	pool, err := pgxpool.New(ctx, s.url(s.templateName))
	if err != nil {
		return err
	}
	defer pool.Close()
	return up(ctx, pool)
}

// dropOldTemplates drops our user's templates of other migrations and other days that no test binary uses.
func dropOldTemplates(ctx context.Context, conn *pgxpool.Conn, keep string) error {
	rows, err := conn.Query(ctx, `SELECT datname::text FROM pg_database
		WHERE starts_with(datname, $1) AND datname <> $2 AND datdba = current_user::regrole`, templatePrefix, keep)
	if err != nil {
		return fmt.Errorf("listing old templates: %w", err)
	}
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("listing old templates: %w", err)
	}

	for _, name := range old {
		if err := dropIfUnused(ctx, conn, name); err != nil {
			return fmt.Errorf("dropping old template %s: %w", name, err)
		}
	}
	return nil
}

func dropIfUnused(ctx context.Context, conn *pgxpool.Conn, name string) (err error) {
	var unused bool
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", name).Scan(&unused)
	if err != nil || !unused {
		return err
	}
	defer func() {
		_, unlockErr := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(hashtextextended($1, 0))", name)
		err = errors.Join(err, unlockErr)
	}()

	var exists bool // somebody may have dropped it between our list and our lock
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil || !exists {
		return err
	}

	if _, err := conn.Exec(ctx, "ALTER DATABASE "+quote(name)+" IS_TEMPLATE false"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "DROP DATABASE "+quote(name)+" WITH (FORCE)")
	return err
}
