package languages_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/docs/languages/invoices"
)

func Example_sqlc() {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()

	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := invoices.New(tx).Pay(ctx, 17); err != nil { // or queries.WithTx(tx)
			return err
		}
		_, err := outhook.Enqueue(ctx, tx, outhook.Event{
			TenantID: "acme", Type: "invoice.paid", Payload: json.RawMessage(`{"id": 17}`), IdempotencyKey: "sqlc-payment-8812",
		})
		return err
	})
	fmt.Println("committed:", err == nil)
	// Output: committed: true
}
