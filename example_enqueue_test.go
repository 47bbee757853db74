package outhook_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
)

func ExampleEnqueue() {
	ctx := context.Background()
	pool, done := exampleDatabase(ctx) // a database with a table invoices
	defer done()

	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE invoices SET paid = true WHERE id = $1", 17); err != nil {
			return err
		}
		_, err := outhook.Enqueue(ctx, tx, outhook.Event{
			TenantID: "acme",
			Type:     "invoice.paid",
			Payload:  json.RawMessage(`{"id": 17, "amount": 4200}`),
		})
		return err
	})
	fmt.Println("committed together:", err == nil)
	// Output: committed together: true
}
