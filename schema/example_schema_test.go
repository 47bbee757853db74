package schema_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/schema"
)

// A program that refuses what breaks the schemas of its own repository.
func ExampleRead() {
	ctx := context.Background()
	schemas, err := schema.Read(os.DirFS("../internal/catalog/testdata/files")) // or an embed.FS
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx = outhook.WithSchemas(ctx, schemas)

	var tx pgx.Tx // that of your change: it is not even asked, and goes on to be usable
	_, err = outhook.Enqueue(ctx, tx, outhook.Event{
		TenantID: "acme",
		Type:     "order.placed",
		Payload:  json.RawMessage(`{"id": "o-1", "total": {"amount": "12.50", "currency": "EUR"}}`),
	})
	fmt.Println(err)
	// Output: event 0: payload breaks the schema of its type: must be integer at /total/amount
}
