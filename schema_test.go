package outhook_test

import (
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// A package and a schema of different versions: one that is older than the package says so and what to do, by any
// driver, and a newer one, whose function has more arguments and columns, serves it.
func TestSchemaOfAnotherVersion(t *testing.T) {
	t.Parallel()
	const arguments = "text[], text[], text[], text[], boolean"

	for name, tc := range map[string]struct{ schema, want string }{
		"OlderWithFewerArguments": {
			"CREATE FUNCTION outhook.enqueue_many(" + arguments + ") RETURNS TABLE (index integer, event_id uuid, " +
				"created_at timestamptz, duplicate boolean, conflict boolean, delivery_count integer) " +
				"LANGUAGE sql AS 'SELECT NULL::integer, NULL::uuid, NULL::timestamptz, false, false, 0'",
			"is older than this package",
		},
		"OlderWithFewerColumns": {
			"CREATE FUNCTION outhook.enqueue_many(" + arguments + ", text[]) RETURNS TABLE (index integer, event_id uuid, " +
				"created_at timestamptz, duplicate boolean) LANGUAGE sql AS 'SELECT 0, NULL::uuid, NULL::timestamptz, false'",
			"is older than this package",
		},
		"Missing": {"DROP SCHEMA outhook CASCADE", "is missing in this database"},
		"Newer": {
			"CREATE FUNCTION outhook.enqueue_many(" + arguments + ", text[], newer text DEFAULT 'x') RETURNS TABLE (index integer, " +
				"event_id uuid, created_at timestamptz, duplicate boolean, conflict boolean, delivery_count integer, newer_too text) " +
				"LANGUAGE sql AS 'SELECT e.*, newer FROM outhook.known($1, $2, $3, $4, $5, $6) AS e'", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, "ALTER FUNCTION outhook.enqueue_many("+arguments+", text[], text[], text[], timestamptz[], text[]) RENAME TO known")
			b.exec(t, tc.schema)

			_, err := outhook.Enqueue(b.ctx, b.begin(t, ""), event(`1`))
			db := stdlib.OpenDBFromPool(b.pool)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			_, sqlErr := outhook.EnqueueSQL(b.ctx, db, event(`2`))
			if tc.want == "" {
				require.NoError(t, err)
				require.NoError(t, sqlErr)
				require.Equal(t, 1, b.counts(t)[0])
				return
			}

			for _, err := range []error{err, sqlErr} {
				require.ErrorContains(t, err, tc.want)
				require.ErrorContains(t, err, "run `outhook migrate up`")
			}
		})
	}
}
