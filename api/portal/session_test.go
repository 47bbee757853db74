package portal_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/apikey"
)

// cookie returns the Set-Cookie of an answer that gives the session, and not the one that takes another away.
func cookie(a answer) string {
	for _, line := range a.header.Values("Set-Cookie") {
		if strings.HasPrefix(line, "__Host-outhook-portal=ohs_") {
			return line
		}
	}
	return ""
}

func TestALinkOpensOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	link := b.link("acme")
	require.True(t, strings.HasPrefix(link.URL, b.base+"/portal/enter#ohc_"), link.URL)

	w := b.browser()
	requirePage(t, w.get("/portal/enter"), `action="/portal/session"`, "data-enter")
	a := w.post("/portal/session", url.Values{"key": {" " + codeOf(link) + "\n"}})
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	for _, attribute := range []string{"Path=/;", "HttpOnly", "Secure", "SameSite=Lax"} {
		require.Contains(t, cookie(a), attribute)
	}
	require.NotContains(t, cookie(a), "Partitioned")
	requirePage(t, w.get("/portal"), "No endpoints yet", "Log out")

	again := b.browser()
	a = again.post("/portal/session", url.Values{"key": {codeOf(link)}})
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Contains(t, a.body, "This link has been used")
	require.Empty(t, again.cookies)
	for _, key := range []string{"", "wrong", adminKey, w.cookies["__Host-outhook-portal"]} {
		require.Equal(t, http.StatusUnauthorized, b.browser().post("/portal/session", url.Values{"key": {key}}).status, key)
	}
	requirePage(t, w.get("/portal"), "No endpoints yet")

	// A key of another kind is no session of the portal.
	a = b.browser().get("/portal", "Cookie", "__Host-outhook-portal="+adminKey)
	require.Equal(t, http.StatusUnauthorized, a.status)
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	back := func(o *client.NewPortalLink) { o.ReturnURL = new("https://app.example.com/settings?a=b&c") }
	ended := func(w *browser) {
		t.Helper()
		a := w.get("/portal")
		require.Equal(t, http.StatusUnauthorized, a.status)
		for _, text := range []string{
			"Your session has ended", `href="https://app.example.com/settings?a=b&amp;c"`, `data-ended="https://app.example.com"`,
		} {
			require.Contains(t, a.body, text)
		}
		require.Contains(t, a.header.Get("Content-Security-Policy"), "frame-ancestors "+host)
	}

	w := b.open(b.link("acme", back))
	other := b.browser()
	maps.Copy(other.cookies, w.cookies)
	requirePage(t, w.post("/portal/logout", url.Values{}), "Your session has ended")
	require.NotContains(t, w.cookies, "__Host-outhook-portal")
	ended(other)

	link := b.link("acme", back)
	w = b.open(link)
	require.NoError(t, b.api.EndPortalSession(t.Context(), link.ID))
	ended(w)

	w = b.open(b.link("acme", back))
	require.NoError(t, b.api.EndPortalSessions(t.Context(), client.EndPortalSessionsParams{TenantID: "acme"}))
	ended(w)

	w = b.open(b.link("acme", back))
	b.exec(`UPDATE outhook.api_keys SET expires_at = now() WHERE key_hash = $1`, apikey.Hash(w.cookies["__Host-outhook-portal"]))
	ended(w)
	requirePage(t, b.open(b.link("acme", back)).get("/portal"), `target="_top"`)
}

// Whose pages may frame the portal says the session; nobody's, if nothing says so. What opens a session shows nothing.
func TestFrames(t *testing.T) {
	t.Parallel()
	frames := func(a answer) (string, string) {
		_, ancestors, _ := strings.Cut(a.header.Get("Content-Security-Policy"), "frame-ancestors ")
		return ancestors, a.header.Get("X-Frame-Options")
	}

	b := setup(t)
	w := b.browser()
	w.framed = true
	ancestors, deny := frames(w.get("/portal/enter"))
	require.Equal(t, []string{"*", ""}, []string{ancestors, deny})
	a := w.post("/portal/session", url.Values{"key": {codeOf(b.link("acme"))}})
	for _, attribute := range []string{"HttpOnly", "Secure", "SameSite=None", "Partitioned"} {
		require.Contains(t, cookie(a), attribute)
	}
	a = w.get("/portal")
	requirePage(t, a, "No endpoints yet")
	require.NotContains(t, a.body, "Log out", "the page around it does that")
	ancestors, deny = frames(a)
	require.Equal(t, []string{host, ""}, []string{ancestors, deny})

	other := b.open(b.link("acme", func(o *client.NewPortalLink) { o.Origins = []string{"https://b.example", "https://c.example:8443"} }))
	ancestors, _ = frames(other.get("/portal"))
	require.Equal(t, "https://b.example https://c.example:8443", ancestors)
	other.cookies["__Host-outhook-portal-left"] = "eyJvIjpbImh0dHBzOi8vZXZpbC5leGFtcGxlOyAqIl19" // {"o":["https://evil.example; *"]}
	delete(other.cookies, "__Host-outhook-portal")
	ancestors, deny = frames(other.get("/portal"))
	require.Equal(t, []string{host, ""}, []string{ancestors, deny}, "who sends no origins of ours is shown to those of the configuration")

	closed := setupFor(t)
	none, deny := frames(closed.open(closed.link("acme")).get("/portal"))
	require.Equal(t, []string{"'none'", "DENY"}, []string{none, deny})
}

// The element is small, and any page may load it.
func TestElement(t *testing.T) {
	t.Parallel()
	a := setup(t).browser().get("/portal/embed.js")
	require.Equal(t, http.StatusOK, a.status)
	require.Less(t, len(a.body), 2048)
	require.Equal(t, []string{"text/javascript; charset=utf-8", "*", "cross-origin"}, []string{
		a.header.Get("Content-Type"), a.header.Get("Access-Control-Allow-Origin"), a.header.Get("Cross-Origin-Resource-Policy"),
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.open(b.link("acme"))
	first, second := w.get("/portal"), w.get("/portal")
	policy := first.header.Get("Content-Security-Policy")
	require.NotEqual(t, policy, second.header.Get("Content-Security-Policy"), "a nonce is good once")
	require.NotContains(t, policy, "unsafe")
	require.Contains(t, policy, "default-src 'none'")
	require.Contains(t, policy, "require-trusted-types-for 'script'; trusted-types outhook")
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		require.Equal(t, value, first.header.Get(name))
	}
	require.NotContains(t, first.body, " style=")
	require.NotContains(t, strings.ToLower(first.body), "outhook</", "nothing says whose it is")

	_, rest, _ := strings.Cut(first.body, `rel="stylesheet" href="`)
	path, _, _ := strings.Cut(rest, `"`)
	require.Equal(t, http.StatusOK, w.get(path).status)

	a := w.do(http.MethodPost, "/portal/logout", url.Values{}, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, a.status)
	requirePage(t, w.get("/portal"), "Endpoints")
}
