package ingest

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
)

// trip takes a generated query to the database in one round trip: behind the settings of its transaction, and with the
// commit. For Postgres, all statements that come before a Sync are one transaction, which the Sync commits
// ("Pipelining", in the chapter on its protocol). An error in one of them undoes those before it.
type trip struct {
	db.DBTX // of which a trip has Query only

	pool     *pgxpool.Pool
	settings string
	results  pgx.BatchResults
}

// Query sends everything and returns the rows of the query, which are not committed yet.
func (t *trip) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	batch := &pgx.Batch{}
	batch.Queue(t.settings)
	batch.Queue(sql, args...)

	t.results = t.pool.SendBatch(ctx, batch)
	if _, err := t.results.Exec(); err != nil {
		return nil, err
	}
	return t.results.Query() //nolint:rowserrcheck // the generated code does
}

// commit waits for the answer to the Sync. Returns nil if the transaction was committed, and else the first error, that
// of Query included.
func (t *trip) commit() error { return t.results.Close() }
