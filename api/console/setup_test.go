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
	"github.com/outhook/outhook/api/pages/pagetest"
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

// seed is [pagetest.Seed].
func (b *bundle) seed() world {
	b.t.Helper()
	w := pagetest.Seed(b.t, b.pool, b.api)
	return world{
		endpoint: w.Endpoint, failing: w.Failing, paused: w.Paused, disabled: w.Disabled,
		event: w.Event, other: w.Other, lonely: w.Lonely, erased: w.Erased,
	}
}

// rollUp is [pagetest.RollUp].
func (b *bundle) rollUp(tenant, endpoint string, minutesAgo, ok, bad int) {
	b.t.Helper()
	pagetest.RollUp(b.t, b.pool, tenant, endpoint, minutesAgo, ok, bad)
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
