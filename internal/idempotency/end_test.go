package idempotency_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/rekey"
)

func TestAnswersAreGivenForADay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.requireMade(b.newRequest("k", "{}"), "a")
	b.requireMade(b.newRequest("other", "{}"), "b")
	q, kept := db.New(), idempotency.Kept.Seconds()
	age := func(by string) {
		b.exec(`UPDATE outhook.stored_answers SET created_at = created_at - $1::interval WHERE tenant_ids = '{}'`, by)
	}

	age("23 hours 59 minutes")
	b.requireRepeated(b.store, first, b.newRequest("k", "{}"))
	n, err := q.DeleteOldAnswers(t.Context(), b.pool, kept, 10)
	require.NoError(t, err)
	require.Zero(t, n)

	// An expired row is a new request's, also before it is deleted; and it is not deleted once it is.
	age("1 minute")
	r := b.newRequest("k", `{"another": 1}`)
	r.About("acme")
	second, repeated, err := b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
		n, err := q.DeleteOldAnswers(t.Context(), b.pool, kept, 10)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		return insert(t.Context(), r, "c")
	})
	require.NoError(t, err)
	require.False(t, repeated)
	b.requireCounts(3, 1)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.stored_answers WHERE tenant_ids = '{acme}'`))
	b.requireRepeated(b.store, second, b.newRequest("k", `{"another": 1}`))
}

// What an API key was answered goes with it; of a request that is under way, an hour later.
func TestAnswersGoWithTheirKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := callerOf("one"), callerOf("two")
	bootstrap := callerOf("bootstrap")
	bootstrap.ID = [16]byte{}
	request := func(c idempotency.Caller, key string) *idempotency.Request {
		return b.newRequestOf(c, key, "POST", "/", "")
	}
	b.requireMade(request(one, "k"), "a")
	others := b.requireMade(request(two, "k"), "b")
	own := b.requireMade(request(bootstrap, "k"), "c")
	b.exec(`INSERT INTO outhook.api_keys (id, name, key_hash, scope) VALUES ($1, 'one', '1', 'admin'), ($2, 'two', '2', 'admin')`, one.ID, two.ID)

	r := request(one, "under way")
	_, _, err := b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
		b.exec(`UPDATE outhook.api_keys SET revoked_at = now() WHERE id = $1`, one.ID)
		require.NoError(t, db.New().DeleteAnswersOfKey(t.Context(), b.pool, one.ID))
		return insert(t.Context(), r, "d")
	})
	require.NoError(t, err)
	b.requireCounts(4, 3)
	n, err := db.New().DeleteAnswersOfRevoked(t.Context(), b.pool, idempotency.Kept.Seconds())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	b.requireRepeated(b.store, others, request(two, "k"))
	b.requireRepeated(b.store, own, request(bootstrap, "k"))
}

// What is about a tenant until its data is erased goes with it.
func TestAnswersGoWithTheirTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bound := callerOf("bound")
	bound.TenantID = "acme"
	b.requireMade(b.newRequestOf(bound, "k", "POST", "/", ""), "a")
	r := b.newRequest("both", "")
	r.About("other")
	r.About("acme")
	b.requireMade(r, "b")
	r = b.newRequest("other", "")
	r.About("other")
	others := b.requireMade(r, "c")

	var ordered time.Time
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT now()`).Scan(&ordered))
	r = b.newRequest("later", "")
	r.About("acme")
	later := b.requireMade(r, "d")
	require.NoError(t, db.New().EraseStoredAnswers(t.Context(), b.pool, "acme", ordered))
	b.requireCounts(4, 2)
	b.requireRepeated(b.store, others, b.newRequest("other", ""))
	b.requireRepeated(b.store, later, b.newRequest("later", ""))
}

// The database alone shows nothing of an answer, and a row in another's place is not given.
func TestAnswersAreSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.requireMade(b.newRequest("first key", "{}"), "secret")
	b.requireMade(b.newRequest("second key", "{}"), "b")
	var row string
	require.NoError(t, b.pool.QueryRow(t.Context(),
		`SELECT string_agg(encode(id, 'escape') || encode(sealed, 'escape') || a::text, '') FROM outhook.stored_answers AS a`).Scan(&row))
	for _, text := range []string{"secret", "Location", "first key"} {
		require.NotContains(t, row, text)
	}

	b.exec(`UPDATE outhook.stored_answers AS a SET sealed = o.sealed FROM outhook.stored_answers AS o WHERE o.id <> a.id`)
	_, _, err := b.once(b.store, b.newRequest("second key", "{}"), "c")
	require.ErrorIs(t, err, signature.ErrDecrypt)
	b.requireCounts(2, 2)
}

// The encryption key changes between an answer and its repetition.
func TestAnswersOutliveTheirEncryptionKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	oldKey, newKey := signature.NewKey(), signature.NewKey()
	request := func() *idempotency.Request { return b.newRequest("k", "{}") }
	store := func(keys ...string) *idempotency.Store {
		return idempotency.NewStore(b.pool, newKeyring(t, keys...))
	}
	first, _, err := b.once(store(oldKey), request(), "a")
	require.NoError(t, err)
	b.requireRepeated(store(newKey, oldKey), first, request())

	// Nothing is done again because the answer can't be read.
	_, _, err = b.once(store(newKey), request(), "b")
	require.ErrorIs(t, err, signature.ErrUnknownKey)
	b.requireCounts(1, 1)

	done, err := rekey.Run(t.Context(), b.pool, newKeyring(t, newKey, oldKey), 1)
	require.NoError(t, err)
	require.Equal(t, 1, done.Answers)
	b.requireRepeated(store(newKey), first, request())
}
