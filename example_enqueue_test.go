package outhook_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
)

type Invoice struct {
	ID     int `json:"id"`
	Amount int `json:"amount"`
}

func ExampleEnqueue() {
	ctx := context.Background()
	pool, done := exampleDatabase(ctx) // a database with a table invoices
	defer done()

	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE invoices SET paid = true WHERE id = $1", 17); err != nil {
			return err
		}
		paid := outhook.Envelope[Invoice]{Type: "invoice.paid", Timestamp: time.Now(), Data: Invoice{ID: 17, Amount: 4200}}
		event, err := paid.Event("acme") // its payload is {"type": …, "timestamp": …, "data": …}
		if err != nil {
			return err
		}
		_, err = outhook.Enqueue(ctx, tx, event)
		return err
	})
	fmt.Println("committed together:", err == nil)
	// Output: committed together: true
}
