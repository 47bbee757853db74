package outhook_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
)

type Shipment struct {
	ID      int    `json:"id"`
	Carrier string `json:"carrier,omitempty"`
}

//nolint:gochecknoglobals // as an application declares it
var ShipmentSent = outhook.Define[Shipment]("shipment.sent")

func ExampleDefine() {
	ctx := context.Background()
	pool, done := exampleDatabase(ctx)
	defer done()

	// var ShipmentSent = outhook.Define[Shipment]("shipment.sent"), in the package that knows shipments
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := ShipmentSent.Enqueue(ctx, tx, "acme", Shipment{ID: 3, Carrier: "snail"})
		return err
	})
	fmt.Println(err)

	event, err := ShipmentSent.Event("acme", Shipment{ID: 4}) // the base, for a key or a trace, and for EnqueueSQL
	event.IdempotencyKey = "shipment-4"
	fmt.Println(event.IdempotencyKey, string(event.Payload), err)
	// Output:
	// <nil>
	// shipment-4 {"id":4} <nil>
}
