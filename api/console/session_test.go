package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/apikey"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("ExchangesAKeyForASession", func(t *testing.T) {
		t.Parallel()
		w := &browser{bundle: b}
		a := w.get("/console/events?type=a")
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Equal(t, "/console/login?next=%2Fconsole%2Fevents%3Ftype%3Da", a.location)
		requirePage(t, w.get(a.location), `name="next" value="/console/events?type=a"`)

		key := b.key("read", "")
		a = w.post("/console/login", url.Values{"key": {" " + key.Key + "\n"}, "next": {"/console/events?type=a"}})
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Equal(t, "/console/events?type=a", a.location)
		cookie := a.header.Get("Set-Cookie")
		require.True(t, strings.HasPrefix(cookie, apikey.SessionCookie+"=ohs_"), cookie)
		for _, attribute := range []string{"Path=/;", "HttpOnly", "Secure", "SameSite=Lax"} {
			require.Contains(t, cookie, attribute)
		}
		require.NotContains(t, cookie, key.Key)
		requirePage(t, w.get("/console/events?type=a"), "console: read of")
	})

	t.Run("RefusesWhatIsNoKey", func(t *testing.T) {
		t.Parallel()
		publish := b.key("publish", "").Key
		for key, text := range map[string]string{
			"": "Give an API key.", "wrong": "This is no valid key", publish: "read", "ohs_" + publish[4:]: "This is no valid key",
		} {
			w := &browser{bundle: b}
			a := w.post("/console/login", url.Values{"key": {key}})
			require.Equal(t, http.StatusUnauthorized, a.status, key)
			require.Contains(t, a.body, text)
			require.Empty(t, w.cookie)
			require.NotContains(t, a.body, publish)
		}
	})

	t.Run("LeadsNowhereElse", func(t *testing.T) {
		t.Parallel()
		for _, next := range []string{"https://evil.example/console", "//evil.example", "/console\\..\\evil", "/docs", "javascript:alert(1)", ""} {
			a := (&browser{bundle: b}).post("/console/login", url.Values{"key": {adminKey}, "next": {next}})
			require.Equal(t, "/console", a.location, next)
		}
	})

	t.Run("RefusesOtherSites", func(t *testing.T) {
		t.Parallel()
		a := (&browser{bundle: b}).post("/console/login", url.Values{"key": {adminKey}}, "Sec-Fetch-Site", "cross-site")
		require.Equal(t, http.StatusForbidden, a.status)
		require.Empty(t, a.header.Get("Set-Cookie"))
	})
}

// A code is good once; a session ends by itself, with its logout, and with its key.
//
//nolint:paralleltest,tparallel // the subtests share what is above them
func TestSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ends := func(w *browser) {
		t.Helper()
		a := w.get("/console")
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Contains(t, a.location, "/console/login")
	}

	t.Run("CodeOpensOnce", func(t *testing.T) {
		code, err := b.api.CreateSessionCode(t.Context(), nil, client.CreateSessionCodeParams{})
		require.NoError(t, err)
		requirePage(t, b.login(code.Code).get("/console"), "console: OUTHOOK_API_KEY")
		a := (&browser{bundle: b}).post("/console/login", url.Values{"key": {code.Code}})
		require.Equal(t, http.StatusUnauthorized, a.status)
	})

	t.Run("CodeIsGoodForNothingElse", func(t *testing.T) {
		code, err := b.api.CreateSessionCode(t.Context(), nil, client.CreateSessionCodeParams{})
		require.NoError(t, err)
		api, err := client.New(b.base, code.Code, client.WithRepeats(0))
		require.NoError(t, err)
		_, err = api.ListEvents(t.Context(), client.ListEventsParams{})
		require.ErrorContains(t, err, "this key's scope does not allow this")
	})

	t.Run("SessionMakesNoOther", func(t *testing.T) {
		api, err := client.New(b.base, b.login(adminKey).cookie, client.WithRepeats(0))
		require.NoError(t, err)
		_, err = api.CreateSession(t.Context(), client.CreateSessionParams{})
		require.ErrorContains(t, err, "a session makes no other")
		_, err = api.CreateSessionCode(t.Context(), nil, client.CreateSessionCodeParams{})
		require.ErrorContains(t, err, "a session makes no other")
	})

	t.Run("Logout", func(t *testing.T) {
		w := b.login(adminKey)
		other := &browser{bundle: b, cookie: w.cookie}
		third := b.login(adminKey)
		a := w.post("/console/logout", url.Values{})
		require.Equal(t, "/console/login", a.location)
		require.Empty(t, w.cookie)
		ends(other)
		requirePage(t, third.get("/console/events"), "Events")
	})

	t.Run("EndsWithItsKey", func(t *testing.T) {
		key := b.key("tenant", "acme")
		w := b.login(key.Key)
		requirePage(t, w.get("/console"), "acme")
		require.NoError(t, b.api.RevokeKey(t.Context(), key.ID))
		ends(w)
	})

	t.Run("EndsWithTheBootstrapKey", func(t *testing.T) {
		w := b.login(adminKey)
		b.server.SetBootstrapKey("another-admin-key-of-32-bytes-or-more")
		ends(w)
		b.server.SetBootstrapKey("")
		ends(w)
		b.server.SetBootstrapKey(adminKey)
		requirePage(t, w.get("/console/events"), "Events")
	})

	t.Run("EndsByItself", func(t *testing.T) {
		w := b.login(adminKey)
		b.exec(`UPDATE outhook.api_keys SET expires_at = now() WHERE key_hash = $1`, apikey.Hash(w.cookie))
		ends(w)
		b.exec(`UPDATE outhook.api_keys SET expires_at = now() - interval '2 hours' WHERE key_hash = $1`, apikey.Hash(w.cookie))
		b.login(adminKey)
		var left int
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM outhook.api_keys WHERE key_hash = $1`,
			apikey.Hash(w.cookie)).Scan(&left))
		require.Zero(t, left)
	})
}

// The audit trail names the key, the browser's address and the request, as if the key had been used.
func TestAuditTrailNamesThePerson(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	key := b.key("operate", "acme")
	person := b.login(key.Key)
	a := person.post("/console/endpoints/"+w.endpoint+"/status", url.Values{"status": {"paused"}})
	require.Equal(t, "/console/endpoints/"+w.endpoint+"?done=paused", a.location)

	trail, err := b.api.ListAudit(t.Context(), client.ListAuditParams{ObjectID: w.endpoint, Action: "update-endpoint"})
	require.NoError(t, err)
	entry := trail.Items[0]
	require.Equal(t, "console: operate of acme", entry.Actor)
	require.Equal(t, key.ID, *entry.KeyID)
	require.Equal(t, "127.0.0.1", *entry.SourceAddress)
	require.Equal(t, a.header.Get("X-Request-Id"), *entry.RequestID)
}

func TestTheme(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.login(adminKey)
	requirePage(t, w.get("/console/events"), `data-theme=""`)
	a := w.post("/console/theme", url.Values{"theme": {"dark"}, "back": {"/console/events"}})
	require.Equal(t, "/console/events", a.location)
	require.Contains(t, a.header.Get("Set-Cookie"), "outhook-theme=dark")
	a = w.do(http.MethodGet, "/console/login", nil, "Cookie", "outhook-theme=dark")
	require.NotEmpty(t, a.body)
	a = (&browser{bundle: b}).do(http.MethodGet, "/console/login", nil, "Cookie", "outhook-theme=dark")
	requirePage(t, a, `data-theme="dark"`)
	a = (&browser{bundle: b}).do(http.MethodGet, "/console/login", nil, "Cookie", `outhook-theme=x" onload=`)
	requirePage(t, a, `data-theme=""`)
}

// What a person of another tenant, or with another scope, asks for is as the API has it.
func TestScopesAndTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	foreign, reader := b.login(b.key("tenant", "globex").Key), b.login(b.key("read", "acme").Key)
	operator := b.login(b.key("operate", "acme").Key)

	for _, path := range []string{
		"/console/events/" + w.event, "/console/endpoints/" + w.endpoint, "/console/deliveries/" + w.event + "/" + w.endpoint,
	} {
		missing := strings.NewReplacer(w.event, uuid.NewString(), w.endpoint, uuid.NewString()).Replace(path)
		theirs, nobodys := foreign.get(path), foreign.get(missing)
		require.Equal(t, http.StatusNotFound, theirs.status)
		require.Equal(t, strip(nobodys.body, missing), strip(theirs.body, path))
		requirePage(t, reader.get(path), "acme")
		dialogs := strings.Count(reader.get(path).body, "<dialog")
		require.Equal(t, 1, dialogs, "who may only read is offered nothing but the keys")
	}
	for _, path := range []string{"/console/events", "/console/deliveries", "/console/endpoints", "/console"} {
		require.NotContains(t, foreign.get(path).body, "acme", path)
	}

	status := url.Values{"status": {"paused"}}
	require.Equal(t, http.StatusForbidden, reader.post("/console/endpoints/"+w.endpoint+"/status", status).status)
	require.Equal(t, http.StatusSeeOther, operator.post("/console/endpoints/"+w.endpoint+"/status", status).status)
	for _, order := range []string{"reveal", "rotate", "delete"} {
		a := operator.post("/console/endpoints/"+w.endpoint+"/"+order, url.Values{})
		require.Equal(t, http.StatusForbidden, a.status, order)
		require.NotContains(t, a.body, "whsec_")
	}
	a := operator.post("/console/endpoints/"+w.endpoint+"/status", url.Values{"status": {"disabled"}})
	require.Equal(t, http.StatusForbidden, a.status, "disabling cancels what waits")
}

// strip removes what differs from one answer to the next: the nonce, the request's id, the path.
func strip(body, path string) string {
	for _, mark := range []string{`nonce="`, "Request <code>", `name="back" value="`} {
		before, rest, found := strings.Cut(body, mark)
		if !found {
			continue
		}
		_, rest, _ = strings.Cut(rest, map[bool]string{true: "<", false: `"`}[strings.HasSuffix(mark, ">")])
		body = before + rest
	}
	return strings.ReplaceAll(body, path, "")
}

func TestRiverUIIsBehindTheSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusTeapot, b.login(adminKey).get("/riverui/").status)
	require.Equal(t, http.StatusForbidden, b.login(b.key("read", "").Key).get("/riverui/").status)
	require.Equal(t, http.StatusUnauthorized, (&browser{bundle: b}).get("/riverui/").status)
	require.Contains(t, b.login(adminKey).get("/console").body, `href="/riverui/"`)
	require.NotContains(t, b.login(b.key("read", "").Key).get("/console").body, `href="/riverui/"`)
}

// Nothing of a page may come from elsewhere, and nothing of it is kept; assets are kept for good.
func TestHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.login(adminKey).get("/console"), b.login(adminKey).get("/console")
	policy := first.header.Get("Content-Security-Policy")
	require.NotEqual(t, policy, second.header.Get("Content-Security-Policy"), "a nonce is good once")
	require.NotContains(t, policy, "unsafe")
	require.Contains(t, policy, "default-src 'none'")
	require.Contains(t, policy, "require-trusted-types-for 'script'; trusted-types outhook")
	require.Equal(t, []string{
		"no-store", "same-origin", "same-origin", "no-referrer", "nosniff", "DENY",
	}, []string{
		first.header.Get("Cache-Control"), first.header.Get("Cross-Origin-Opener-Policy"),
		first.header.Get("Cross-Origin-Resource-Policy"), first.header.Get("Referrer-Policy"),
		first.header.Get("X-Content-Type-Options"), first.header.Get("X-Frame-Options"),
	})
	require.NotContains(t, first.body, " style=")
	require.NotContains(t, first.body, " onclick=")

	_, rest, _ := strings.Cut(first.body, `rel="stylesheet" href="`)
	path, _, _ := strings.Cut(rest, `"`)
	a := (&browser{bundle: b}).get(path)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "text/css; charset=utf-8", a.header.Get("Content-Type"))
	require.Equal(t, "public, max-age=31536000, immutable", a.header.Get("Cache-Control"))
	require.Equal(t, http.StatusNotFound, (&browser{bundle: b}).get("/assets/00000000/app.css").status)
}
