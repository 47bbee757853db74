package outhook_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// isolationLevels are those that Postgres has; READ UNCOMMITTED is READ COMMITTED.
func isolationLevels() []pgx.TxIsoLevel {
	return []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}
}

// beginLate begins a transaction of a level with a snapshot in which the key "k" has an owner, whose id it returns, and
// lets the retention remove both.
func (b *testBundle) beginLate(t *testing.T, level pgx.TxIsoLevel) (late pgx.Tx, old string) {
	t.Helper()
	old = b.store(t, keyed(`{}`, "k")).ID
	late = b.begin(t, level)
	_, err := late.Exec(b.ctx, `SELECT count(*) FROM outhook.endpoints`) // takes the snapshot
	require.NoError(t, err)

	for _, table := range []string{"events WHERE id", "deliveries WHERE event_id", "event_keys WHERE event_id"} {
		b.exec(t, fmt.Sprintf(`DELETE FROM outhook.%s = '%s'`, table, old))
	}
	return late, old
}

// store enqueues an event in a transaction of its own.
func (b *testBundle) store(t *testing.T, e outhook.Event) (res outhook.Result) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) (err error) {
		res, err = outhook.Enqueue(b.ctx, tx, e)
		return err
	}))
	return res
}

// requireStored holds that the events exist with their deliveries, and that the key "k" belongs to the first one.
func (b *testBundle) requireStored(t *testing.T, ids ...string) {
	t.Helper()
	var n int
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT count(*) FROM outhook.events AS e
		JOIN outhook.deliveries AS d ON d.event_id = e.id WHERE e.id::text = ANY($1)`, ids).Scan(&n))
	require.Len(t, ids, n)
	var owner string
	require.NoError(t, b.pool.QueryRow(b.ctx,
		`SELECT event_id::text FROM outhook.event_keys WHERE idempotency_key = 'k'`).Scan(&owner))
	require.Equal(t, ids[0], owner)
}

// An event exists if its transaction commits, also if its snapshot is older than the retention's deletion of its key.
func TestKeyThatTheRetentionDeletedIsFree(t *testing.T) {
	t.Parallel()
	for _, level := range isolationLevels() {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			late, old := b.beginLate(t, level)
			undone, err := late.Begin(b.ctx)
			require.NoError(t, err)
			single, err := outhook.Enqueue(b.ctx, undone, keyed(`{}`, "k"))
			require.NoError(t, err)
			require.False(t, single.Duplicate)
			require.NotEqual(t, old, single.ID)
			require.NoError(t, undone.Rollback(b.ctx))

			results, err := outhook.EnqueueMany(b.ctx, late,
				[]outhook.Event{event(`1`), keyed(`2`, "k"), keyed(`2`, "k"), keyed(`3`, "l")})
			require.NoError(t, err)
			var duplicates []bool
			for _, r := range results {
				duplicates = append(duplicates, r.Duplicate)
			}
			require.Equal(t, []bool{false, false, true, false}, duplicates)
			require.Equal(t, results[1].ID, results[2].ID)

			// The snapshot shows the old owner beside the new one.
			savepoint, err := late.Begin(b.ctx)
			require.NoError(t, err)
			again, err := outhook.Enqueue(b.ctx, savepoint, keyed(`2`, "k"))
			require.NoError(t, err)
			require.True(t, again.Duplicate)
			require.False(t, again.Conflict)
			require.Equal(t, results[1].ID, again.ID)
			require.NoError(t, savepoint.Commit(b.ctx))

			require.NoError(t, late.Commit(b.ctx))
			require.Equal(t, [3]int{3, 3, 4}, b.counts(t), "the old event's job is still there")
			b.requireStored(t, results[1].ID, results[0].ID, results[3].ID)
		})
	}
}

// A key that was deleted and taken again belongs to an event that an older snapshot can't see.
func TestKeyThatAnotherTookSince(t *testing.T) {
	t.Parallel()
	for _, level := range isolationLevels() {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			late, _ := b.beginLate(t, level)
			taken := b.store(t, keyed(`{}`, "k"))

			res, err := outhook.Enqueue(b.ctx, late, keyed(`{}`, "k"))
			if level == pgx.ReadCommitted {
				require.NoError(t, err)
				require.True(t, res.Duplicate)
				require.Equal(t, taken.ID, res.ID)
			} else {
				var pgErr *pgconn.PgError
				require.ErrorAs(t, err, &pgErr)
				require.Equal(t, "40001", pgErr.Code)
			}
			b.requireStored(t, taken.ID)
		})
	}
}

// The retention may delete a key between the statement that found it taken and the one that looks for its owner.
func TestKeyThatIsDeletedWhileItIsLookedFor(t *testing.T) {
	t.Parallel()
	for _, level := range isolationLevels() {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			old := b.store(t, keyed(`{}`, "k"))
			b.exec(t, fmt.Sprintf(`CREATE FUNCTION public.forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
				$$ BEGIN DELETE FROM outhook.event_keys WHERE event_id = '%s'; RETURN NULL; END $$`, old.ID))
			b.exec(t, `CREATE TRIGGER forget AFTER INSERT ON outhook.event_keys EXECUTE FUNCTION public.forget()`)

			tx := b.begin(t, level)
			results, err := outhook.EnqueueMany(b.ctx, tx, []outhook.Event{keyed(`{}`, "k"), keyed(`{}`, "l"), keyed(`{}`, "k")})
			require.NoError(t, err)
			require.NoError(t, tx.Commit(b.ctx))
			require.Equal(t, []bool{false, false, true},
				[]bool{results[0].Duplicate, results[1].Duplicate, results[2].Duplicate})
			require.Equal(t, results[0].ID, results[2].ID)
			b.requireStored(t, results[0].ID, results[1].ID)
		})
	}
}

// Until the retention has deleted the key of an event that is gone, it names that event.
func TestKeyOutlivesItsEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.store(t, keyed(`{}`, "k"))
	b.exec(t, `DELETE FROM outhook.events`)
	b.exec(t, `DELETE FROM outhook.deliveries`)

	res := b.store(t, keyed(`{"other": 1}`, "k"))
	require.Equal(t, outhook.Result{ID: old.ID, CreatedAt: old.CreatedAt, Duplicate: true}, res)
}
