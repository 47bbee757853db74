package api

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const headerTraceparent = "traceparent"

// traceOf returns the traceparent of a request's events: that of the request's own span if the process makes spans,
// else that of the header. A header may hold any bytes, so one that is no traceparent gives "".
func traceOf(ctx context.Context, header string) string {
	format, carrier := propagation.TraceContext{}, propagation.MapCarrier{}
	if !trace.SpanContextFromContext(ctx).IsValid() {
		if header == "" {
			return ""
		}
		carrier.Set(headerTraceparent, header)
		ctx = format.Extract(ctx, carrier)
		carrier = propagation.MapCarrier{}
	}

	format.Inject(ctx, carrier)
	return carrier.Get(headerTraceparent)
}
