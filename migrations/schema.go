package migrations

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// session is what every connection of a migration states, whatever its role's, its database's and its address'
// settings are: which functions, operators and types its SQL means, how its literals are read, that no policy hides
// rows from it, that nothing ends it halfway, and how the catalog spells what it says.
const session = `SET search_path = pg_catalog, pg_temp; SET standard_conforming_strings = on; SET row_security = off;
	SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET jit = off;
	SET default_transaction_isolation = 'read committed'; SET check_function_bodies = on; SET array_nulls = on;
	SET quote_all_identifiers = off; SET transform_null_equals = off; SET enable_partition_pruning = on;
	SET default_tablespace = ''`

// querier is a pool, a connection or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// as calls prepare with connections of the pool's own user, and then do with connections that have become the owner
// of the schema, so that what is made is his, whoever migrates: functions that run with their owner's rights must not
// run with a superuser's.
func as(ctx context.Context, pool *pgxpool.Pool, prepare, do func(context.Context, *pgxpool.Pool) error) error {
	var role string
	err := with(ctx, pool, "", func(pool *pgxpool.Pool) (err error) {
		if err = prepare(ctx, pool); err != nil {
			return err
		}
		role, err = owner(ctx, pool)
		return err
	})
	if err != nil {
		return err
	}
	return with(ctx, pool, role, func(pool *pgxpool.Pool) error { return do(ctx, pool) })
}

// with calls do with a pool of the migration's own to the same database. role: whom its connections become, "" for
// nobody.
func with(ctx context.Context, pool *pgxpool.Pool, role string, do func(*pgxpool.Pool) error) error {
	cfg := pool.Config()
	cfg.MinConns, cfg.MinIdleConns = 0, 0
	before := cfg.AfterConnect
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if before != nil {
			if err := before(ctx, conn); err != nil {
				return err
			}
		}
		sql := session
		if role != "" {
			sql += "; SET ROLE " + role
		}
		_, err := conn.Exec(ctx, sql)
		return err
	}

	own, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer own.Close()
	return do(own)
}

// owner returns the name of the schema's owner, quoted, if this user can become that, else "".
func owner(ctx context.Context, q querier) (role string, err error) {
	const known = `SELECT quote_ident(r.rolname) FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
		WHERE n.nspname = 'outhook' AND r.rolname <> current_user AND pg_has_role(current_user, r.oid,
			CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)`
	err = q.QueryRow(ctx, known).Scan(&role)
	return role, first(err)
}

// createSchema makes the schema. It may exist already, made by somebody with the right to do so, which CREATE SCHEMA
// IF NOT EXISTS asks for even then.
func createSchema(ctx context.Context, q querier) error {
	return create(ctx, q,
		"SELECT CASE WHEN to_regnamespace('outhook') IS NULL THEN 'CREATE SCHEMA outhook' ELSE '' END")
}

// createLock makes the table whose lock migrations wait for, and which nobody can take who has no rights there: any
// login can take an advisory lock.
func createLock(ctx context.Context, q querier) error {
	return create(ctx, q,
		"SELECT CASE WHEN to_regclass('"+lockTable+"') IS NULL THEN 'CREATE TABLE "+lockTable+" ()' ELSE '' END")
}

// create runs the statement that missing returns. Other processes may do the same at the same time: one of them does
// it.
func create(ctx context.Context, q querier, missing string) error {
	for failed := 0; ; {
		var sql string
		if err := q.QueryRow(ctx, missing).Scan(&sql); err != nil || sql == "" {
			return err
		}

		// Who loses such a race finds the winner's at the next look.
		if _, err := q.Exec(ctx, sql); err != nil {
			if failed++; failed > 2 {
				return err
			}
		}
	}
}

// objects returns the names of the schema's relations and functions.
func objects(ctx context.Context, q querier) (map[string]bool, error) {
	rows, err := q.Query(ctx, `
		SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('outhook')
		UNION ALL
		SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('outhook')`)
	if err != nil {
		return nil, err
	}

	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}

	names := make(map[string]bool, len(list))
	for _, name := range list {
		names[name] = true
	}
	return names, nil
}

// described finds the version in the schema's comment.
var described = regexp.MustCompile(`^Outhook, schema version (\d+)$`)

// describe writes the version into the schema's comment: a dump of the schema alone has that, and none of goose's rows.
func describe(ctx context.Context, q querier) error {
	var was, version string
	err := q.QueryRow(ctx, `SELECT coalesce(obj_description('outhook'::regnamespace, 'pg_namespace'), ''),
		(SELECT coalesce(max(version_id), 0)::text FROM outhook.goose_db_version)`).Scan(&was, &version)
	if err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}

	is := "Outhook, schema version " + version
	if was == is || (was != "" && !described.MatchString(was)) {
		return nil // somebody's own words
	}
	if _, err := q.Exec(ctx, "COMMENT ON SCHEMA outhook IS '"+is+"'"); err != nil {
		return fmt.Errorf("writing the version into the schema's comment: %w", err)
	}
	return nil
}

// ErrUnknownSchema is returned by Up for a schema that has tables and says nothing of its version.
var ErrUnknownSchema = errors.New("the schema outhook has tables, " +
	"but neither goose's rows nor its comment say of which version: restore it from a dump " +
	"with the data of goose_db_version and river_migration, or with the schema's comment")

// adopt fills the version rows of a schema that came without any, as from a dump of the schema alone (structure.sql),
// after comparing its tables and columns with those of the version that its comment names.
func adopt(ctx context.Context, pool *pgxpool.Pool) error {
	const state = `SELECT to_regclass('outhook.endpoints') IS NOT NULL OR to_regclass('outhook.river_job') IS NOT NULL,
		to_regclass('outhook.goose_db_version') IS NOT NULL,
		coalesce(obj_description('outhook'::regnamespace, 'pg_namespace'), '')`
	var tables, goose bool
	var comment string
	if err := pool.QueryRow(ctx, state).Scan(&tables, &goose, &comment); err != nil {
		return fmt.Errorf("looking at the schema: %w", err)
	}
	version, err := Version(ctx, pool)
	if err != nil || version > 0 || !tables {
		return err
	}

	m := described.FindStringSubmatch(comment)
	if m == nil || !goose {
		return ErrUnknownSchema
	}
	version, err = strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return ErrUnknownSchema
	}
	if err := compareColumns(ctx, pool, version); err != nil {
		return err
	}

	sql := fmt.Sprintf(`
		INSERT INTO outhook.goose_db_version (version_id, is_applied)
		SELECT v, true FROM unnest('%s'::bigint[]) AS v;
		INSERT INTO outhook.river_migration (line, version)
		SELECT 'main', v FROM generate_series(1, %d) AS v ON CONFLICT DO NOTHING`,
		arrayOf(version), riverVersion)
	if _, err := pool.Exec(ctx, sql); err != nil {
		return fmt.Errorf("filling in the versions: %w", err)
	}
	return nil
}
