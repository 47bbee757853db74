package outhook

import (
	"context"
	"encoding/json"
)

// Schemas hold payloads against what is known of their event types. Package schema makes some of files.
type Schemas interface {
	// Check returns what is wrong with a payload. It repeats nothing of it: the error is told as that of the event.
	Check(eventType string, payload json.RawMessage) error
}

// schemasKey is the key of a context's Schemas.
type schemasKey struct{}

// WithSchemas returns a copy of ctx with which events are held against schemas before they are enqueued, and before
// any SQL: one that breaks its own is an [*InvalidEventError], and the transaction is still usable. Set it once, in
// the context that the program's others come from:
//
//	schemas, err := schema.Read(os.DirFS("events"))
//	ctx = outhook.WithSchemas(ctx, schemas)
func WithSchemas(ctx context.Context, schemas Schemas) context.Context {
	return context.WithValue(ctx, schemasKey{}, schemas)
}

// checkSchema returns an *InvalidEventError if the event breaks the schema that the context has for it.
func checkSchema(ctx context.Context, e Event) error {
	schemas, ok := ctx.Value(schemasKey{}).(Schemas)
	if !ok {
		return nil
	}
	if err := schemas.Check(e.Type, e.Payload); err != nil {
		return &InvalidEventError{Field: "payload", Problem: "breaks the schema of its type: " + err.Error()}
	}
	return nil
}
