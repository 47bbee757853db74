package outhooktest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/outhooktest"
)

func TestMain(m *testing.M) { outhooktest.Main(m) }

func event(typ, payload string) outhook.Event {
	return outhook.Event{TenantID: "acme", Type: typ, Payload: json.RawMessage(payload)}
}

// report catches what a helper says of a test that it fails.
type report struct {
	testing.TB

	text string
}

func (r *report) Helper() {}

func (r *report) Fatalf(format string, args ...any) {
	r.text = fmt.Sprintf(format, args...)
	panic(r)
}

// failure returns what a helper fails a test with, and "" if it does not.
func failure(t *testing.T, check func(t testing.TB)) string {
	t.Helper()
	r := &report{TB: t}
	func() {
		defer func() { _ = recover() }()
		check(r)
	}()
	return r.text
}

func TestRequire(t *testing.T) {
	t.Parallel()
	pool, ctx := outhooktest.Database(t), t.Context()
	other, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer other.Rollback(ctx)
	_, err = outhook.Enqueue(ctx, other, event("invoice.paid", `{"of": "somebody else"}`))
	require.NoError(t, err)
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := outhook.Enqueue(ctx, tx, event("invoice.paid", `{"committed": "before"}`))
		return err
	}))

	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
		require.NoError(t, err)
		outhooktest.RequireNotEnqueued(t, tx, outhook.Event{})
		e := event("invoice.paid", `{"id": 17, "lines": [1.50]}`)
		e.IdempotencyKey = "payment-" + string(level)
		_, err = outhook.Enqueue(ctx, tx, e)
		require.NoError(t, err)

		// Savepoints: released, rolled back, and open.
		require.NoError(t, pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := outhook.Enqueue(ctx, tx, event("invoice.sent", `1`))
			return err
		}))
		undone, err := tx.Begin(ctx)
		require.NoError(t, err)
		_, err = outhook.Enqueue(ctx, undone, event("invoice.undone", `1`))
		require.NoError(t, err)
		outhooktest.RequireEnqueued(t, undone, outhook.Event{Type: "invoice.undone"})
		require.NoError(t, undone.Rollback(ctx))

		outhooktest.RequireEnqueued(t, tx, outhook.Event{Type: "invoice.paid"})
		outhooktest.RequireEnqueued(t, tx, event("invoice.paid", `{"lines":[1.50],"id":17}`))
		outhooktest.RequireEnqueuedMany(t, tx, []outhook.Event{e, {Type: "invoice.sent"}})
		outhooktest.RequireNotEnqueued(t, tx, outhook.Event{Type: "invoice.undone"})

		for text, check := range map[string]func(t testing.TB){
			"0 events like this one": func(tb testing.TB) {
				tb.Helper()
				outhooktest.RequireEnqueued(tb, tx, event("invoice.paid", `{"id": 18}`))
			},
			"2 events like this one have been enqueued, and 1 should": func(tb testing.TB) {
				tb.Helper()
				outhooktest.RequireEnqueued(tb, tx, outhook.Event{TenantID: "acme"})
			},
			"other events": func(tb testing.TB) {
				tb.Helper()
				outhooktest.RequireEnqueuedMany(tb, tx, []outhook.Event{{Type: "invoice.sent"}, {Type: "invoice.paid"}})
			},
			"1 events like this one have been enqueued, and none should": func(tb testing.TB) {
				tb.Helper()
				outhooktest.RequireNotEnqueued(tb, tx, outhook.Event{Type: "invoice.sent"})
			},
		} {
			said := failure(t, check)
			require.Contains(t, said, text)
			require.Contains(t, said, `tenant "acme" type "invoice.paid" key "payment-`+string(level))
		}
		require.NoError(t, tx.Rollback(ctx))
	}
}

// A publisher, who may read no table, sees his own transaction's events by it, and no others.
func TestAPublisherMayAsk(t *testing.T) {
	t.Parallel()
	pool, ctx := outhooktest.Database(t), t.Context()
	db := stdlib.OpenDBFromPool(pool)
	defer func() { require.NoError(t, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, `SET LOCAL ROLE outhook_publisher`)
	require.NoError(t, err)

	outhooktest.RequireNotEnqueuedSQL(t, tx, outhook.Event{})
	_, err = outhook.EnqueueSQL(ctx, tx, event("invoice.paid", `{}`))
	require.NoError(t, err)
	outhooktest.RequireEnqueuedSQL(t, tx, outhook.Event{Type: "invoice.paid"})
	outhooktest.RequireEnqueuedManySQL(t, tx, []outhook.Event{{TenantID: "acme"}})
	require.NoError(t, tx.Commit())
}

func TestSignIsStandardWebhooks(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	id, body := "0192f0c1-0000-7000-8000-000000000017", []byte(`{"id": 17}`)
	header := outhooktest.Sign(t, secret, id, time.Now(), body)
	require.NoError(t, verifier.Verify(body, header))
	require.Equal(t, id, http.Header.Get(header, "webhook-id"))
	require.Error(t, verifier.Verify([]byte(`{"id": 18}`), header))
	require.Error(t, verifier.Verify(body, outhooktest.Sign(t, secret, id, time.Now().Add(-time.Hour), body)))
	require.True(t, strings.HasPrefix(failure(t, func(tb testing.TB) {
		tb.Helper()
		outhooktest.Sign(tb, "no secret", id, time.Now(), body)
	}), "reading the secret"))
}
