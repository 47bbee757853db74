package outhook_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// An ordering key is stored by each way in, and nothing for none; deliveries with one wait in line.
func TestOrderingKeysAreStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const key = `order "7" \d é`
	e := event(`{}`)
	e.OrderingKey = key
	db := stdlib.OpenDBFromPool(b.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	bySQL, err := outhook.EnqueueSQL(b.ctx, db, e)
	require.NoError(t, err)
	more := e
	more.IdempotencyKey, more.Labels = "k", []string{"a"}
	for _, r := range []outhook.Result{b.store(t, e), bySQL, b.store(t, more)} {
		require.Equal(t, key, b.orderingKey(t, r.ID))
	}

	for call, want := range map[string]string{
		`outhook.enqueue('acme', 'a.b', '{}', ordering_key => 'k')`:                                                       "k",
		`outhook.enqueue_event('acme', 'a.b', '{}', ordering_key => 'k')`:                                                 "k",
		`event_id FROM outhook.enqueue_many('{acme}', '{a.b}', '{1}', ordering_keys => '{k}')`:                            "k",
		`max(event_id::text) FROM outhook.enqueue_many('{acme,acme}', '{a.b,a.b}', '{1,2}', ordering_keys => '{NULL,k}')`: "k",
		`outhook.enqueue('acme', 'a.b', '{}', ordering_key => '')`:                                                        "",
		`outhook.enqueue('acme', 'a.b', '{}', ordering_key => NULL)`:                                                      "",
		`event_id FROM outhook.enqueue_many('{acme}', '{a.b}', '{1}', ordering_keys => '{NULL}')`:                         "",
	} {
		var id string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT `+call).Scan(&id), call)
		require.Equal(t, want, b.orderingKey(t, id), call)
		state := "available"
		if want != "" {
			state = "pending"
		}
		var got string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT state::text FROM outhook.river_job WHERE args ->> 'event_id' = $1`, id).Scan(&got))
		require.Equal(t, state, got, call)
	}
}

func (b *testBundle) orderingKey(t *testing.T, id string) (key string) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT coalesce(ordering_key, '') FROM outhook.events WHERE id = $1`, id).Scan(&key))
	return key
}

// The package and the SQL function refuse the same keys.
func TestOrderingKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, key := range []string{strings.Repeat("k", 256), "a\nb", "\x7f"} {
		e := event(`{}`)
		e.OrderingKey = key
		var invalid *outhook.InvalidEventError
		require.ErrorAs(t, e.Validate(), &invalid)
		require.Equal(t, "ordering_key", invalid.Field)
		_, err := b.pool.Exec(b.ctx, `SELECT outhook.enqueue('acme', 'a.b', '{}', ordering_key => $1)`, key)
		require.ErrorContains(t, err, "event 0: ordering_key")
	}
}
