package outhook_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook"
)

// traced returns a context with a span, as instrumented code gets it.
func traced() context.Context {
	return trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{15: 1}, SpanID: trace.SpanID{7: 2}, TraceFlags: trace.FlagsSampled,
	}))
}

// enqueue enqueues an event and returns the trace that is stored with it.
func enqueue(ctx context.Context) (stored string) {
	pool, done := exampleDatabase(ctx)
	defer done()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		r, err := outhook.Enqueue(ctx, tx, outhook.Event{TenantID: "acme", Type: "invoice.paid", Payload: json.RawMessage(`{}`)})
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT traceparent FROM outhook.events WHERE id = $1", r.ID).Scan(&stored)
	})
	if err != nil {
		return err.Error()
	}
	return stored
}

func ExampleContextWithTraceparent() {
	ctx := traced() // a context with a span

	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	ctx = outhook.ContextWithTraceparent(ctx, carrier["traceparent"])

	fmt.Println("stored:", enqueue(ctx)) // enqueue calls outhook.Enqueue
	// Output: stored: 00-00000000000000000000000000000001-0000000000000002-01
}
