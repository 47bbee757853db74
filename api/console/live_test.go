package console_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/apikey"
)

// stream is a stream that a browser has opened.
type stream struct {
	t     *testing.T
	lines chan string
	close func()
}

func (b *browser) stream(path string) *stream {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil)
	require.NoError(b.t, err)
	req.Header.Set("Cookie", apikey.SessionCookie+"="+b.cookie)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req) //nolint:bodyclose // close does
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusOK, res.StatusCode)
	require.Equal(b.t, "text/event-stream", res.Header.Get("Content-Type"))
	require.Equal(b.t, "no", res.Header.Get("X-Accel-Buffering"))

	s := &stream{t: b.t, lines: make(chan string, 1000), close: func() { _ = res.Body.Close() }}
	b.t.Cleanup(s.close)
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(res.Body); scanner.Scan(); {
			s.lines <- scanner.Text()
		}
	}()
	return s
}

// wait returns the next line that holds a text. It wants none that holds the other one before.
func (s *stream) wait(text, not string) string {
	s.t.Helper()
	deadline := time.After(soon)
	for {
		select {
		case line, more := <-s.lines:
			require.True(s.t, more, "the stream has ended without %q", text)
			if not != "" {
				require.NotContains(s.t, line, not)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			require.Fail(s.t, "nothing came", text)
		}
	}
}

// attempt records an attempt of an event that is published for that.
func (b *bundle) attempt(tenant, eventType, outcome string) {
	b.t.Helper()
	event, err := b.api.CreateEvent(b.t.Context(), client.NewEvent{TenantID: tenant, Type: eventType, Payload: []byte("1")},
		client.CreateEventParams{})
	require.NoError(b.t, err)
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code)
		SELECT d.event_id, d.endpoint_id, 1, now() - interval '1 ms', 1, $2::outhook.attempt_outcome, 200
		FROM outhook.deliveries AS d WHERE d.event_id = $1`, event.ID, outcome)
}

func TestLive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, tenant := range []string{"acme", "globex"} {
		_, err := b.api.CreateEndpoint(t.Context(), client.NewEndpoint{TenantID: tenant, URL: "https://hooks.example/" + tenant},
			client.CreateEndpointParams{})
		require.NoError(t, err)
	}

	all, failures := b.login(adminKey).stream("/console/live/stream"), b.login(adminKey).stream("/console/live/stream?outcome=failed")
	key := b.key("read", "acme")
	own := b.login(key.Key).stream("/console/live/stream")
	foreign := b.login(key.Key).stream("/console/live/stream?tenant=globex")
	all.wait("retry: ", "")
	own.wait("retry: ", "")

	b.attempt("globex", "invoice.paid", "succeeded")
	all.wait("invoice.paid", "")
	b.attempt("acme", "order.paid", "rejected")
	all.wait("order.paid", "invoice.paid")
	own.wait("order.paid", "globex")
	foreign.wait("order.paid", "globex")
	failures.wait("order.paid", "invoice.paid")

	// Who comes later is shown what ended just before.
	late := b.login(adminKey).stream("/console/live/stream")
	late.wait("invoice.paid", "")

	// A session that has ended has no stream.
	require.NoError(t, b.api.RevokeKey(t.Context(), key.ID))
	own.wait("event: ended", "")

	// One session has four at most.
	person := b.login(adminKey)
	for range 4 {
		person.stream("/console/live/stream").wait("retry: ", "")
	}
	require.Equal(t, http.StatusTooManyRequests, person.get("/console/live/stream").status)

	b.console.Close()
	all.wait("event: ended", "")
	require.Equal(t, http.StatusTooManyRequests, b.login(adminKey).get("/console/live/stream").status)
}

// On a busy system the page shows what ends now, and of what it is filtered for nothing is lost in the rest.
func TestLiveIsNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.api.CreateEndpoint(t.Context(), client.NewEndpoint{TenantID: "acme", URL: "https://hooks.example/acme"},
		client.CreateEndpointParams{})
	require.NoError(t, err)
	b.attempt("acme", "invoice.paid", "succeeded")
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code)
		SELECT d.event_id, d.endpoint_id, n, now() - n * interval '1 ms', 1, 'succeeded', 200
		FROM outhook.deliveries AS d, generate_series(2, 25000) AS n`)

	all := b.login(adminKey).stream("/console/live/stream")
	failures := b.login(adminKey).stream("/console/live/stream?outcome=failed")
	all.wait("invoice.paid", "")
	b.attempt("acme", "order.paid", "rejected")
	all.wait("order.paid", "")
	failures.wait("order.paid", "invoice.paid")

	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code)
		SELECT d.event_id, d.endpoint_id, n, clock_timestamp(), 1, 'succeeded', 200
		FROM outhook.deliveries AS d JOIN outhook.events AS e ON e.id = d.event_id AND e.type = 'invoice.paid',
			generate_series(30000, 40000) AS n`)
	b.attempt("acme", "order.sent", "rejected")
	failures.wait("order.sent", "invoice.paid")
}
