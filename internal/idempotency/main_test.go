package idempotency_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// testBundle is a store on a database of its own, with a table that requests change.
type testBundle struct {
	t       *testing.T
	pool    *pgxpool.Pool
	keyring *signature.Keyring
	store   *idempotency.Store
	places  atomic.Int32 // that are taken at the database
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{t: t, pool: dbtest.New(t), keyring: newKeyring(t, signature.NewKey())}
	b.store = idempotency.NewStore(b.pool, b.keyring)
	b.exec(`CREATE TABLE public.made (name text UNIQUE)`)
	t.Cleanup(func() { require.Zero(t, b.places.Load(), "a place was not given back") })
	return b
}

func newKeyring(t *testing.T, keys ...string) *signature.Keyring {
	t.Helper()
	k, err := signature.ParseKeyring(strings.Join(keys, ","))
	require.NoError(t, err)
	return k
}

// another returns the store of another process, with a pool of some connections.
func (b *testBundle) another(conns int32) (*idempotency.Store, *pgxpool.Pool) {
	b.t.Helper()
	pool, err := pg.NewPoolLike(b.t.Context(), b.pool, conns)
	require.NoError(b.t, err)
	b.t.Cleanup(pool.Close)
	return idempotency.NewStore(pool, b.keyring), pool
}

func (b *testBundle) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), query, args...)
	require.NoError(b.t, err)
}

func (b *testBundle) count(query string, args ...any) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), query, args...).Scan(&n))
	return n
}

// requireCounts wants so many changes and stored answers.
func (b *testBundle) requireCounts(made, stored int) {
	b.t.Helper()
	require.Equal(b.t, made, b.count(`SELECT count(*) FROM public.made`), "changes")
	require.Equal(b.t, stored, b.count(`SELECT count(*) FROM outhook.stored_answers`), "stored answers")
}

// place takes a place at the database.
func (b *testBundle) place(context.Context) (func(), error) {
	b.places.Add(1)
	return func() { b.places.Add(-1) }, nil
}

func callerOf(name string) idempotency.Caller {
	return idempotency.Caller{ID: uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)), Hash: sha256.Sum256([]byte(name))}
}

// newRequest returns a request of the API key "one".
func (b *testBundle) newRequest(key, body string) *idempotency.Request {
	b.t.Helper()
	return b.newRequestOf(callerOf("one"), key, "POST", "/api/things", body)
}

func (b *testBundle) newRequestOf(caller idempotency.Caller, key, method, target, body string) *idempotency.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, target, nil)
	require.NoError(b.t, err)
	return idempotency.NewRequest(caller, key, r, []byte(body))
}

// insert makes a change, and returns what a handler answers.
func insert(ctx context.Context, r *idempotency.Request, name string) *idempotency.Answer {
	a := &idempotency.Answer{Status: http.StatusCreated, Body: []byte("made " + name + "\n\x00\xff")}
	a.Header().Set("Location", "/api/things/"+name)
	err := r.Change(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO public.made VALUES ($1)`, name)
		return err
	})
	if err != nil {
		return &idempotency.Answer{Status: http.StatusInternalServerError, Body: []byte(err.Error())}
	}
	return a
}

// once carries out a request that makes a change with a name.
func (b *testBundle) once(st *idempotency.Store, r *idempotency.Request, name string) (*idempotency.Answer, bool, error) {
	ctx := b.t.Context()
	return st.Once(ctx, r, b.place, func() *idempotency.Answer { return insert(ctx, r, name) })
}

func (b *testBundle) requireMade(r *idempotency.Request, name string) *idempotency.Answer {
	b.t.Helper()
	a, repeated, err := b.once(b.store, r, name)
	require.NoError(b.t, err)
	require.False(b.t, repeated)
	require.Equal(b.t, http.StatusCreated, a.Status, "%s", a.Body)
	return a
}

// requireRepeated wants the first answer once more, and nothing done.
func (b *testBundle) requireRepeated(st *idempotency.Store, first *idempotency.Answer, r *idempotency.Request) {
	b.t.Helper()
	a, repeated, err := st.Once(b.t.Context(), r, b.place, func() *idempotency.Answer {
		b.t.Error("a repeated request is carried out")
		return &idempotency.Answer{Status: http.StatusOK}
	})
	require.NoError(b.t, err)
	require.True(b.t, repeated)
	require.Equal(b.t, first, a)
}

func (b *testBundle) requireProblem(err error, code problem.Code) *problem.Error {
	b.t.Helper()
	var p *problem.Error
	require.ErrorAs(b.t, err, &p)
	require.Equal(b.t, code, p.Code)
	return p
}
