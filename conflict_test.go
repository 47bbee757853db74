package outhook_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// A key that belongs to something else is an error, in Go without harm to the transaction and in SQL with a SQLSTATE of
// its own; the same event again is a result.
func TestReusedKeyIsAConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.store(t, keyed(`{"a":1}`, "k"))
	other := keyed(`{"a":1}`, "k")
	other.Type = "invoice.refunded"

	for what, e := range map[string]outhook.Event{"payload": keyed(`{"a":2}`, "k"), "type": other} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tx := b.begin(t, "")
			_, err := tx.Exec(b.ctx, `CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 1`)
			require.NoError(t, err)

			res, err := outhook.Enqueue(b.ctx, tx, e)
			require.ErrorIs(t, err, outhook.ErrConflict)
			require.NotErrorIs(t, err, outhook.ErrInvalidEvent)
			var conflict *outhook.ConflictError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, outhook.ConflictError{FirstID: first.ID}, *conflict)
			require.Equal(t, first.ID, res.ID)

			// The transaction goes on, and another key is free.
			e.IdempotencyKey = what
			res, err = outhook.Enqueue(b.ctx, tx, e)
			require.NoError(t, err)
			require.False(t, res.Duplicate)
			require.NoError(t, tx.Commit(b.ctx))
		})
	}

	t.Run("database/sql", func(t *testing.T) {
		t.Parallel()
		db := stdlib.OpenDBFromPool(b.pool)
		defer func() { require.NoError(t, db.Close()) }()
		tx, err := db.BeginTx(b.ctx, nil)
		require.NoError(t, err)
		_, err = outhook.EnqueueSQL(b.ctx, tx, keyed(`{"a":2}`, "k"))
		require.ErrorIs(t, err, outhook.ErrConflict)
		res, err := outhook.EnqueueSQL(b.ctx, tx, keyed(`{"a":1}`, "k"))
		require.NoError(t, err)
		require.True(t, res.Duplicate)
		require.NoError(t, tx.Commit())
	})

	t.Run("SQL", func(t *testing.T) {
		t.Parallel()
		tx := b.begin(t, "")
		for call, args := range map[string][]any{
			`outhook.enqueue($1, $2, $3::text, $4)`:       {tenant, "invoice.paid", `{"a":2}`, "k"},
			`outhook.enqueue($1, $2, $3::json, $4)`:       {tenant, "invoice.refunded", `{"a":1}`, "k"},
			`outhook.enqueue_event($1, $2, $3::json, $4)`: {tenant, "invoice.paid", `{"a":2}`, "k"},
		} {
			savepoint, err := tx.Begin(b.ctx)
			require.NoError(t, err)
			_, err = savepoint.Exec(b.ctx, "SELECT "+call, args...)
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr, call)
			require.Equal(t, "OH002", pgErr.Code)
			require.Contains(t, pgErr.Detail, first.ID)
			require.NoError(t, savepoint.Rollback(b.ctx))
		}

		var id string
		row := tx.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'invoice.paid', '{"a":1}'::text, 'k')`, tenant)
		require.NoError(t, row.Scan(&id))
		require.Equal(t, first.ID, id, "the same again is a result")
	})

	t.Run("EnqueueManyTellsWhichAndKeepsTheOthers", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
			results, err := outhook.EnqueueMany(b.ctx, tx,
				[]outhook.Event{keyed(`1`, "m"), keyed(`2`, "m"), keyed(`3`, "k"), event(`4`)})
			require.Equal(t, &outhook.ConflictError{Index: 1, FirstID: results[0].ID}, err)
			require.Equal(t, []bool{false, true, true, false},
				[]bool{results[0].Conflict, results[1].Conflict, results[2].Conflict, results[3].Conflict})
			return nil
		}))
	})
}
