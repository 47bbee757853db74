package deliver

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/internal/egress"
)

// headerTraceparent carries the trace to the receiver (W3C Trace Context).
const headerTraceparent = "traceparent"

// newTracer returns nil without a provider.
func newTracer(provider trace.TracerProvider) trace.Tracer {
	if provider == nil {
		return nil
	}
	return provider.Tracer("github.com/outhook/outhook/jobs")
}

// startSpan begins the span of an attempt, a child of what the event was enqueued in, and puts its context into the
// request's header. Without a tracer it returns nil, and the receiver gets the event's own trace.
func (w *Worker) startSpan(ctx context.Context, r *run, header http.Header) trace.Span {
	if w.tracer == nil {
		if r.trace != "" {
			header.Set(headerTraceparent, r.trace)
		}
		return nil
	}

	if r.trace != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{headerTraceparent: r.trace})
	}
	ctx, span := w.tracer.Start(ctx, "attempt", trace.WithSpanKind(trace.SpanKindClient))

	if span.IsRecording() {
		span.SetAttributes(
			semconv.HTTPRequestMethodPost,
			attribute.String("outhook.event_id", r.EventID.String()),
			attribute.String("outhook.event_type", r.Type),
			attribute.String("outhook.endpoint_id", r.EndpointID.String()),
			attribute.String("outhook.tenant_id", r.TenantID),
			attribute.Int("outhook.attempt", int(r.number)),
		)
	}

	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
	return span
}

// endSpan ends the span of an attempt with its outcome. Its error is the outcome's name: an answer's
// text may hold anything.
func endSpan(span trace.Span, res egress.Result) {
	if span == nil {
		return
	}

	span.SetAttributes(attribute.String("outhook.outcome", string(res.Outcome)))
	if res.StatusCode != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(res.StatusCode))
	}
	if res.Outcome != egress.Succeeded {
		span.SetAttributes(semconv.ErrorTypeKey.String(string(res.Outcome)))
		span.SetStatus(codes.Error, summary(res))
	}

	span.End()
}
