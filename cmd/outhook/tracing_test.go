package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/outhook/outhook"
)

// collector is an OTLP collector (http/protobuf) that keeps the spans.
type collector struct {
	*httptest.Server

	mu    sync.Mutex
	spans []*tracepb.Span
	names []string // of the services
	ids   []string // of their instances
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collectorpb.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range req.GetResourceSpans() {
			for _, a := range rs.GetResource().GetAttributes() {
				switch a.GetKey() {
				case "service.name":
					c.names = append(c.names, a.GetValue().GetStringValue())
				case "service.instance.id":
					c.ids = append(c.ids, a.GetValue().GetStringValue())
				}
			}
			for _, ss := range rs.GetScopeSpans() {
				c.spans = append(c.spans, ss.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// of returns the spans of a name in a trace, in the order of their begin.
func (c *collector) of(traceID, name string) (spans []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) == traceID && s.GetName() == name {
			spans = append(spans, s)
		}
	}
	if len(spans) == 2 && spans[1].GetStartTimeUnixNano() < spans[0].GetStartTimeUnixNano() {
		spans[0], spans[1] = spans[1], spans[0]
	}
	return spans
}

func attribute(s *tracepb.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return strings.Trim(a.GetValue().String(), `"`)
		}
	}
	return ""
}

// traceReceiver fails the first attempt of each event and keeps the trace of each attempt.
type traceReceiver struct {
	*httptest.Server

	mu     sync.Mutex
	traces map[string]string // by path and attempt
}

func newTraceReceiver(t *testing.T) *traceReceiver {
	t.Helper()
	r := &traceReceiver{traces: map[string]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		attempt := req.Header.Get("outhook-attempt")
		r.traces[req.URL.Path+" "+attempt] = req.Header.Get("traceparent")
		if attempt == "1" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// await returns the trace that came with an attempt.
func (r *traceReceiver) await(t *testing.T, key string) (found string) {
	t.Helper()
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		var ok bool
		found, ok = r.traces[key]
		return ok
	}, 90*time.Second, 20*time.Millisecond, key)
	return found
}

func traceparentOf(s trace.SpanContext) string {
	return "00-" + s.TraceID().String() + "-" + s.SpanID().String() + "-" + s.TraceFlags().String()
}

func newTracedEndpoint(t *testing.T, base, tenant, url string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"tenant_id": tenant, "url": url, "retry_schedule": []string{"1s"}})
	require.NoError(t, err)
	status, answer := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey, string(body))
	require.Equal(t, http.StatusCreated, status, answer)
}

// postTraced enqueues an event over the API within a trace.
func postTraced(t *testing.T, base, tenant, traceparent string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/events",
		strings.NewReader(`{"tenant_id":"`+tenant+`","type":"a.b","payload":1}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+testAPIKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("traceparent", traceparent)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusAccepted, res.StatusCode)
}

// One trace links the application, the API, each attempt and the receiver. Not parallel: the exporter is configured by the
// environment.
func TestOneTraceFromTheApplicationToTheReceiver(t *testing.T) {
	c, r := newCollector(t), newTraceReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	url := migrated(t)
	p := start(t, serveArgs(url, "--metrics-listen", "none")...)
	base := p.address(t)
	newTracedEndpoint(t, base, "rest", r.URL+"/rest")
	newTracedEndpoint(t, base, "sql", r.URL+"/sql")

	app := sdktrace.NewTracerProvider()
	defer func() { require.NoError(t, app.Shutdown(context.WithoutCancel(t.Context()))) }()
	_, rest := app.Tracer("app").Start(t.Context(), "pay")
	postTraced(t, base, "rest", traceparentOf(rest.SpanContext()))
	rest.End()
	ctx, sql := app.Tracer("app").Start(t.Context(), "pay")
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	ctx = outhook.ContextWithTraceparent(ctx, traceparentOf(sql.SpanContext()))
	require.NoError(t, pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := outhook.Enqueue(ctx, tx, outhook.Event{TenantID: "sql", Type: "a.b", Payload: json.RawMessage(`1`)})
		return err
	}))
	require.NoError(t, conn.Close(ctx))
	sql.End()

	for path, parent := range map[string]trace.SpanContext{"/rest": rest.SpanContext(), "/sql": sql.SpanContext()} {
		traceID, above := parent.TraceID().String(), parent.SpanID().String()
		first, second := r.await(t, path+" 1"), r.await(t, path+" 2")
		require.Eventually(t, func() bool { return len(c.of(traceID, "attempt")) == 2 }, 60*time.Second, 50*time.Millisecond, path)
		if path == "/rest" {
			require.Eventually(t, func() bool { return len(c.of(traceID, "POST /api/events")) == 1 }, 60*time.Second, 50*time.Millisecond)
			request := c.of(traceID, "POST /api/events")[0]
			require.Equal(t, above, hex.EncodeToString(request.GetParentSpanId()))
			require.Contains(t, attribute(request, "http.route"), "/api/events")
			above = hex.EncodeToString(request.GetSpanId())
		}
		// Each attempt is a span of its own below what enqueued it, and the receiver gets just that span.
		for i, header := range []string{first, second} {
			span := c.of(traceID, "attempt")[i]
			require.Equal(t, above, hex.EncodeToString(span.GetParentSpanId()), path)
			require.Equal(t, "00-"+traceID+"-"+hex.EncodeToString(span.GetSpanId())+"-01", header, path)
			require.Contains(t, attribute(span, "outhook.attempt"), map[int]string{0: "1", 1: "2"}[i])
			require.Contains(t, attribute(span, "outhook.outcome"), map[int]string{0: "rejected", 1: "succeeded"}[i])
			require.Contains(t, attribute(span, "http.response.status_code"), map[int]string{0: "503", 1: "200"}[i])
			require.NotContains(t, span.String(), r.URL, "no URL of an endpoint in a span")
			require.NotContains(t, span.String(), path)
		}
	}
	require.NoError(t, p.end(t))
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Contains(t, c.names, "outhook")
	require.NotEmpty(t, c.ids)
	require.Contains(t, p.stderr.String(), `"client_id":"`+c.ids[0]+`"`, "as in the log")
	for _, s := range c.spans {
		require.NotContains(t, []string{"GET /readyz", "GET /livez"}, s.GetName())
		if strings.HasPrefix(s.GetName(), "SELECT") || strings.HasPrefix(s.GetName(), "UPDATE") {
			require.NotEmpty(t, s.GetParentSpanId(), "a query outside of a request: %s", s.GetName())
		}
	}
}

// Without an exporter the receiver gets the trace as it was enqueued.
func TestTraceIsPassedOnWithoutAnExporter(t *testing.T) {
	t.Parallel()
	r := newTraceReceiver(t)
	p := start(t, serveArgs(migrated(t), "--metrics-listen", "none")...)
	base := p.address(t)
	newTracedEndpoint(t, base, "acme", r.URL+"/acme")
	newTracedEndpoint(t, base, "none", r.URL+"/none")
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	postTraced(t, base, "acme", traceparent)
	require.Equal(t, traceparent, r.await(t, "/acme 1"))
	require.Equal(t, traceparent, r.await(t, "/acme 2"))
	postTraced(t, base, "none", "nonsense")
	require.Empty(t, r.await(t, "/none 1"))
}
