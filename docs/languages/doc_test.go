// Package languages_test runs what docs/languages.md shows of Go's libraries. It is a module of its own, so that none of them
// gets into the module graph of those who import Outhook; the tests of docs run it, on a database of theirs (DATABASE_URL).
package languages_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/outhook/outhook"
)

// Invoice is a row of the table invoices.
type Invoice struct {
	ID   int64
	Paid bool
}

func event(key string) outhook.Event {
	return outhook.Event{
		TenantID: "acme", Type: "invoice.paid", Payload: json.RawMessage(`{ "id":17}`), IdempotencyKey: key,
	}
}

// What a library calls a transaction is one for an event: whoever rolls it back takes the event along.
func TestAnEventSharesTheTransaction(t *testing.T) {
	for name, inTx := range libraries(t) {
		t.Run(name, func(t *testing.T) {
			key := "go-" + name
			rolledBack := errors.New("rolled back")
			enqueue := func(end error, duplicate bool) {
				err := inTx(func(tx outhook.SQLTx) error {
					res, err := outhook.EnqueueSQL(t.Context(), tx, event(key))
					require.NoError(t, err)
					require.Equal(t, duplicate, res.Duplicate)
					return end
				})
				require.ErrorIs(t, err, end)
			}
			enqueue(rolledBack, false)
			enqueue(nil, false)
			enqueue(nil, true)
		})
	}
}

// libraries run something in a transaction each, and roll it back after an error.
func libraries(t *testing.T) map[string]func(func(outhook.SQLTx) error) error {
	t.Helper()
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	ctx := t.Context()

	all := map[string]func(func(outhook.SQLTx) error) error{
		"sqlx": func(do func(outhook.SQLTx) error) error {
			tx, err := sqlx.NewDb(db, "postgres").BeginTxx(ctx, nil)
			require.NoError(t, err)
			return ended(tx, do(tx))
		},
		"bun": func(do func(outhook.SQLTx) error) error {
			return bun.NewDB(db, pgdialect.New()).RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error { return do(tx.Tx) })
		},
		"ent": func(do func(outhook.SQLTx) error) error { // what a generated client's Tx calls
			tx, err := entsql.OpenDB(dialect.Postgres, db).Tx(ctx)
			require.NoError(t, err)
			querying, ok := tx.(outhook.SQLTx)
			require.True(t, ok)
			return ended(tx, do(querying))
		},
	}
	for name, prepare := range map[string]bool{"gorm": false, "gorm-prepared": true} {
		all[name] = func(do func(outhook.SQLTx) error) error {
			g, err := gorm.Open(postgres.New(postgres.Config{Conn: db}), &gorm.Config{PrepareStmt: prepare})
			require.NoError(t, err)
			return g.Transaction(func(tx *gorm.DB) error { return do(tx.Statement.ConnPool) })
		}
	}
	return all
}

// ended ends a transaction as its work did.
func ended(tx interface {
	Commit() error
	Rollback() error
}, err error,
) error {
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// bun's own methods know ? only: a query without one loses its arguments, and Postgres says so.
func TestBunNeedsItsTx(t *testing.T) {
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	err = bun.NewDB(db, pgdialect.New()).RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := outhook.EnqueueSQL(ctx, tx, event(""))
		return err
	})
	require.Error(t, err)
}
