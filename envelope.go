package outhook

import (
	"encoding/json"
	"fmt"
	"time"
)

// Envelope is a payload in the form that Standard Webhooks recommends (version 1.0.0, "Payload structure"), members in
// this order and without white space:
//
//	{"type":"order.paid","timestamp":"2026-03-01T09:30:00.123456Z","data":{"id":17}}
//
// The signature covers webhook-id, webhook-timestamp and the payload, and no other header: with an envelope, the type
// that a receiver goes by is signed. Publish one with [Envelope.Event], or define the event type with it, which then
// fills in Type and tells [Definitions] the whole payload:
//
//	var OrderPaid = outhook.Define[outhook.Envelope[Order]]("order.paid")
//
//	_, err := OrderPaid.Enqueue(ctx, tx, "acme", outhook.Envelope[Order]{Timestamp: paidAt, Data: order})
//
// A receiver in Go decodes a body that it has verified into an Envelope[json.RawMessage], and Data by its Type.
type Envelope[T any] struct {
	// Type is the event type. Of an event that is made by a [Definition] it is that one's, and may be left out.
	Type string `json:"type"`

	// Timestamp is the time of the change, which must be given. It is sent as RFC 3339 has it, in UTC, with the digits
	// of the second that it has, at most nine. Take it from the row: an event that is enqueued again with its
	// IdempotencyKey is a duplicate only if its payload has the same bytes, and a clock that is read again makes others.
	Timestamp time.Time `json:"timestamp"`

	// Data is what encoding/json makes of it.
	Data T `json:"data"`
}

// Event returns an event of the envelope's type, whose payload is the envelope.
//
// Returns an error that wraps ErrInvalidEvent if the Timestamp is zero or the envelope can't be encoded. A Type that is
// not valid is found by [Event.Validate], and so by [Enqueue].
func (e Envelope[T]) Event(tenantID string) (Event, error) {
	return eventOf(tenantID, e.Type, e)
}

// seal makes the envelope one of the event type, and its time the same bytes in every time zone.
func (e *Envelope[T]) seal(eventType string) error {
	switch {
	case e.Type != "" && e.Type != eventType:
		return invalid("payload", "is an envelope of another type than the event's; leave its Type out")
	case e.Timestamp.IsZero():
		return invalid("payload", "is an envelope without a Timestamp; give the time of the change, as it is stored")
	}
	e.Type, e.Timestamp = eventType, e.Timestamp.UTC()
	return nil
}

// sealed is an [Envelope], or a struct that embeds one.
type sealed interface{ seal(eventType string) error }

// eventOf returns an event whose payload is what encoding/json makes of payload, a copy of the caller's.
func eventOf[T any](tenantID, eventType string, payload T) (Event, error) {
	if e, ok := any(&payload).(sealed); ok {
		if err := e.seal(eventType); err != nil {
			return Event{}, err
		}
	}

	data, err := json.Marshal(payload)
	if err != nil {
		return Event{}, fmt.Errorf("%w: encoding the payload of %s: %w", ErrInvalidEvent, eventType, err)
	}
	return Event{TenantID: tenantID, Type: eventType, Payload: data}, nil
}
