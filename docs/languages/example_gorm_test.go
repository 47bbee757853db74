package languages_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/outhook/outhook"
)

func Example_gorm() {
	ctx := context.Background()
	db, err := gorm.Open(postgres.Open(os.Getenv("DATABASE_URL")), &gorm.Config{PrepareStmt: true})
	if err != nil {
		fmt.Println(err)
		return
	}

	err = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&Invoice{}).Where("id = ?", 17).Update("paid", true).Error; err != nil {
			return err
		}
		_, err := outhook.EnqueueSQL(ctx, tx.Statement.ConnPool, outhook.Event{
			TenantID: "acme", Type: "invoice.paid", Payload: json.RawMessage(`{"id": 17}`), IdempotencyKey: "gorm-payment-8812",
		})
		return err
	})
	fmt.Println("committed:", err == nil)
	// Output: committed: true
}
