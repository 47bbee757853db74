package console_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/console"
	"github.com/outhook/outhook/api/public"
	"github.com/outhook/outhook/internal/apikey"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/oidc"
	"github.com/outhook/outhook/internal/signature"
)

const adminKey = "an-admin-key-of-32-bytes-or-more"

// bundle is an API with the console on a database of its own.
type bundle struct {
	t       *testing.T
	pool    *pgxpool.Pool
	console *console.Console
	base    string // of the server
	api     *client.Client
	server  *api.Server
	calls   atomic.Int64 // of the pages to the API
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return start(t, httptest.NewUnstartedServer(nil), nil)
}

// start is setup on a server whose address is known already, with the people of a provider.
func start(t *testing.T, server *httptest.Server, people *oidc.Provider, changes ...func(*api.Config)) *bundle {
	t.Helper()
	return startOn(t, dbtest.New(t), server, people, changes...)
}

// startOn is start on a database that is there.
func startOn(t *testing.T, pool *pgxpool.Pool, server *httptest.Server, people *oidc.Provider, changes ...func(*api.Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: pool}
	var err error
	b.console, err = console.New(console.Config{
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.calls.Add(1)
			b.server.ServeHTTP(w, r)
		}),
		RiverUI: true, People: people, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		OpenSession: func(ctx context.Context, who oidc.Person) (string, time.Time, error) {
			return b.server.OpenSession(ctx, who)
		},
	})
	require.NoError(t, err)

	cfg := api.DefaultConfig()
	cfg.Pool, cfg.Keyring, cfg.Console = b.pool, newKeyring(t), b.console
	cfg.UI = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	cfg.Checks.URL, cfg.Checks.Schema = checkURL, noCheck
	cfg.Access.APIKey, cfg.Version = adminKey, "test"
	cfg.Catalog, err = public.New(pool, slog.New(slog.NewTextHandler(t.Output(), nil)))
	require.NoError(t, err)
	for _, change := range changes {
		change(&cfg)
	}
	b.server, err = api.New(cfg)
	require.NoError(t, err)

	server.Config.Handler = b.server
	api.ConfigureServer(server.Config)
	server.Start()
	b.base = server.URL
	t.Cleanup(func() {
		b.console.Close()
		server.Close()
		require.NoError(t, b.server.Close(context.WithoutCancel(t.Context())))
	})
	b.api, err = client.New(b.base, adminKey, client.WithRepeats(0))
	require.NoError(t, err)
	return b
}

// checkURL stands for the egress client's: what it refuses is that package's matter.
func checkURL(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return errors.New("invalid URL: it must start with https://")
	}
	return nil
}

func (b *bundle) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), query, args...)
	require.NoError(b.t, err)
}

// browser is a browser without a script: it keeps a cookie, and follows no redirect. The cookie is Secure, which Go's jar
// does not send to a loopback address over plain HTTP, as browsers do.
type browser struct {
	*bundle

	cookie string
}

// answer is what a browser got.
type answer struct {
	status   int
	header   http.Header
	body     string
	location string
}

func (b *browser) get(path string) answer { return b.do(http.MethodGet, path, nil) }

func (b *browser) post(path string, form url.Values, headers ...string) answer {
	return b.do(http.MethodPost, path, form, append([]string{"Sec-Fetch-Site", "same-origin"}, headers...)...)
}

func (b *browser) do(method, path string, form url.Values, headers ...string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if b.cookie != "" {
		req.Header.Set("Cookie", apikey.SessionCookie+"="+b.cookie)
	}

	a, res := send(b.t, req) //nolint:bodyclose // it is read and closed
	for _, c := range res.Cookies() {
		if c.Name == apikey.SessionCookie {
			b.cookie = c.Value
		}
	}
	return a
}

// send returns the answer to a request, whose redirect is not followed.
func send(t *testing.T, req *http.Request) (answer, *http.Response) {
	t.Helper()
	res, err := (&http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}).Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return answer{status: res.StatusCode, header: res.Header, body: string(body), location: res.Header.Get("Location")}, res
}

// login returns a browser with a session of a key.
func (b *bundle) login(key string) *browser {
	b.t.Helper()
	w := &browser{bundle: b}
	a := w.post("/console/login", url.Values{"key": {key}})
	require.Equal(b.t, http.StatusSeeOther, a.status, a.body)
	require.NotEmpty(b.t, w.cookie)
	return w
}

// key makes an API key.
func (b *bundle) key(scope, tenant string) *client.Key {
	b.t.Helper()
	k := client.NewKey{Name: scope + " of " + tenant, Scope: scope}
	if tenant != "" {
		k.TenantID = &tenant
	}
	made, err := b.api.CreateKey(b.t.Context(), k, client.CreateKeyParams{})
	require.NoError(b.t, err)
	return made
}

// world is what a seeded database has.
type world struct {
	endpoint, failing, paused, disabled string // ids of endpoints of acme
	event, other, lonely, erased        string // ids of events of acme; lonely has no delivery, other of which one is settled

	running, halted, completed string // ids of operations, of administer
	erasure                    string // of acme, of maintain
}

// seed makes endpoints in each state, and events with deliveries in each state and attempts with each outcome. Its SQL
// stands for the workers.
func (b *bundle) seed() (w world) {
	b.t.Helper()
	ctx := b.t.Context()
	endpoint := func(tenant, host, description string, types ...string) string {
		made, err := b.api.CreateEndpoint(ctx, client.NewEndpoint{
			TenantID: tenant, URL: "https://" + host + "/webhooks/incoming?token=a", Description: &description, EventTypes: types,
			Headers: map[string]string{"x-source": "billing"}, Metadata: map[string]string{"plan": "gold"},
		}, client.CreateEndpointParams{})
		require.NoError(b.t, err)
		return made.ID
	}
	w.endpoint = endpoint("acme", "hooks.acme.example", "Production")
	w.failing = endpoint("acme", "eu.acme-warehouse.example", "Warehouse", "invoice.*", "order.*", "parcel.sent", "stock.low")
	w.paused = endpoint("acme", "staging.acme.example", "")
	w.disabled = endpoint("acme", "old.acme.example", "Was replaced in June")
	endpoint("globex", "api.globex.example", "", "invoice.paid")

	publish := func(tenant, eventType, payload string) string {
		stored, err := b.api.CreateEvent(ctx, client.NewEvent{
			TenantID: tenant, Type: eventType, Payload: []byte(payload), Labels: []string{"eu", "project:7"},
			Headers: map[string]string{"x-source": "billing", "baggage": "project=7"},
		}, client.CreateEventParams{})
		require.NoError(b.t, err)
		return stored.ID
	}
	for _, eventType := range []string{"order.created", "order.paid", "parcel.sent", "customer.updated"} {
		w.other = publish("acme", eventType, `{"id": 17}`)
	}
	publish("globex", "invoice.paid", `{"id": 18}`)
	w.erased = publish("acme", "customer.deleted", `{"name": "Ada"}`)
	w.event = publish("acme", "invoice.paid", `{"id":"in_1042","amount":4200,"currency":"EUR","lines":[{"sku":"A-1","count":2}],"paid":true}`)
	require.NoError(b.t, b.api.ErasePayload(ctx, w.erased, client.ErasePayloadParams{Force: true}))
	w.lonely = publish("initech", "report.filed", `null`)

	b.attempts(w)
	b.day(w)
	status := func(id, to string) {
		_, err := b.api.UpdateEndpoint(ctx, id, client.EndpointChange{Status: client.Set(to)}, client.UpdateEndpointParams{})
		require.NoError(b.t, err)
	}
	status(w.paused, "paused")
	status(w.disabled, "disabled")
	return w
}

// rolledUp is the INSERT of minutes that workers have added up: of rows r with tenant, endpoint, minutes ago, ok and bad.
const rolledUp = `INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, events, succeeded, rejected, timed_out, delivered, failed,
		first_latency, duration)
	SELECT coalesce(nullif(r.endpoint, ''), '00000000-0000-0000-0000-000000000000')::uuid, r.tenant,
		date_trunc('minute', now()) - make_interval(mins => r.ago), 60, (random() * 1000000000)::integer, CASE WHEN r.endpoint = '' THEN r.ok + 1 END,
		r.ok, r.bad, r.bad / 2, r.ok, r.bad / 3, l.buckets, l.buckets
	FROM r CROSS JOIN LATERAL (SELECT array_agg(CASE i WHEN 5 THEN r.ok WHEN 9 THEN r.ok / 10 WHEN 14 THEN r.bad ELSE NULL END ORDER BY i) AS buckets
		FROM generate_series(1, 24) AS i) AS l`

// rollUp adds up attempts: of a minute, of an endpoint, of all of a tenant's, or of all.
func (b *bundle) rollUp(tenant, endpoint string, minutesAgo, ok, bad int) {
	b.t.Helper()
	b.exec(`WITH r AS (SELECT $1::text AS tenant, $2::text AS endpoint, $3::integer AS ago, $4::integer AS ok, $5::integer AS bad) `+rolledUp,
		tenant, endpoint, minutesAgo, ok, bad)
}

// day adds up a day that goes up and down.
func (b *bundle) day(w world) {
	b.t.Helper()
	b.exec(`WITH m AS (SELECT ago, (60 + 50 * sin(ago / 230.0) + random() * 20)::integer AS ok, (greatest(sin(ago / 90.0) - 0.6, 0) * 20)::integer AS bad
			FROM generate_series(1, 1559) AS ago WHERE ago % 5 = 1 OR ago < 120),
		r AS (SELECT 'acme' AS tenant, $1::text AS endpoint, ago, ok, bad / 3 AS bad FROM m UNION ALL SELECT 'acme', $2, ago, 0, 3 FROM m WHERE ago < 180
			UNION ALL SELECT 'acme', '', ago, ok, bad FROM m UNION ALL SELECT '', '', ago, 2 * ok, bad FROM m) `+rolledUp, w.endpoint, w.failing)
}

// attempts does what workers do.
func (b *bundle) attempts(w world) {
	b.t.Helper()
	const attempt = `INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code,
			error, remote_addr, request_headers, response_headers, response_body)
		SELECT d.event_id, d.endpoint_id, $2, now() - make_interval(mins => 4 - $2), $3, $4::outhook.attempt_outcome, nullif($5, 0), nullif($6, ''),
			'192.0.2.10:443', '{"content-type": "application/json", "webhook-id": "…", "webhook-signature": "[redacted]"}',
			'{"Content-Type": "text/plain", "Server": "nginx"}', $7
		FROM outhook.deliveries AS d WHERE d.endpoint_id = $1`
	b.exec(attempt, w.endpoint, 1, 48, "succeeded", 200, "", "ok")
	b.exec(attempt, w.failing, 1, 15000, "timed_out", 0, "timeout: no answer within 15s", "")
	b.exec(attempt, w.failing, 2, 120, "rejected", 503, "", "<html><h1>503 Service Unavailable</h1></html>")
	b.exec(attempt, w.failing, 3, 3, "unreachable", 0, "connection_refused: by 192.0.2.10:443", "")

	const settle = `UPDATE outhook.deliveries SET state = $2::outhook.delivery_state, completed_at = now(), next_attempt_at = NULL,
		attempt_count = $3, reason = nullif($4, '') WHERE endpoint_id = $1 AND state = 'pending'`
	b.exec(settle, w.endpoint, "succeeded", 1, "")
	b.exec(`UPDATE outhook.deliveries SET attempt_count = 3, try_count = 3, next_attempt_at = now() + interval '10 minutes'
		WHERE endpoint_id = $1 AND event_id = $2`, w.failing, w.event)
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', completed_at = now(), next_attempt_at = NULL, attempt_count = 3, try_count = 3,
		reason = 'exhausted' WHERE endpoint_id = $1 AND event_id <> $2 AND state = 'pending'`, w.failing, w.event)
	b.exec(`INSERT INTO outhook.endpoint_health (endpoint_id, state, state_changed_at, consecutive_failures, failing_since, last_failure_at, last_error)
		VALUES ($1, 'failing', now() - interval '20 minutes', 12, now() - interval '25 minutes', now(), 'connection_refused')
		ON CONFLICT (endpoint_id) DO UPDATE SET state = 'failing', consecutive_failures = 12, failing_since = now(), last_failure_at = now()`, w.failing)
}

// requirePage wants a page that holds a text.
func requirePage(t *testing.T, a answer, text string) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
	require.Contains(t, a.body, text)
}

// soon is when a page that changes by itself must have done so.
const soon = 20 * time.Second

func newKeyring(t *testing.T) *signature.Keyring {
	t.Helper()
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	return keyring
}

func noCheck(context.Context) error { return nil }
