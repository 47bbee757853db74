package svix_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/portal"
)

// setupPortal is setup with the portal.
func setupPortal(t *testing.T) (b *bundle) {
	t.Helper()
	ours, err := portal.New(portal.Config{
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.api.ServeHTTP(w, r) }),
		OpenSession: func(ctx context.Context, code string) (string, time.Time, error) {
			return b.api.OpenPortalSession(ctx, code)
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	b = setup(t, func(cfg *api.Config) { cfg.Portal.Handler = ours })
	return b
}

// The calls of Svix for its portal make links to ours, and end its sessions.
func TestPortalAccess(t *testing.T) {
	t.Parallel()
	const access = "/auth/app-portal-access/acme"
	b := setupPortal(t)
	links := func() int {
		return b.count(`SELECT count(*) FROM outhook.api_keys WHERE portal IS NOT NULL AND revoked_at IS NULL`)
	}
	label := func(label string) int {
		return b.count(`SELECT count(*) FROM outhook.api_keys WHERE portal->>'label' = $1 AND revoked_at IS NULL`, label)
	}

	b.call("POST", access, `{}`, 404)
	made := b.call("POST", access, `{"application":{"name":"ACME","uid":"acme"},"sessionId":"alice"}`, 200)
	link, token := made["url"].(string), made["token"].(string)
	require.Equal(t, b.base+"/portal/enter#"+token, link, "the token is the link's code")

	b.call("POST", access, `{"capabilities":["ViewBase"],"sessionId":"bob","expiry":3600}`, 200)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.api_keys WHERE portal->'capabilities' = '["view","payloads"]'`))
	for body, at := range map[string]string{
		`{"expiry":60}`:                                    "expiry",
		`{"capabilities":["All"]}`:                         "capabilities",
		`{"featureFlags":["beta"]}`:                        "featureFlags",
		`{"sessionId":"` + strings.Repeat("x", 201) + `"}`: "sessionId",
	} {
		item := b.call("POST", access, body, 422)["detail"].([]any)[0].(object)
		require.Equal(t, []any{"body", at}, item["loc"], body)
	}

	b.call("POST", "/auth/app/acme/expire-all", `{"expiry":60}`, 422)
	b.call("POST", "/auth/app/acme/expire-all", `{"sessionIds":["alice"]}`, 204)
	require.Equal(t, []int{0, 1}, []int{label("alice"), label("bob")})
	b.call("POST", "/auth/app/acme/expire-all", `{}`, 204)
	require.Zero(t, links())
}

// The link that Svix's call gives opens the portal of the application, once, until its sessions are ended.
func TestTheLinkOpensThePortal(t *testing.T) {
	t.Parallel()
	b := setupPortal(t)
	made := b.call("POST", "/auth/app-portal-access/acme", `{"application":{"name":"ACME","uid":"acme"}}`, 200)
	b.call("POST", "/app/acme/endpoint", `{"url":"https://hooks.acme.example"}`, 201)
	link, err := url.Parse(made["url"].(string))
	require.NoError(t, err)
	code := link.Fragment
	link.Fragment = ""

	// It follows no redirect.
	browser := &http.Client{
		Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ask := func(method, address, body, session string) (status int, cookies []*http.Cookie, page string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		if session != "" {
			req.AddCookie(&http.Cookie{Name: "__Host-outhook-portal", Value: session})
		}
		res, err := browser.Do(req)
		require.NoError(t, err)
		defer func() { require.NoError(t, res.Body.Close()) }()
		data, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, res.Cookies(), string(data)
	}
	status, _, _ := ask("GET", link.String(), "", "")
	require.Equal(t, 200, status)
	status, cookies, _ := ask("POST", b.base+"/portal/session", "key="+code, "")
	require.Equal(t, 303, status)
	session := ""
	for _, c := range cookies {
		if c.Name == "__Host-outhook-portal" && c.MaxAge >= 0 {
			session = c.Value
		}
	}
	status, _, page := ask("GET", b.base+"/portal", "", session)
	require.Equal(t, 200, status)
	require.Contains(t, page, "hooks.acme.example")
	status, _, _ = ask("POST", b.base+"/portal/session", "key="+code, "")
	require.Equal(t, 401, status, "it is used up")

	b.call("POST", "/auth/app/acme/expire-all", `{}`, 204)
	status, _, _ = ask("GET", b.base+"/portal", "", session)
	require.Equal(t, 401, status)
}
