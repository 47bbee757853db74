package migrations

import (
	"context"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

// TakeLock takes the lock of migrations, in a transaction.
const TakeLock = takeLock

// Declare makes what the files of a folder declare hold, and returns what it changed.
func Declare(ctx context.Context, tx pgx.Tx, folder fs.FS) ([]string, error) {
	d, err := readDeclaration(folder)
	if err != nil {
		return nil, err
	}
	return d.apply(ctx, tx, func(string) bool { return false })
}

// Columns returns the columns of the schema's tables, a line each.
func Columns(ctx context.Context, q querier) ([]string, error) { return readColumns(ctx, q) }
