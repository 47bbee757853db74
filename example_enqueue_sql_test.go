package outhook_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/outhook/outhook"
)

func ExampleEnqueueSQL() {
	ctx := context.Background()
	pool, done := exampleDatabase(ctx) // a database with a table invoices
	defer done()
	db := stdlib.OpenDBFromPool(pool) // or sql.Open with any Postgres driver
	defer func() { _ = db.Close() }()

	pay := func(tx *sql.Tx) (outhook.Result, error) {
		if _, err := tx.ExecContext(ctx, "UPDATE invoices SET paid = true WHERE id = $1", 17); err != nil {
			return outhook.Result{}, err
		}
		return outhook.EnqueueSQL(ctx, tx, outhook.Event{
			TenantID:       "acme",
			Type:           "invoice.paid",
			Payload:        json.RawMessage(`{"id": 17, "amount": 4200}`),
			IdempotencyKey: "payment-8812",
		})
	}
	for range 2 {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		res, err := pay(tx)
		if err != nil {
			_ = tx.Rollback()
			fmt.Println(err)
			return
		}
		fmt.Println("duplicate:", res.Duplicate, "committed:", tx.Commit() == nil)
	}
	// Output:
	// duplicate: false committed: true
	// duplicate: true committed: true
}
