// Package migrations holds the database schema of Outhook: goose files for its own tables, views and functions, and
// River's own migrations at a pinned version. Everything lives in the schema "outhook" of the application's database.
package migrations

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// Schema is the schema that holds every object of Outhook and River's tables.
const Schema = "outhook"

const (
	// riverMigration is the goose version that runs River's migrations, and riverVersion is River's version that it
	// migrates to (8 is the newest of River v0.51.1). A River upgrade with newer migrations gets a goose version of
	// its own.
	riverMigration = 100
	riverVersion   = 8

	// unreleased is the greatest version of a schema from before the first release, whose versions begin anew at 100.
	unreleased = 99
)

//go:embed *.sql declared columns
var files embed.FS

var (
	// ErrEncoding is returned by Up if the database's encoding is not UTF8: payloads could not be kept byte for byte.
	ErrEncoding = errors.New("database encoding is not UTF8: create the database with ENCODING 'UTF8'")

	// ErrSchemaTooOld is returned by Check if migrations are missing.
	ErrSchemaTooOld = errors.New("database schema is too old: run `outhook migrate up`")

	// ErrUnreleased is returned by Up and DownTo for a schema that was made before the first release.
	ErrUnreleased = errors.New("the schema outhook is of a version from before the first release, " +
		"which can't be migrated: DROP SCHEMA outhook CASCADE deletes it with its events, then run `outhook migrate up`")
)

// Status is one migration and whether it has been applied.
type Status struct {
	Version int64
	Name    string
	Applied bool
}

// Result is what a migration has done, and what is left to do.
type Result struct {
	// Changes are the statements that made what is declared hold again, in order; none if it did.
	Changes []string
	// ByHand is what somebody with more rights has to run before the next `outhook migrate up`.
	ByHand []string
}

// Up creates the schema if it is missing, applies every pending version, and makes what is declared hold: functions,
// views, triggers, owners, rights. Any number of processes may call it at the same time: one applies, the others wait
// and find nothing to do. It needs at most 4 connections of its own to the pool's database.
//
// Returns ErrEncoding if the database's encoding is not UTF8, and ErrUnreleased for a schema from before the first
// release.
func Up(ctx context.Context, pool *pgxpool.Pool) (Result, error) {
	var r Result
	err := as(ctx, pool, func(ctx context.Context, pool *pgxpool.Pool) (err error) {
		if err = checkEncoding(ctx, pool); err != nil {
			return err
		}
		if r.ByHand, err = createRoles(ctx, pool); err != nil {
			return fmt.Errorf("creating the group roles: %w", err)
		}
		if err := createSchema(ctx, pool); err != nil {
			return fmt.Errorf("creating schema %s: %w", Schema, err)
		}

		others, err := setOwners(ctx, pool)
		if err != nil {
			return fmt.Errorf("setting owners: %w", err)
		}
		r.ByHand = append(r.ByHand, others...)
		return nil
	}, func(ctx context.Context, pool *pgxpool.Pool) error {
		return locked(ctx, pool, func(ctx context.Context, p *goose.Provider) (err error) {
			if r.Changes, err = up(ctx, pool, p); err != nil && len(r.ByHand) > 0 {
				return fmt.Errorf("%w; somebody with more rights has to run first: %s", err, strings.Join(r.ByHand, " "))
			}
			return err
		})
	})
	return r, err
}

func up(ctx context.Context, pool *pgxpool.Pool, p *goose.Provider) ([]string, error) {
	if err := checkReleased(ctx, pool); err != nil {
		return nil, err
	}
	if err := adopt(ctx, pool); err != nil {
		return nil, err
	}
	if version, err := Version(ctx, pool); err != nil || version > Latest() {
		return nil, err // what a newer release has declared is not for this one to take back
	}

	before, err := objects(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return nil, fmt.Errorf("migrating up: %w", err)
	}

	d, err := readDeclaration(declaredFiles())
	if err != nil {
		return nil, fmt.Errorf("reading what is declared: %w", err)
	}

	var changes []string
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		fresh := func(object string) bool { return !before[object] || object == lockTable }
		if changes, err = d.apply(ctx, tx, fresh); err != nil {
			return err
		}
		if err := describe(ctx, tx); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, firstPartitions)
		return err
	})
	return changes, err
}

// firstPartitions makes them from yesterday, for a clock that is set back, to 30 days ahead.
const firstPartitions = `SELECT outhook.create_partitions(today - 1, today + 30)
	FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS t`

// Plan returns the statements that Up would run, and runs none: the group roles and the files of the versions that are
// missing, and what would make hold what is declared, as far as that can be told before these versions and roles.
func Plan(ctx context.Context, pool *pgxpool.Pool) (list []string, err error) {
	statuses, err := List(ctx, pool)
	if err != nil {
		return nil, err
	}
	d, err := readDeclaration(declaredFiles())
	if err != nil {
		return nil, fmt.Errorf("reading what is declared: %w", err)
	}

	roles, err := missingRoles(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("looking for the group roles: %w", err)
	}
	list = append(list, roles...)

	missing := false
	for _, s := range statuses {
		if s.Applied {
			continue
		}
		missing = true
		text := fmt.Sprintf("-- River's own migrations up to version %d (package rivermigrate)", riverVersion)
		if s.Version != riverMigration {
			data, err := files.ReadFile(s.Name)
			if err != nil {
				return nil, err
			}
			text, _, _ = strings.Cut(string(data), "-- +goose Down")
		}
		list = append(list, strings.TrimSpace(text))
	}
	if missing {
		for _, o := range d.objects {
			list = append(list, o.sql)
		}
		for _, r := range d.rights {
			list = append(list, fmt.Sprintf("GRANT %s TO %s", r, r.role))
		}
		return list, nil
	}

	err = as(ctx, pool, nothing, func(ctx context.Context, pool *pgxpool.Pool) error {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		changes, err := d.apply(ctx, tx, func(string) bool { return false })
		list = append(list, changes...)
		return err
	})
	return list, err
}

// Undeclared returns what is not as declared, a line or a statement each. Who may create nothing in the schema can't
// compare functions and views, and is told of owners and rights only.
func Undeclared(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	var mayCreate bool
	const may = "SELECT pg_catalog.has_schema_privilege('outhook', 'CREATE')"
	if err := pool.QueryRow(ctx, may).Scan(&mayCreate); err != nil {
		return nil, fmt.Errorf("reading this user's rights: %w", err)
	}
	if mayCreate {
		return Plan(ctx, pool)
	}

	var list []string
	err := with(ctx, pool, "", func(pool *pgxpool.Pool) (err error) {
		list, _, err = Differences(ctx, pool)
		return err
	})
	return list, err
}

func nothing(context.Context, *pgxpool.Pool) error { return nil }

// DownTo rolls back every migration above version; 0 rolls back all and loses all data of Outhook. The empty schema and
// the group roles stay. What is declared goes first, and comes back with the next Up.
func DownTo(ctx context.Context, pool *pgxpool.Pool, version int64) error {
	return as(ctx, pool, func(ctx context.Context, pool *pgxpool.Pool) error {
		if err := createSchema(ctx, pool); err != nil {
			return fmt.Errorf("creating schema %s: %w", Schema, err)
		}
		return nil
	}, func(ctx context.Context, pool *pgxpool.Pool) error {
		return locked(ctx, pool, func(ctx context.Context, p *goose.Provider) error {
			if err := checkReleased(ctx, pool); err != nil {
				return err
			}

			d, err := readDeclaration(declaredFiles())
			if err != nil {
				return fmt.Errorf("reading what is declared: %w", err)
			}
			if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return d.drop(ctx, tx) }); err != nil {
				return fmt.Errorf("dropping what is declared: %w", err)
			}
			if _, err := p.DownTo(ctx, version); err != nil {
				return fmt.Errorf("migrating down to %d: %w", version, err)
			}
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				if version == 0 {
					// Else the roles could not be dropped. They stay: another database of the cluster may use them.
					if _, err := setRights(ctx, tx, nil, func(string) bool { return false }); err != nil {
						return fmt.Errorf("taking the roles' rights: %w", err)
					}
				}
				return describe(ctx, tx)
			})
		})
	})
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
	const newest = `SELECT coalesce(pg_catalog.max(version_id), 0) FROM outhook.goose_db_version`
	err := pool.QueryRow(ctx, newest).Scan(&version)
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
	switch {
	case err != nil:
		return err
	case current > 0 && current <= unreleased:
		return ErrUnreleased
	}

	if needed := Latest(); current < needed {
		return fmt.Errorf("%w (it is at version %d, this binary needs %d)", ErrSchemaTooOld, current, needed)
	}
	return nil
}

// checkReleased returns ErrUnreleased for a schema from before the first release.
func checkReleased(ctx context.Context, pool *pgxpool.Pool) error {
	version, err := Version(ctx, pool)
	if err == nil && version > 0 && version <= unreleased {
		return ErrUnreleased
	}
	return err
}

// Latest returns the newest version that this binary knows.
func Latest() int64 {
	var latest int64 = riverMigration
	for _, name := range names() {
		latest = max(latest, numberOf(name))
	}
	return latest
}

func numberOf(name string) int64 {
	v, err := goose.NumericComponent(name)
	if err != nil {
		panic(err) // an embedded file's name
	}
	return v
}

// Hash returns a hex digest over all migrations, what is declared, and River's pinned version: it names a database
// that has them all.
func Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "river %d\n", riverVersion)

	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(data), data)
		return err
	})
	if err != nil {
		panic(err) // an embedded file that was just listed
	}

	return hex.EncodeToString(h.Sum(nil))
}

func declaredFiles() fs.FS {
	sub, err := fs.Sub(files, "declared")
	if err != nil {
		panic(err) // only for a malformed name
	}
	return sub
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
