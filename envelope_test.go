package outhook_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// refund is a payload of an application that has more beside the envelope.
type refund struct {
	outhook.Envelope[order]

	Source string `json:"source"`
}

//nolint:gochecknoglobals // as the documentation shows it
var (
	orderShipped  = outhook.Define[outhook.Envelope[order]]("order.shipped")
	orderReturned = outhook.Define[refund]("order.returned")
)

func TestEnvelope(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 10, 30, 0, 123_456_000, time.FixedZone("", 3600))
	const want = `{"type":"order.shipped","timestamp":"2026-03-01T09:30:00.123456Z","data":{"id":17,"amount":42}}`
	envelope := outhook.Envelope[order]{Type: "order.shipped", Timestamp: at, Data: order{ID: 17, Amount: 42}}

	e, err := envelope.Event(tenant)
	require.NoError(t, err)
	require.Equal(t, outhook.Event{TenantID: tenant, Type: "order.shipped", Payload: json.RawMessage(want)}, e)
	require.Equal(t, "+01:00", envelope.Timestamp.Format("-07:00"), "the caller's is not changed")

	// The bytes are the same in every zone, so a repetition with the same key is a duplicate.
	envelope.Timestamp = at.UTC()
	again, err := envelope.Event(tenant)
	require.NoError(t, err)
	require.Equal(t, e, again)

	// A definition fills the type in, and knows the whole payload.
	e, err = orderShipped.Event(tenant, outhook.Envelope[order]{Timestamp: at, Data: order{ID: 17, Amount: 42}})
	require.NoError(t, err)
	require.JSONEq(t, want, string(e.Payload))
	require.Contains(t, outhook.Definitions(),
		outhook.Defined{Type: "order.shipped", Payload: reflect.TypeFor[outhook.Envelope[order]]()})
	returned := refund{Envelope: outhook.Envelope[order]{Timestamp: at}, Source: "till"}
	e, err = orderReturned.Event(tenant, returned)
	require.NoError(t, err)
	require.JSONEq(t, `{"type":"order.returned","timestamp":"2026-03-01T09:30:00.123456Z",
		"data":{"id":0,"amount":0},"source":"till"}`, string(e.Payload))
	require.Empty(t, returned.Type, "the caller's is not changed")

	// What was sent is read with the same type.
	var got outhook.Envelope[order]
	require.NoError(t, json.Unmarshal([]byte(want), &got))
	require.True(t, got.Timestamp.Equal(at))
	require.Equal(t, order{ID: 17, Amount: 42}, got.Data)
}

func TestEnvelopeRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.begin(t, "")
	now := time.Now()

	var invalid *outhook.InvalidEventError
	_, err := outhook.Envelope[order]{Type: "order.shipped"}.Event(tenant)
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "payload", invalid.Field)
	require.ErrorContains(t, err, "without a Timestamp")
	_, err = outhook.Envelope[order]{Type: "order.shipped", Timestamp: now, Data: order{Amount: math.Inf(1)}}.Event(tenant)
	require.ErrorIs(t, err, outhook.ErrInvalidEvent)
	_, err = outhook.Envelope[order]{Type: "order.shipped", Timestamp: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)}.Event(tenant)
	require.ErrorIs(t, err, outhook.ErrInvalidEvent, "RFC 3339 has no year of five digits")

	// The transaction is still usable: nothing was sent to the database.
	_, err = orderShipped.Enqueue(b.ctx, tx, tenant, outhook.Envelope[order]{Type: "order.paid", Timestamp: now})
	require.ErrorIs(t, err, outhook.ErrInvalidEvent)
	require.ErrorContains(t, err, "another type")
	_, err = orderShipped.EnqueueMany(b.ctx, tx, tenant, []outhook.Envelope[order]{{Timestamp: now}, {}})
	require.EqualError(t, err,
		"event 1: payload is an envelope without a Timestamp; give the time of the change, as it is stored")
	noType, err := outhook.Envelope[order]{Timestamp: now}.Event(tenant)
	require.NoError(t, err)
	_, err = outhook.Enqueue(b.ctx, tx, noType)
	require.ErrorIs(t, err, outhook.ErrInvalidEvent)
	_, err = orderShipped.Enqueue(b.ctx, tx, tenant, outhook.Envelope[order]{Timestamp: now})
	require.NoError(t, err)

	require.PanicsWithValue(t, `outhook: defining the event type "order.lost": its payload is `+
		`*outhook.Envelope[github.com/outhook/outhook_test.order]; take the envelope, not a pointer`,
		func() { outhook.Define[*outhook.Envelope[order]]("order.lost") })
}
