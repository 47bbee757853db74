package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
)

// databaseFlags say where the database is.
type databaseFlags struct {
	DatabaseURL string `env:"OUTHOOK_DATABASE_URL" secret:"url" help:"postgres://user:password@host:port/database. Workers need a direct connection or a pooler in session mode."`
}

// errNoDatabase is the error of every command that needs a database and was given none.
var errNoDatabase = errors.New("no database: set OUTHOOK_DATABASE_URL (or --database-url), " +
	"or use `outhook dev`, which brings its own")

// readOnly is the SQLSTATE read_only_sql_transaction.
const readOnly = "25006"

// closeReadOnly closes a connection to a server that turns out to be read-only: it has stopped being the primary, and
// the next connection finds the one that is, if the URL names several hosts with target_session_attrs=read-write.
func closeReadOnly(cfg *pgx.ConnConfig) {
	before := cfg.OnPgError
	cfg.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != readOnly && before(conn, err)
	}
}

// openPool opens a pool and checks that the database can be reached. name is shown in pg_stat_activity;
// changes have the last word on the configuration.
func openPool(
	ctx context.Context, url, name string, maxConns int32, changes ...func(*pgxpool.Config),
) (*pgxpool.Pool, error) {
	if url == "" {
		return nil, errNoDatabase
	}

	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx's own message may hold parts of the URL, and so of the password.
		return nil, errors.New("OUTHOOK_DATABASE_URL is not valid: " +
			"it must look like postgres://user:password@host:5432/database")
	}

	cfg.MaxConns = maxConns

	// Without this, pgx sends and reads every uuid.UUID as text, through database/sql's interfaces.
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		// Behind a pooler in transaction mode nothing is prepared, and pgx goes by the types of Go.
		conn.TypeMap().RegisterDefaultPgType(uuid.UUID{}, "uuid")
		conn.TypeMap().RegisterDefaultPgType([]uuid.UUID{}, "_uuid")
		return nil
	}

	cfg.ConnConfig.RuntimeParams["application_name"] = name
	closeReadOnly(cfg.ConnConfig)

	for _, change := range changes {
		change(cfg)
	}

	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reaching the database at %s:%d: %w", cfg.ConnConfig.Host, cfg.ConnConfig.Port, err)
	}

	return pool, nil
}
