package server

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// droppedSpans counts the spans that nobody will see.
type droppedSpans struct {
	total         *prometheus.CounterVec
	queue, export prometheus.Counter
}

func newDroppedSpans() *droppedSpans {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_spans_dropped_total",
		Help: "Spans that were not exported, by why: queue (as many as may wait do: OTEL_BSP_MAX_QUEUE_SIZE) or " +
			"export " +
			"(the collector did not take them).",
	}, []string{"cause"})
	return &droppedSpans{total, total.WithLabelValues("queue"), total.WithLabelValues("export")}
}

// spanQueue is OpenTelemetry's queue of spans that wait for their export, and counts what is dropped. That queue drops
// in silence what finds it full, so nothing is put into it beyond its size: as many as have ended and have not been
// handed to the exporter are in it, or about to be.
type spanQueue struct {
	sdktrace.SpanProcessor

	most    int64
	waiting *atomic.Int64
	dropped *droppedSpans
}

// newSpanQueue returns a queue in which most may wait.
func newSpanQueue(exporter sdktrace.SpanExporter, most int, dropped *droppedSpans) *spanQueue {
	waiting := &atomic.Int64{}
	counted := &countingExporter{exporter, waiting, dropped}
	return &spanQueue{
		// One more, for what a flush puts there.
		sdktrace.NewBatchSpanProcessor(counted, sdktrace.WithMaxQueueSize(most+1)), int64(most), waiting, dropped,
	}
}

// OnEnd puts a span into the queue if there is room.
func (q *spanQueue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if q.waiting.Add(1) > q.most {
		q.waiting.Add(-1)
		q.dropped.queue.Inc()
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// countingExporter takes what it exports out of the count of a queue.
type countingExporter struct {
	sdktrace.SpanExporter

	waiting *atomic.Int64
	dropped *droppedSpans
}

// ExportSpans exports spans, with the exporter's own tries.
func (e *countingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.waiting.Add(-int64(len(spans)))
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		e.dropped.export.Add(float64(len(spans)))
	}
	return err
}
