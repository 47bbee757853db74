package console_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages/pagetest"
	"github.com/outhook/outhook/internal/apikey"
	"github.com/outhook/outhook/internal/oidc"
)

const loginCookie = "__Host-outhook-oidc"

// setupPeople is setup with a provider that people log in at.
func setupPeople(t *testing.T, public bool) (*bundle, *provider) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	p := newProvider(t, "http://"+server.Listener.Addr().String(), public)
	cfg := p.config(t)
	people, err := oidc.New(cfg)
	require.NoError(t, err)
	return start(t, server, people, func(c *api.Config) { c.Access.Provider = cfg.Fingerprint() }), p
}

// entered returns somebody whom the provider let in.
func (b *bundle) entered() *person {
	b.t.Helper()
	w := b.person()
	a := w.get(w.answers(""))
	require.Equal(b.t, http.StatusSeeOther, a.status, a.body)
	require.NotEmpty(b.t, w.cookies[apikey.SessionCookie])
	return w
}

// The way of somebody who is let in, and what is left of it.
//
//nolint:paralleltest,tparallel // the subtests share what is above them
func TestPeopleLogIn(t *testing.T) {
	t.Parallel()
	b, p := setupPeople(t, false)
	w := b.seed()
	alice := b.person()

	a := alice.get("/console/events?type=a")
	requirePage(t, alice.get(a.location), `href="/console/oidc?next=%2Fconsole%2Fevents%3Ftype%3Da"`)
	back := alice.answers("/console/events?type=a")
	require.Len(t, strings.Split(alice.cookies[loginCookie], "."), 2)
	a = alice.get(back)
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	require.Equal(t, b.base+"/console/events?type=a", a.location)
	require.NotContains(t, alice.cookies, loginCookie, "a login is over once")
	requirePage(t, alice.get(a.location), "oidc: alice@acme.example")

	t.Run("For12Hours", func(t *testing.T) {
		var left time.Duration
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT expires_at - now() FROM outhook.api_keys WHERE key_hash = $1`,
			apikey.Hash(alice.cookies[apikey.SessionCookie])).Scan(&left))
		require.InDelta(t, 12*time.Hour, left, float64(time.Minute))
	})

	t.Run("InTheAuditTrail", func(t *testing.T) {
		a := alice.post("/console/endpoints/"+w.endpoint+"/status", url.Values{"status": {"paused"}})
		require.Equal(t, http.StatusSeeOther, a.status, a.body)
		require.Equal(t, http.StatusForbidden, alice.post("/console/endpoints/"+w.endpoint+"/delete", url.Values{}).status, "ops only operate")

		begun, err := b.api.ListAudit(t.Context(), client.ListAuditParams{Action: "create-session"})
		require.NoError(t, err)
		require.Len(t, begun.Items, 1)
		session := begun.Items[0]
		require.Equal(t, "oidc: alice@acme.example", session.Actor)
		detail, err := json.Marshal(session.Detail)
		require.NoError(t, err)
		require.JSONEq(t, `{"subject": "id2", "group": "ops", "scope": "operate"}`, string(detail))
		require.Equal(t, session.ObjectID, *session.KeyID)
		require.Equal(t, "127.0.0.1", *session.SourceAddress)

		paused, err := b.api.ListAudit(t.Context(), client.ListAuditParams{ObjectID: w.endpoint, Action: "update-endpoint"})
		require.NoError(t, err)
		require.Equal(t, "oidc: alice@acme.example", paused.Items[0].Actor)
		require.Equal(t, session.ObjectID, *paused.Items[0].KeyID)
	})

	t.Run("MakesNoSession", func(t *testing.T) {
		mine, err := client.New(b.base, alice.cookies[apikey.SessionCookie], client.WithRepeats(0))
		require.NoError(t, err)
		_, err = mine.CreateSessionCode(t.Context(), nil, client.CreateSessionCodeParams{})
		require.ErrorContains(t, err, "a session makes no other")
	})

	t.Run("AdminIsAnAdmin", func(t *testing.T) {
		p.behaves.Store(&behaviour{groups: "platform"}) // one text instead of a list
		admin := b.entered()
		require.Equal(t, http.StatusTeapot, admin.get("/riverui/").status)
		require.Equal(t, http.StatusForbidden, alice.get("/riverui/").status)
	})
}

// A session ends by its logout, by whoever may revoke keys, and with the configuration that it was made under.
//
//nolint:paralleltest,tparallel // the subtests share what is above them
func TestPeoplesSessionsEnd(t *testing.T) {
	t.Parallel()
	b, p := setupPeople(t, false)
	ended := func(w *person) {
		t.Helper()
		a := w.get("/console/events")
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Contains(t, a.location, "/console/login")
	}

	t.Run("Logout", func(t *testing.T) {
		alice, bob := b.entered(), b.entered()
		same := b.person()
		same.cookies[apikey.SessionCookie] = alice.cookies[apikey.SessionCookie]
		a := alice.post("/console/logout", url.Values{})
		require.NotContains(t, alice.cookies, apikey.SessionCookie)
		ended(same)
		requirePage(t, bob.get("/console/events"), "Events")

		requirePage(t, alice.get(a.location), `href="/console/oidc/logout"`)
		a = alice.get("/console/oidc/logout")
		require.Equal(t, http.StatusSeeOther, a.status)
		require.True(t, strings.HasPrefix(a.location, p.issuer+"/end_session?"), a.location)
		a = alice.get(a.location)
		require.Equal(t, b.base+"/console/login", a.location, a.body)

		require.NotContains(t, b.login(adminKey).post("/console/logout", url.Values{}).location, "out", "a key has no provider")
	})

	t.Run("Revoked", func(t *testing.T) {
		alice, bob := b.entered(), b.entered()
		begun, err := b.api.ListAudit(t.Context(), client.ListAuditParams{Action: "create-session", Limit: 2})
		require.NoError(t, err)
		require.NoError(t, b.api.RevokeKey(t.Context(), begun.Items[1].ObjectID))
		ended(alice)
		requirePage(t, bob.get("/console/events"), "Events")
		require.NoError(t, b.api.DeleteSessions(t.Context()))
		ended(bob)
	})

	t.Run("OtherRoles", func(t *testing.T) {
		alice := b.entered()
		fingerprint := func(change func(*oidc.Config)) []byte {
			cfg := p.config(t)
			change(&cfg)
			return cfg.Fingerprint()
		}
		current := func(provider []byte) int {
			keyring, cfg := newKeyring(t), api.DefaultConfig()
			cfg.Pool, cfg.Keyring, cfg.Access.APIKey, cfg.Access.Provider = b.pool, keyring, adminKey, provider
			cfg.Checks.URL, cfg.Checks.Schema = checkURL, noCheck
			other, err := api.New(cfg)
			require.NoError(t, err)
			defer func() { require.NoError(t, other.Close(t.Context())) }()

			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/sessions/current", nil)
			r.Header.Set("Authorization", "Bearer "+alice.cookies[apikey.SessionCookie])
			answer := httptest.NewRecorder()
			other.ServeHTTP(answer, r)
			return answer.Code
		}

		require.Equal(t, http.StatusOK, current(fingerprint(func(c *oidc.Config) { c.ClientSecret = "rotated" })))
		for name, change := range map[string]func(*oidc.Config){
			"roles":  func(c *oidc.Config) { c.Roles[1].Scope = "read" },
			"issuer": func(c *oidc.Config) { c.Issuer += "/other" },
			"client": func(c *oidc.Config) { c.ClientID = "other" },
		} {
			require.Equal(t, http.StatusUnauthorized, current(fingerprint(change)), name)
		}
		require.Equal(t, http.StatusUnauthorized, current(nil), "no provider")
	})

	t.Run("GroupsCountAtTheNextLogin", func(t *testing.T) {
		alice := b.entered()
		p.behaves.Store(&behaviour{groups: []string{"staff"}})
		requirePage(t, alice.get("/console/events"), "Events")
		a := alice.get(alice.answers(""))
		require.Equal(t, http.StatusForbidden, a.status)
	})
}

// What comes back and proves nothing lets nobody in.
//
//nolint:paralleltest,tparallel // the subtests share what is above them
func TestPeopleAreRefused(t *testing.T) {
	t.Parallel()
	b, p := setupPeople(t, false)
	refused := func(w *person, a answer, status int, text string) {
		t.Helper()
		require.Equal(t, status, a.status, a.body)
		require.Contains(t, a.body, text)
		require.NotContains(t, w.cookies, apikey.SessionCookie)
		require.NotContains(t, w.cookies, loginCookie)
		require.NotContains(t, b.person().get("/console/login").body, text)
	}
	answering := func(t *testing.T, how behaviour) (*person, answer) {
		t.Helper()
		p.behaves.Store(&how)
		defer p.behaves.Store(&behaviour{groups: []string{"ops"}})
		w := b.person()
		return w, w.get(w.answers(""))
	}
	const elsewhere = "This login was begun elsewhere"

	t.Run("WrongState", func(t *testing.T) {
		w := b.person()
		address, err := url.Parse(w.answers(""))
		require.NoError(t, err)
		query := address.Query()
		query.Set("state", query.Get("state")+"x")
		address.RawQuery = query.Encode()
		refused(w, w.get(address.String()), http.StatusBadRequest, elsewhere)
	})

	t.Run("OtherBrowser", func(t *testing.T) {
		mallory, alice := b.person(), b.person()
		address := mallory.answers("")
		alice.get("/console/oidc")
		refused(alice, alice.get(address), http.StatusBadRequest, elsewhere)
		nobody := b.person()
		refused(nobody, nobody.get(address), http.StatusBadRequest, elsewhere)
		require.Equal(t, http.StatusSeeOther, mallory.get(address).status, "it was good for the one who began it")
	})

	t.Run("ReplayedCode", func(t *testing.T) {
		w := b.person()
		address := w.answers("")
		begun := w.cookies[loginCookie]
		require.Equal(t, http.StatusSeeOther, w.get(address).status)
		again := b.person()
		again.cookies[loginCookie] = begun
		refused(again, again.get(address), http.StatusBadRequest, elsewhere)
	})

	t.Run("WrongVerifier", func(t *testing.T) {
		// A code that was stolen on its way, with a state that fits: the thief lacks the secret behind it.
		w, thief := b.person(), b.person()
		stolen, err := url.Parse(w.answers(""))
		require.NoError(t, err)
		own, err := url.Parse(thief.answers(""))
		require.NoError(t, err)
		query := own.Query()
		query.Set("code", stolen.Query().Get("code"))
		refused(thief, thief.get("/console/oidc/callback?"+query.Encode()), http.StatusBadRequest, elsewhere)
	})

	t.Run("WrongNonce", func(t *testing.T) {
		w, a := answering(t, behaviour{groups: []string{"ops"}, nonce: "another"})
		refused(w, a, http.StatusBadGateway, "gave no valid answer")
	})

	t.Run("ExpiredToken", func(t *testing.T) {
		w, a := answering(t, behaviour{groups: []string{"ops"}, lifetime: -time.Hour})
		refused(w, a, http.StatusBadGateway, "gave no valid answer")
	})

	t.Run("NoGroup", func(t *testing.T) {
		for text, groups := range map[string]any{
			"the claim groups has 2 groups, and none": []string{"staff", "OPS"}, "has one group": "staff", "has no group.": nil,
			"the claim groups has no group.": map[string]any{"ops": true},
		} {
			w, a := answering(t, behaviour{groups: groups})
			refused(w, a, http.StatusForbidden, text)
			require.Contains(t, a.body, "alice@acme.example")
		}
	})

	t.Run("ProvidersError", func(t *testing.T) {
		w := b.person()
		address, err := url.Parse(w.answers(""))
		require.NoError(t, err)
		query := url.Values{
			"state": {address.Query().Get("state")}, "error": {"access_denied\x00"},
			"error_description": {`<script>alert(1)</script>` + strings.Repeat("long ", 1000)},
		}
		a := w.get("/console/oidc/callback?" + query.Encode())
		refused(w, a, http.StatusForbidden, "did not let you in: access_denied\ufffd. It says “&lt;script&gt;alert(1)")
		require.NotContains(t, a.body, "<script>alert")
		require.Less(t, strings.Count(a.body, "long "), 50)

		query.Set("state", "another")
		w = b.person()
		w.get("/console/oidc")
		a = w.get("/console/oidc/callback?" + query.Encode())
		refused(w, a, http.StatusBadRequest, elsewhere)
		require.NotContains(t, a.body, "long", "what anybody can write into a link")
	})

	t.Run("LeadsNowhereElse", func(t *testing.T) {
		for _, next := range []string{"https://evil.example/console", "//evil.example", "/console\\..\\evil", "/docs", strings.Repeat("/console", 200)} {
			w := b.person()
			require.Equal(t, b.base+"/console", w.get(w.answers(next)).location, next)
		}
	})

	t.Run("Away", func(t *testing.T) {
		p.behaves.Store(&behaviour{down: true})
		w := b.person()
		begun, err := url.Parse(w.get("/console/oidc").location) // where people log in is known already
		require.NoError(t, err)
		a := w.get("/console/oidc/callback?" + url.Values{"code": {"x"}, "state": {begun.Query().Get("state")}}.Encode())
		refused(w, a, http.StatusServiceUnavailable, "can&#39;t be reached")
	})
}

// A provider that is away stops no start, and no one with a key; and once it is there people log in.
func TestProviderIsAway(t *testing.T) {
	t.Parallel()
	b, p := setupPeople(t, false)
	p.behaves.Store(&behaviour{down: true})
	w := b.person()
	requirePage(t, w.get("/console/login"), "Log in with 127.0.0.1")
	for _, path := range []string{"/console/oidc?next=%2Fconsole%2Fevents", "/console/oidc/logout"} {
		a := w.get(path)
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.Contains(t, a.body, "An API key logs you in as ever")
		require.Contains(t, a.body, `name="key"`)
	}
	requirePage(t, b.login(adminKey).get("/console/events"), "Events")

	p.behaves.Store(&behaviour{groups: []string{"ops"}})
	b.entered()
}

// What a group is bound to binds its people: nothing of another tenant exists for them.
func TestPeopleOfATenant(t *testing.T) {
	t.Parallel()
	b, p := setupPeople(t, false)
	w := b.seed()
	p.behaves.Store(&behaviour{groups: []string{"ops", "acme-support"}}) // the first entry of the roles counts
	support := b.entered()

	requirePage(t, support.get("/console/events/"+w.event), "acme")
	theirs, nobodys := support.get("/console/events/"+w.lonely), support.get("/console/events/"+uuid.NewString())
	require.Equal(t, http.StatusNotFound, theirs.status)
	require.Equal(t, http.StatusNotFound, nobodys.status)
	for _, path := range []string{"/console/events", "/console/deliveries", "/console/endpoints", "/console"} {
		page := support.get(path).body
		require.NotContains(t, page, "globex", path)
		require.NotContains(t, page, "initech", path)
	}
	a := support.post("/console/endpoints/"+w.endpoint+"/status", url.Values{"status": {"paused"}})
	require.Equal(t, http.StatusForbidden, a.status, "they only read")

	trail, err := b.api.ListAudit(t.Context(), client.ListAuditParams{Action: "create-session"})
	require.NoError(t, err)
	require.Equal(t, "acme", *trail.Items[0].TenantID)
}

// Whatever a provider calls people, and wherever it says what they are.
func TestNamesOfPeople(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{false, true} {
		b, p := setupPeople(t, public)
		for name, how := range map[string]behaviour{
			"oidc: alice@acme.example":                    {thin: true}, // all of it at the user info endpoint
			"oidc: id2":                                   {unproven: true},
			"oidc: a�b@acme.example":                      {email: "a\u202eb@acme.example"},
			"oidc: " + strings.Repeat("ä", 100):           {email: strings.Repeat("ä", 300)},
			"oidc: &lt;script&gt;alert(1)&lt;/script&gt;": {email: "<script>alert(1)</script>"},
		} {
			how.groups = []string{"ops"}
			p.behaves.Store(&how)
			requirePage(t, b.entered().get("/console/events"), ">"+name+"<")
		}
	}
}

// In a real browser: the way over two sites and back, with cookies and the pages' policy as browsers have them.
func TestPeopleInABrowser(t *testing.T) {
	t.Parallel()
	b, _ := setupPeople(t, false)
	var found []string
	pagetest.Drive(t, "people.mjs", map[string]string{
		"base": b.base, "user": "test-user2", "password": "verysecure", "name": "oidc: alice@acme.example",
	}, &found)
	require.Empty(t, found)
}

// The pages of the login are as all pages are.
func TestPagesOfPeople(t *testing.T) {
	t.Parallel()
	b, p := setupPeople(t, false)
	p.behaves.Store(&behaviour{down: true})
	o := order{
		Base: b.base, Looks: pagetest.Looks(), Shots: pagetest.Shots(),
		Pages: []pagetest.View{
			view("login with a provider", "/console/login", http.StatusOK),
			view("logged out", "/console/login?out=1", http.StatusOK),
			view("provider away", "/console/oidc", http.StatusServiceUnavailable),
			view("another login", "/console/oidc/callback?code=x&state=x", http.StatusBadRequest),
		},
	}
	var found []string
	pagetest.Drive(t, "pages.mjs", o, &found)
	require.Empty(t, found)
}
