package server //nolint:testpackage // what it counts is no part of the package's face

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// stuckExporter is a collector that takes the first spans only when it is told to, and what it says then.
type stuckExporter struct {
	began, free chan struct{}
	err         error
	exported    int
}

func (e *stuckExporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	select {
	case e.began <- struct{}{}:
	default:
	}
	<-e.free
	if e.err == nil {
		e.exported += len(spans)
	}
	return e.err
}

func (*stuckExporter) Shutdown(context.Context) error { return nil }

// Each span is exported or counted. Not parallel: OpenTelemetry reads the environment.
func TestDroppedSpansAreCounted(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	for _, refusal := range []error{nil, errors.New("refused")} {
		e := &stuckExporter{began: make(chan struct{}, 1), free: make(chan struct{}), err: refusal}
		dropped := newDroppedSpans()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(newSpanQueue(e, 8, dropped)))
		end := func(n int) {
			for range n {
				_, span := provider.Tracer("test").Start(t.Context(), "span")
				span.End()
			}
		}
		end(1)
		<-e.began
		end(100)
		require.GreaterOrEqual(t, count(t, dropped.queue), 92.0-4)
		close(e.free)
		require.NoError(t, ignore(provider.Shutdown(context.WithoutCancel(t.Context())), refusal))

		lost := count(t, dropped.queue) + count(t, dropped.export)
		require.InDelta(t, 101, lost+float64(e.exported), 0)
		if refusal != nil {
			require.Zero(t, e.exported)
			require.Positive(t, count(t, dropped.export))
		}
	}
}

func count(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	require.NoError(t, c.Write(&m))
	return m.GetCounter().GetValue()
}

// ignore returns an error unless it is the expected one.
func ignore(err, expected error) error {
	if expected != nil && errors.Is(err, expected) {
		return nil
	}
	return err
}
