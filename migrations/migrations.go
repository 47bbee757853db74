// Package migrations holds the database schema of Outhook: goose files for its own tables, views and functions, and
// River's own migrations at a pinned version. Everything lives in the schema "outhook" of the application's database.
package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// Schema is the schema that holds every object of Outhook and River's tables.
const Schema = "outhook"

const (
	// riverMigration is the goose version that runs River's migrations, and riverVersion is River's version that it
	// migrates to (8 is the newest of River v0.51.1). A River upgrade with newer migrations gets a goose version of
	// its own.
	riverMigration = 4
	riverVersion   = 8

	// takeLock takes the lock that concurrent migrations wait for. Whatever the database's own timeouts are, it waits,
	// and is kept while this process lives.
	takeLock = `BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0;
		SET LOCAL idle_in_transaction_session_timeout = 30000;
		LOCK TABLE outhook.migration_lock IN EXCLUSIVE MODE`

	// lockIdle is the time in takeLock after which the lock of a frozen process is free. lockPing is how often one that
	// lives shows it.
	lockIdle = 30 * time.Second
	lockPing = time.Second
)

//go:embed *.sql
var files embed.FS

var (
	//go:embed roles/server.sql
	grantServer string

	//go:embed roles/revoke.sql
	revokeServer string
)

var (
	// ErrEncoding is returned by Up if the database's encoding is not UTF8: payloads could not be kept byte for byte.
	ErrEncoding = errors.New("database encoding is not UTF8: create the database with ENCODING 'UTF8'")

	errLost = errors.New("this migration was held up, or cut off from the database, and has lost its lock: run it again")

	// ErrSchemaTooOld is returned by Check if migrations are missing.
	ErrSchemaTooOld = errors.New("database schema is too old: run `outhook migrate up`")
)

// Status is one migration and whether it has been applied.
type Status struct {
	Version int64
	Name    string
	Applied bool
}

// Up creates the schema if it is missing and applies every pending migration. Any number of processes may call it at
// the same time: one applies, the others wait and find nothing to do. The pool needs at least 3 connections to one
// server.
//
// Returns ErrEncoding if the database's encoding is not UTF8.
func Up(ctx context.Context, pool *pgxpool.Pool) error {
	if err := checkEncoding(ctx, pool); err != nil {
		return err
	}

	if err := createSchema(ctx, pool); err != nil {
		return fmt.Errorf("creating schema %s: %w", Schema, err)
	}

	return locked(ctx, pool, func(ctx context.Context, p *goose.Provider) error {
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrating up: %w", err)
		}
		return grant(ctx, pool)
	})
}

// DownTo rolls back every migration above version; 0 rolls back all and loses all data of Outhook. The empty schema and
// the group roles stay.
func DownTo(ctx context.Context, pool *pgxpool.Pool, version int64) error {
	if err := createSchema(ctx, pool); err != nil {
		return fmt.Errorf("creating schema %s: %w", Schema, err)
	}

	return locked(ctx, pool, func(ctx context.Context, p *goose.Provider) error {
		if version == 0 {
			if _, err := pool.Exec(ctx, revokeServer); err != nil {
				return fmt.Errorf("revoking the rights of outhook_server: %w", err)
			}
		}

		if _, err := p.DownTo(ctx, version); err != nil {
			return fmt.Errorf("migrating down to %d: %w", version, err)
		}

		if version == 0 {
			return nil
		}
		return grant(ctx, pool)
	})
}

// grant gives the role outhook_server what it needs of the objects that are there.
func grant(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, grantServer); err != nil {
		return fmt.Errorf("granting rights to outhook_server: %w", err)
	}
	return nil
}

// List returns every migration that this binary knows, oldest first. Nothing is applied on a database without the
// schema.
func List(ctx context.Context, pool *pgxpool.Pool) ([]Status, error) {
	current, err := Version(ctx, pool)
	if err != nil {
		return nil, err
	}

	var list []Status
	err = withProvider(pool, func(p *goose.Provider) error {
		for _, s := range p.ListSources() {
			name := s.Path
			if s.Type == goose.TypeGo {
				name = fmt.Sprintf("%05d_river_%d", s.Version, riverVersion)
			}
			list = append(list, Status{Version: s.Version, Name: name, Applied: s.Version <= current})
		}
		return nil
	})

	return list, err
}

// Version returns the newest applied version of the database, 0 if it has none.
func Version(ctx context.Context, pool *pgxpool.Pool) (int64, error) {
	var version int64
	err := pool.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM outhook.goose_db_version`).Scan(&version)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && (pgErr.Code == "42P01" || pgErr.Code == "3F000") { // undefined_table, invalid_schema_name
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the schema version: %w", err)
	}
	return version, nil
}

// Check returns ErrSchemaTooOld, with both versions, if the database lacks a migration that this binary needs. A newer
// database is fine: migrations are made to be compatible with the previous release.
func Check(ctx context.Context, pool *pgxpool.Pool) error {
	current, err := Version(ctx, pool)
	if err != nil {
		return err
	}

	if needed := Latest(); current < needed {
		return fmt.Errorf("%w (it is at version %d, this binary needs %d)", ErrSchemaTooOld, current, needed)
	}
	return nil
}

// Latest returns the newest version that this binary knows.
func Latest() int64 {
	var latest int64 = riverMigration
	for _, name := range names() {
		v, err := goose.NumericComponent(name)
		if err == nil {
			latest = max(latest, v)
		}
	}
	return latest
}

// Hash returns a hex digest over all migrations and River's pinned version: it names a database that has them all.
func Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "river %d\n%s", riverVersion, grantServer)

	for _, name := range names() {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err) // an embedded file that was just listed
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}

	return hex.EncodeToString(h.Sum(nil))
}

func names() []string {
	list, err := fs.Glob(files, "*.sql")
	if err != nil {
		panic(err) // only for a malformed pattern
	}
	return list
}

func checkEncoding(ctx context.Context, pool *pgxpool.Pool) error {
	var encoding string
	if err := pool.QueryRow(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return fmt.Errorf("reading the database's encoding: %w", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("%w (it is %s)", ErrEncoding, encoding)
	}
	return nil
}

// locked calls f while no other process migrates. The lock is that of a table without columns, which nobody can take
// who has no rights there: any login can take an advisory lock. goose has such a lock too, but creates its version
// table before it takes it. The transaction that keeps it has no snapshot, which CREATE INDEX CONCURRENTLY would wait
// for.
//
// A process that is frozen meanwhile loses the lock after lockIdle, and its ctx when it thaws.
func locked(ctx context.Context, pool *pgxpool.Pool, f func(context.Context, *goose.Provider) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}

	// Closed, not released: the lock ends with the session, whatever happened to it.
	defer func() {
		conn.Conn().Close(context.WithoutCancel(ctx))
		conn.Release()
	}()

	if _, err := conn.Exec(ctx, takeLock); err != nil {
		return fmt.Errorf("waiting for another migration to end: %w", err)
	}

	ctx, lose := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		keepLock(ctx, conn.Conn(), lose)
	}()
	defer func() {
		lose(nil)
		<-kept
	}()

	err = withProvider(pool, func(p *goose.Provider) error { return f(ctx, p) })
	return errors.Join(err, lost(ctx))
}

// keepLock shows the database each second that this process lives, until ctx ends.
func keepLock(ctx context.Context, conn *pgx.Conn, lose context.CancelCauseFunc) {
	tick := time.NewTicker(lockPing)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		pingCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockIdle)
		err := conn.Ping(pingCtx) // an empty statement, which takes no snapshot
		cancel()
		if err != nil {
			lose(fmt.Errorf("%w: %w", errLost, err))
			return
		}
	}
}

// lost returns the reason for which the lock was lost, nil if it was not.
func lost(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, errLost) {
		return cause
	}
	return nil
}

// createSchema makes the schema and the table of the lock. The schema may exist already, made by somebody with the
// right to do so, which CREATE SCHEMA IF NOT EXISTS asks for even then. Other processes may do the same at the same
// time: for each of the two there is one that does it.
func createSchema(ctx context.Context, pool *pgxpool.Pool) error {
	const missing = "SELECT coalesce(CASE WHEN to_regnamespace('outhook') IS NULL THEN 'CREATE SCHEMA outhook' " +
		"WHEN to_regclass('outhook.migration_lock') IS NULL THEN 'CREATE TABLE outhook.migration_lock ()' END, '')"

	for failed := 0; ; {
		var create string
		if err := pool.QueryRow(ctx, missing).Scan(&create); err != nil || create == "" {
			return err
		}

		// Who loses such a race finds the winner's at the next look.
		if _, err := pool.Exec(ctx, create); err != nil {
			if failed++; failed > 2 {
				return err
			}
		}
	}
}

func withProvider(pool *pgxpool.Pool, f func(*goose.Provider) error) error {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close() //nolint:errcheck // closes the wrapper only, the pool stays

	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(Schema+".goose_db_version"),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)),
		goose.WithGoMigrations(goose.NewGoMigration(riverMigration,
			&goose.GoFunc{RunDB: migrateRiver(pool, rivermigrate.DirectionUp, riverVersion)},
			&goose.GoFunc{RunDB: migrateRiver(pool, rivermigrate.DirectionDown, -1)})))
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}

	return f(provider)
}

// migrateRiver runs River's migrations, each in a transaction of its own: in one transaction they fail on PostgreSQL 16
// and older (a new enum value can't be used in the transaction that adds it). It can be repeated after a crash. Target
// −1 means down to nothing.
func migrateRiver(pool *pgxpool.Pool, dir rivermigrate.Direction, target int) func(context.Context, *sql.DB) error {
	return func(ctx context.Context, _ *sql.DB) error {
		migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{
			Schema: Schema, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return fmt.Errorf("preparing River's migrations: %w", err)
		}

		if _, err := migrator.Migrate(ctx, dir, &rivermigrate.MigrateOpts{TargetVersion: target}); err != nil {
			return fmt.Errorf("running River's migrations: %w", err)
		}
		return nil
	}
}
