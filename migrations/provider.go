package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

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
