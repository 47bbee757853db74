package outhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Definition is an event type together with the Go type of its payload, so that a name is written once and a payload of
// another type does not compile:
//
//	var OrderPaid = outhook.Define[Order]("order.paid")
//
//	_, err := OrderPaid.Enqueue(ctx, tx, "acme", order)
type Definition[T any] struct{ eventType string }

// Defined is what [Definitions] tells of a definition.
type Defined struct {
	// Type is the event type.
	Type string

	// Payload is the Go type whose JSON is the payload.
	Payload reflect.Type
}

// registry holds the event types that the program has defined.
//
//nolint:gochecknoglobals // like those of expvar and database/sql, it is filled while packages are initialised
var registry struct {
	sync.Mutex

	defined []Defined
}

// Define declares an event type whose payload is the JSON of a T, and lists it in [Definitions]. Call it once for each
// type, in the declaration of a variable of a package. It panics if the type is not valid, or was defined before, or if
// T is a pointer to an [Envelope], which could not be filled in without a change of the caller's.
func Define[T any](eventType string) *Definition[T] {
	if err := checkType(eventType); err != nil {
		panic(fmt.Sprintf("outhook: defining the event type %q: it %s", eventType, err.Problem))
	}
	if _, pointer := any(*new(T)).(sealed); pointer {
		panic(fmt.Sprintf("outhook: defining the event type %q: its payload is %s; take the envelope, not a pointer",
			eventType, reflect.TypeFor[T]()))
	}

	registry.Lock()
	defer registry.Unlock()
	for _, d := range registry.defined {
		if d.Type == eventType {
			panic(fmt.Sprintf("outhook: the event type %q is defined twice, with payloads %s and %s",
				eventType, d.Payload, reflect.TypeFor[T]()))
		}
	}
	registry.defined = append(registry.defined, Defined{Type: eventType, Payload: reflect.TypeFor[T]()})
	return &Definition[T]{eventType: eventType}
}

// Definitions lists what the program has defined, by type.
func Definitions() []Defined {
	registry.Lock()
	defer registry.Unlock()
	byType := func(a, b Defined) int { return cmp.Compare(a.Type, b.Type) }
	return slices.SortedFunc(slices.Values(registry.defined), byType)
}

// Type is the event type.
func (d *Definition[T]) Type() string { return d.eventType }

// Event returns an event of the type, whose payload is what encoding/json makes of payload. Give it an IdempotencyKey
// or a Traceparent, and enqueue it with [Enqueue], [EnqueueSQL] or together with others.
//
// Returns an error that wraps ErrInvalidEvent if the payload can't be encoded, or is an [Envelope] without a Timestamp
// or of another type.
func (d *Definition[T]) Event(tenantID string, payload T) (Event, error) {
	return eventOf(tenantID, d.eventType, payload)
}

// Enqueue is [Enqueue] for an event of the type.
func (d *Definition[T]) Enqueue(ctx context.Context, tx pgx.Tx, tenantID string, payload T) (Result, error) {
	return single(d.EnqueueMany(ctx, tx, tenantID, []T{payload}))
}

// EnqueueMany is [EnqueueMany] for events of the type, one for each payload. If one can't be encoded, none is stored.
func (d *Definition[T]) EnqueueMany(ctx context.Context, tx pgx.Tx, tenantID string, payloads []T) ([]Result, error) {
	events := make([]Event, len(payloads))
	for i, payload := range payloads {
		event, err := d.Event(tenantID, payload)
		if invalid := (*InvalidEventError)(nil); errors.As(err, &invalid) {
			invalid.Index = i
			return nil, invalid
		}
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}

		events[i] = event
	}
	return EnqueueMany(ctx, tx, events)
}
