package outhook_test

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

type order struct {
	ID     int     `json:"id"`
	Amount float64 `json:"amount"`
}

//nolint:gochecknoglobals // as the documentation shows it
var (
	orderPaid     = outhook.Define[order]("order.paid")
	orderRefunded = outhook.Define[*order]("order.refunded")
)

func TestDefinition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin(t, "")

	res, err := orderPaid.Enqueue(b.ctx, tx, tenant, order{ID: 17, Amount: 42})
	require.NoError(t, err)
	require.Equal(t, 1, res.DeliveryCount)
	results, err := orderRefunded.EnqueueMany(b.ctx, tx, tenant, []*order{{ID: 17}, nil})
	require.NoError(t, err)
	require.Len(t, results, 2)

	// What can't be encoded leaves the transaction usable, and stores nothing.
	_, err = orderPaid.EnqueueMany(b.ctx, tx, tenant, []order{{ID: 18}, {Amount: math.NaN()}})
	require.ErrorIs(t, err, outhook.ErrInvalidEvent)
	require.ErrorContains(t, err, "event 1: ")

	// Event is the base, for whatever else an event may have.
	e, err := orderPaid.Event(tenant, order{ID: 19})
	require.NoError(t, err)
	e.IdempotencyKey = "payment-8812"
	_, err = outhook.Enqueue(b.ctx, tx, e)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(b.ctx))

	rows, err := b.pool.Query(b.ctx, `SELECT type || ' ' || payload::text FROM outhook.events ORDER BY id`)
	require.NoError(t, err)
	var got []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		got = append(got, line)
	}
	require.NoError(t, rows.Err())
	slices.Sort(got)
	require.Equal(t, []string{
		`order.paid {"id":17,"amount":42}`, `order.paid {"id":19,"amount":0}`,
		`order.refunded null`, `order.refunded {"id":17,"amount":0}`,
	}, got)
}

func TestDefinitionsListsEachOnce(t *testing.T) {
	t.Parallel()
	require.Equal(t, "order.paid", orderPaid.Type())
	require.Equal(t, []outhook.Defined{
		{Type: "order.paid", Payload: reflect.TypeFor[order]()},
		{Type: "order.refunded", Payload: reflect.TypeFor[*order]()},
		{Type: "order.returned", Payload: reflect.TypeFor[refund]()},
		{Type: "order.shipped", Payload: reflect.TypeFor[outhook.Envelope[order]]()},
		{Type: "shipment.lost", Payload: reflect.TypeFor[outhook.Envelope[Shipment]]()},
		{Type: "shipment.sent", Payload: reflect.TypeFor[Shipment]()},
	}, outhook.Definitions())

	require.PanicsWithValue(t, `outhook: the event type "order.paid" is defined twice, with payloads outhook_test.order and string`,
		func() { outhook.Define[string]("order.paid") })
	require.Panics(t, func() { outhook.Define[string]("order paid") })
	require.Panics(t, func() { outhook.Define[string]("outhook.mine") })
}
