package portal_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/portal"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

const (
	adminKey = "an-admin-key-of-32-bytes-or-more"

	// host is whose pages may frame the portal, as the tests configure it.
	host = "https://app.example.com"
)

// bundle is an API with the portal on a database of its own.
type bundle struct {
	t      *testing.T
	pool   *pgxpool.Pool
	portal *portal.Portal
	base   string // of the server
	api    *client.Client
	server *api.Server
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return setupFor(t, host)
}

// setupFor is setup with other origins.
func setupFor(t *testing.T, origins ...string) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: dbtest.New(t)}
	var err error
	b.portal, err = portal.New(portal.Config{
		API:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.server.ServeHTTP(w, r) }),
		Origins: origins, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		OpenSession: func(ctx context.Context, code string) (string, time.Time, error) {
			return b.server.OpenPortalSession(ctx, code)
		},
	})
	require.NoError(t, err)

	cfg := api.DefaultConfig()
	cfg.Pool, cfg.Portal.Handler = b.pool, b.portal
	cfg.Keyring, err = signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	cfg.Checks.URL, cfg.Checks.Schema = checkURL, func(context.Context) error { return nil }
	cfg.Access.APIKey, cfg.Version = adminKey, "test"
	b.server, err = api.New(cfg)
	require.NoError(t, err)

	server := httptest.NewUnstartedServer(b.server)
	api.ConfigureServer(server.Config)
	server.Start()
	b.base = server.URL
	t.Cleanup(func() {
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

// work stands for the workers: each delivery has its first attempt at once, which fails at a host that begins with bad.
func (b *bundle) work() {
	b.t.Helper()
	b.exec(`CREATE FUNCTION outhook.attempt_at_once() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code, response_body,
				request_headers, response_headers)
			SELECT NEW.event_id, NEW.endpoint_id, 1, now(), 12, CASE WHEN e.url LIKE 'https://bad%' THEN 'rejected' ELSE 'succeeded' END::outhook.attempt_outcome,
				CASE WHEN e.url LIKE 'https://bad%' THEN 401 ELSE 204 END, CASE WHEN e.url LIKE 'https://bad%' THEN 'wrong signature' END,
				'{"webhook-id": "x"}', '{"Server": "nginx"}'
			FROM outhook.endpoints AS e WHERE e.id = NEW.endpoint_id;
			INSERT INTO outhook.endpoint_health (endpoint_id, state, last_success_at)
			SELECT e.id, 'healthy', now() FROM outhook.endpoints AS e WHERE e.id = NEW.endpoint_id AND e.url NOT LIKE 'https://bad%'
			ON CONFLICT (endpoint_id) DO UPDATE SET last_success_at = now();
			RETURN NEW;
		END $$`)
	b.exec(`CREATE TRIGGER attempt_at_once AFTER INSERT ON outhook.deliveries FOR EACH ROW EXECUTE FUNCTION outhook.attempt_at_once()`)
}

// link makes a link to a tenant's portal.
//
//nolint:unparam // whose it is reads well where it is called
func (b *bundle) link(tenant string, change ...func(*client.NewPortalLink)) *client.PortalSession {
	b.t.Helper()
	o := client.NewPortalLink{TenantID: tenant}
	for _, c := range change {
		c(&o)
	}
	made, err := b.api.CreatePortalSession(b.t.Context(), o, client.CreatePortalSessionParams{})
	require.NoError(b.t, err)
	return made
}

// with gives a link these capabilities alone.
func with(capabilities ...string) func(*client.NewPortalLink) {
	return func(o *client.NewPortalLink) { o.Capabilities = capabilities }
}

// codeOf returns the code of a link.
func codeOf(link *client.PortalSession) string {
	_, code, _ := strings.Cut(link.URL, "#")
	return code
}

// browser is a browser without a script, in a frame or not: it keeps cookies, and follows no redirect. They are Secure,
// which Go's jar does not send to a loopback address over plain HTTP, as browsers do.
type browser struct {
	*bundle

	framed  bool
	cookies map[string]string
}

func (b *bundle) browser() *browser { return &browser{bundle: b, cookies: map[string]string{}} }

// open returns a browser with a session that a link was exchanged for.
func (b *bundle) open(link *client.PortalSession) *browser {
	b.t.Helper()
	w := b.browser()
	a := w.post("/portal/session", url.Values{"key": {codeOf(link)}})
	require.Equal(b.t, http.StatusSeeOther, a.status, a.body)
	require.Equal(b.t, "/portal", a.header.Get("Location"))
	return w
}

// answer is what a browser got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (w *browser) get(path string, headers ...string) answer {
	return w.do(http.MethodGet, path, nil, headers...)
}

func (w *browser) post(path string, form url.Values) answer {
	return w.do(http.MethodPost, path, form, "Sec-Fetch-Site", "same-origin")
}

func (w *browser) do(method, path string, form url.Values, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(form.Encode()))
	require.NoError(w.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Sec-Fetch-Dest", map[bool]string{true: "iframe", false: "document"}[w.framed])
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	for name, value := range w.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}

	res, err := (&http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}).Do(req)
	require.NoError(w.t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, res.Body.Close())
	for _, c := range res.Cookies() {
		switch {
		case c.Partitioned != w.framed:
		case c.MaxAge < 0:
			delete(w.cookies, c.Name)
		default:
			w.cookies[c.Name] = c.Value
		}
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// requirePage wants a page that holds some texts.
func requirePage(t *testing.T, a answer, texts ...string) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
	for _, text := range texts {
		require.Contains(t, a.body, text)
	}
}

// endpointAt is an endpoint's path in a page.
var endpointAt = regexp.MustCompile(`/portal/endpoints/[0-9a-f-]{36}`)

// hidden is a hidden field of a page's form.
func hidden(t *testing.T, a answer, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(a.body)
	require.NotNil(t, m, a.body)
	return strings.ReplaceAll(m[1], "&#34;", `"`)
}

// endpoint makes one.
func (b *bundle) endpoint(tenant, address string, types ...string) string {
	b.t.Helper()
	made, err := b.api.CreateEndpoint(b.t.Context(), client.NewEndpoint{TenantID: tenant, URL: address, EventTypes: types},
		client.CreateEndpointParams{})
	require.NoError(b.t, err)
	return made.ID
}

// publish makes an event.
func (b *bundle) publish(tenant, eventType, payload string) string {
	b.t.Helper()
	stored, err := b.api.CreateEvent(b.t.Context(), client.NewEvent{TenantID: tenant, Type: eventType, Payload: []byte(payload)},
		client.CreateEventParams{})
	require.NoError(b.t, err)
	return stored.ID
}

// describe puts two event types into the catalogue: one for everybody, and one that is the operator's alone.
func (b *bundle) describe() {
	b.t.Helper()
	_, err := b.api.PushCatalog(b.t.Context(), client.NewCatalog{}, client.PushCatalogParams{}, client.WithBody([]byte(`{"document": {
		"openapi": "3.1.0", "info": {"title": "ACME", "version": "1"}, "webhooks": {
			"invoice.paid": {"post": {"summary": "An invoice was paid", "description": "Once for each invoice.", "requestBody": {"content": {
				"application/json": {"schema": {"type": "object", "required": ["amount"], "properties": {
					"amount": {"type": "integer", "description": "In cents."}, "customer": {"type": "object", "properties": {"id": {"type": "string"}}}
				}}, "example": {"amount": 4200, "customer": {"id": "c_7"}}}
			}}}},
			"invoice.audited": {"post": {"summary": "For us", "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}}
		}}}`)))
	require.NoError(b.t, err)
	_, err = b.api.UpdateEventType(b.t.Context(), "invoice.audited", client.EventTypeChange{Visibility: client.Set("hidden")},
		client.UpdateEventTypeParams{})
	require.NoError(b.t, err)
}
