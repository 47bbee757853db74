package outhook_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
)

//nolint:gochecknoglobals // as an application declares it
var ShipmentLost = outhook.Define[outhook.Envelope[Shipment]]("shipment.lost")

func ExampleEnvelope() {
	ctx := context.Background()
	pool, done := exampleDatabase(ctx)
	defer done()
	lostAt := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC) // a column of the row that is changed

	// var ShipmentLost = outhook.Define[outhook.Envelope[Shipment]]("shipment.lost")
	lost := outhook.Envelope[Shipment]{Timestamp: lostAt, Data: Shipment{ID: 3, Carrier: "snail"}}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := ShipmentLost.Enqueue(ctx, tx, "acme", lost)
		return err
	})
	fmt.Println(err)

	lost.Type = "shipment.lost"
	event, err := lost.Event("acme") // the same without a definition
	fmt.Println(string(event.Payload), err)
	// Output:
	// <nil>
	// {"type":"shipment.lost","timestamp":"2026-03-01T09:30:00Z","data":{"id":3,"carrier":"snail"}} <nil>
}
