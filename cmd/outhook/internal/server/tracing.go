package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/internal/logthrottle"
)

// flushTimeout bounds the sending of the last spans at a stop.
const flushTimeout = 5 * time.Second

// tracing makes and exports spans. nil: it is off and costs nothing.
type tracing struct {
	provider *sdktrace.TracerProvider
}

// newTracing returns what makes and exports spans, nil if they are off. Beside the protocol everything is read from the
// environment by OpenTelemetry itself. The process is known by its client id, as in its log and in the database.
func newTracing(ctx context.Context, cfg Config, dropped *droppedSpans) (*tracing, error) {
	if cfg.Telemetry.Spans == NoSpans {
		return nil, nil //nolint:nilnil // nil is off
	}

	exporter, err := newExporter(ctx, cfg.Telemetry.Spans)
	if err != nil {
		return nil, fmt.Errorf("configuring the OTLP exporter: %w", err)
	}

	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName("outhook"), semconv.ServiceVersion(cfg.Version),
			semconv.ServiceInstanceID(cmp.Or(cfg.Jobs.River.ClientID, uuid.NewString()))),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}

	// The exporter tries again by itself, in the background; whoever runs it should know that spans are lost.
	calm := logthrottle.New(cfg.Logger)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		calm.WarnContext(context.WithoutCancel(ctx), "exporting spans", slog.Any("error", err))
	}))

	queue := newSpanQueue(exporter, cfg.Telemetry.MaxQueuedSpans, dropped)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(queue), sdktrace.WithResource(res))
	return &tracing{provider: provider}, nil
}

func newExporter(ctx context.Context, protocol Protocol) (*otlptrace.Exporter, error) {
	switch protocol {
	case HTTPProtobuf:
		return otlptracehttp.New(ctx)
	case GRPC:
		return otlptracegrpc.New(ctx)
	case NoSpans:
	}
	return nil, fmt.Errorf("there is no protocol %q", protocol)
}

// startTracing sets s.tracing. stop sends the last spans; it is never nil.
func (s *Server) startTracing(ctx context.Context) (stop func(context.Context), err error) {
	if s.tracing, err = newTracing(ctx, s.cfg, s.dropped); err != nil || s.tracing == nil {
		return func(context.Context) {}, err
	}

	s.cfg.Logger.InfoContext(ctx, "exporting spans by OTLP")
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := s.tracing.provider.Shutdown(ctx); err != nil {
			s.cfg.Logger.WarnContext(ctx, "sending the last spans", slog.Any("error", err))
		}
	}, nil
}

// tracerProvider returns the provider of spans, nil if there is none.
func (t *tracing) tracerProvider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// handler makes a span of each request to h but health checks; its name, the route, comes from the API.
func (t *tracing) handler(h http.Handler) http.Handler {
	if t == nil {
		return h
	}

	return otelhttp.NewHandler(h, "request",
		otelhttp.WithTracerProvider(t.provider), otelhttp.WithMeterProvider(noop.NewMeterProvider()),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithFilter(func(r *http.Request) bool { return r.URL.Path != "/livez" && r.URL.Path != "/readyz" }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))
}

// queries returns what makes spans of a pool's queries that belong to the span of a request, nil if there are no spans.
// It records no arguments. The queries of a group belong to many requests, and those that workers poll with to none.
func (t *tracing) queries() pgx.QueryTracer {
	if t == nil {
		return nil
	}

	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.provider), otelpgx.WithMeterProvider(noop.NewMeterProvider()))
}
