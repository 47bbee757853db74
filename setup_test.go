package outhook_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/dbtest"
)

const tenant = "acme"

// exampleDatabase returns a database for an example, with a table of invoices, and what gives it back.
func exampleDatabase(ctx context.Context) (*pgxpool.Pool, func()) {
	t := &exampleTB{}
	pool := dbtest.New(t) //nolint:contextcheck // it has the test's context
	if _, err := pool.Exec(ctx, "CREATE TABLE invoices (id bigint PRIMARY KEY, paid boolean NOT NULL)"); err != nil {
		panic(err)
	}
	return pool, t.cleanup
}

// exampleTB lets an example, which has no testing.T, use dbtest.
type exampleTB struct {
	testing.TB

	cleanups []func()
	failed   atomic.Bool
}

func (t *exampleTB) Helper()                   {}
func (t *exampleTB) Name() string              { return "Example" }
func (t *exampleTB) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Failed() bool              { return t.failed.Load() }
func (t *exampleTB) Context() context.Context  { return context.Background() }
func (t *exampleTB) Logf(string, ...any)       {}
func (t *exampleTB) Log(...any)                {}
func (t *exampleTB) Fatalf(f string, a ...any) { panic(a) }
func (t *exampleTB) Fatal(a ...any)            { panic(a) }
func (t *exampleTB) Errorf(string, ...any)     { t.failed.Store(true) }
func (t *exampleTB) Error(...any)              { t.failed.Store(true) }
func (t *exampleTB) FailNow()                  { panic("example failed") }
func (t *exampleTB) cleanup() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// testBundle is a database with one endpoint of the tenant.
type testBundle struct {
	ctx  context.Context //nolint:containedctx // the test's own, as long as the bundle
	pool *pgxpool.Pool
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{ctx: t.Context(), pool: dbtest.New(t)}
	b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url) VALUES (outhook.uuid_v7(), $1, 'https://example.com/')`, tenant)
	return b
}

func (b *testBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(b.ctx, sql, args...)
	require.NoError(t, err)
}

// counts returns how many events, deliveries and jobs there are.
func (b *testBundle) counts(t *testing.T) (c [3]int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT (SELECT count(*) FROM outhook.events),
		(SELECT count(*) FROM outhook.deliveries), (SELECT count(*) FROM outhook.river_job)`).Scan(&c[0], &c[1], &c[2]))
	return c
}

func (b *testBundle) begin(t *testing.T, level pgx.TxIsoLevel) pgx.Tx {
	t.Helper()
	tx, err := b.pool.BeginTx(b.ctx, pgx.TxOptions{IsoLevel: level})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(b.ctx)) })
	return tx
}

func event(payload string) outhook.Event {
	return outhook.Event{TenantID: tenant, Type: "invoice.paid", Payload: json.RawMessage(payload)}
}

func keyed(payload, key string) outhook.Event {
	e := event(payload)
	e.IdempotencyKey = key
	return e
}
