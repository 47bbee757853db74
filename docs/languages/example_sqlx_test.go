package languages_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"

	"github.com/outhook/outhook"
)

func Example_sqlx() {
	ctx := context.Background()
	db, err := sqlx.Connect("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()

	tx := db.MustBeginTx(ctx, nil)
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	tx.MustExecContext(ctx, "UPDATE invoices SET paid = true WHERE id = $1", 17)
	_, err = outhook.EnqueueSQL(ctx, tx, outhook.Event{
		TenantID: "acme", Type: "invoice.paid", Payload: json.RawMessage(`{"id": 17}`), IdempotencyKey: "sqlx-payment-8812",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("committed:", tx.Commit() == nil)
	// Output: committed: true
}
