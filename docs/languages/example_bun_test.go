package languages_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"

	_ "github.com/lib/pq"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/outhook/outhook"
)

func Example_bun() {
	ctx := context.Background()
	sqldb, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	db := bun.NewDB(sqldb, pgdialect.New())
	defer func() { _ = db.Close() }()

	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewUpdate().Model((*Invoice)(nil)).Set("paid = true").Where("id = ?", 17).Exec(ctx); err != nil {
			return err
		}
		_, err := outhook.EnqueueSQL(ctx, tx.Tx, outhook.Event{ // tx.Tx, not tx
			TenantID: "acme", Type: "invoice.paid", Payload: json.RawMessage(`{"id": 17}`), IdempotencyKey: "bun-payment-8812",
		})
		return err
	})
	fmt.Println("committed:", err == nil)
	// Output: committed: true
}
