package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
)

// databaseFlags say where the database is.
type databaseFlags struct {
	DatabaseURL string `env:"OUTHOOK_DATABASE_URL" secret:"url" help:"postgres://user:password@host:port/database. A direct connection, or a pooler in session mode."`
}

// errNoDatabase is the error of every command that needs a database and was given none.
var errNoDatabase = errors.New("no database: set OUTHOOK_DATABASE_URL (or --database-url), " +
	"or use `outhook dev`, which brings its own")

// openPool opens a pool for a command that works on the database itself.
func openPool(ctx context.Context, url, name string, maxConns int32) (*pgxpool.Pool, error) {
	pool, err := server.OpenPool(ctx, url, name, maxConns)
	return pool, named(err)
}
