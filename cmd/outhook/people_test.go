package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// A process that was told of a provider lets its people in: zitadel's example, whose people are in no groups, so their
// addresses are. The way itself has its tests in api/console.
func TestServeLetsPeopleIn(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listen := listener.Addr().String()
	require.NoError(t, listener.Close())
	base := "http://" + listen
	provider := httptest.NewUnstartedServer(nil)
	issuer := "http://" + provider.Listener.Addr().String()
	provider.Config.Handler = exampleop.SetupServer(issuer, storage.NewStorageWithClients(storage.NewUserStore(issuer),
		map[string]*storage.Client{"outhook": storage.WebClient("outhook", "hunter2", base+"/console/oidc/callback")}), nil, false)
	provider.Start()
	t.Cleanup(provider.Close)

	p := start(t, serveArgs(migrated(t), "--roles", "api", "--listen", listen, "--public-url", base,
		"--oidc-issuer", issuer, "--oidc-client-id", "outhook", "--oidc-client-secret", "hunter2",
		"--oidc-groups-claim", "email", "--oidc-roles", "test-user2@zitadel.ch=operate")...)
	require.Equal(t, listen, strings.TrimPrefix(p.address(t), "http://"))

	var cookie, session string
	step := func(method, address string, form url.Values) (location string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if cookie != "" && strings.HasPrefix(address, base) {
			req.Header.Set("Cookie", cookie)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		for _, c := range res.Cookies() {
			cookie, session = c.Name+"="+c.Value, c.Value
		}
		next, err := res.Location()
		require.NoError(t, err, "%s: %s", res.Status, body)
		return next.String()
	}

	form, err := url.Parse(step(http.MethodGet, step(http.MethodGet, base+"/console/oidc", nil), nil))
	require.NoError(t, err)
	back := step(http.MethodPost, issuer+form.Path, url.Values{
		"id": {form.Query().Get("authRequestID")}, "username": {"test-user2"}, "password": {"verysecure"},
	})
	require.Equal(t, base+"/console", step(http.MethodGet, step(http.MethodGet, back, nil), nil))
	status, who := call(t, http.MethodGet, base+"/api/sessions/current", session, "")
	require.Equal(t, http.StatusOK, status, who)
	require.Equal(t, "oidc: test-user2@zitadel.ch", who["name"])
	require.Equal(t, "operate", who["scope"])
	require.NoError(t, p.end(t))
	require.NotContains(t, p.stderr.String(), "hunter2")
}
