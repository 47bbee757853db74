package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	oidclib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/outhook/outhook/internal/oidc"
)

const (
	clientID     = "outhook"
	clientSecret = "a-client-secret"
)

// behaviour is what a provider does otherwise than it should, or says of its people.
type behaviour struct {
	groups   any           // of who logs in; nil: no claim
	email    string        // "": alice@acme.example
	unproven bool          // the address is not verified
	thin     bool          // the ID token has the subject alone
	nonce    string        // in the ID token; "": the one that was sent
	lifetime time.Duration // of an ID token; 0: an hour
	down     bool
}

// provider is zitadel's example of an OpenID provider: its protocol, its pages and its store, with our people in it.
type provider struct {
	*storage.Storage

	issuer  string
	public  bool   // the client has no secret
	console string // where the client is
	behaves atomic.Pointer[behaviour]
}

func newProvider(t *testing.T, console string, public bool) *provider {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	p := &provider{issuer: "http://" + server.Listener.Addr().String(), public: public, console: console}
	p.behaves.Store(&behaviour{groups: []string{"staff", "ops"}})
	p.Storage = storage.NewStorageWithClients(storage.NewUserStore(p.issuer), nil)

	handler := exampleop.SetupServer(p.issuer, p, nil, false)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.behaves.Load().down {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		handler.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(server.Close)
	return p
}

// config is what an operator sets.
func (p *provider) config(t *testing.T) oidc.Config {
	t.Helper()
	roles, err := oidc.ParseRoles("acme-support=read:acme, ops=operate, platform=admin")
	require.NoError(t, err)
	cfg := oidc.Config{
		Issuer: p.issuer, ClientID: clientID, ClientSecret: clientSecret, PublicURL: p.console + "/",
		Scopes: oidc.DefaultScopes(), GroupsClaim: oidc.DefaultGroupsClaim, NameClaim: oidc.DefaultNameClaim, Roles: roles,
	}
	if p.public {
		cfg.ClientSecret = ""
	}
	return cfg
}

// registered is the console, as the provider knows it.
type registered struct {
	*storage.Client

	of *provider
}

func (c registered) PostLogoutRedirectURIs() []string {
	return []string{c.of.console + "/console/login"}
}

func (c registered) AuthMethod() oidclib.AuthMethod {
	if c.of.public {
		return oidclib.AuthMethodNone
	}
	return oidclib.AuthMethodBasic
}

func (c registered) IDTokenUserinfoClaimsAssertion() bool { return !c.of.behaves.Load().thin }

func (c registered) IDTokenLifetime() time.Duration {
	if life := c.of.behaves.Load().lifetime; life != 0 {
		return life
	}
	return time.Hour
}

func (p *provider) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != clientID {
		return nil, oidclib.ErrInvalidClient()
	}
	return registered{storage.WebClient(clientID, clientSecret, p.console+"/console/oidc/callback"), p}, nil
}

func (p *provider) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != clientID || secret != clientSecret || p.public {
		return oidclib.ErrInvalidClient()
	}
	return nil
}

func (p *provider) CreateAuthRequest(ctx context.Context, r *oidclib.AuthRequest, userID string) (op.AuthRequest, error) {
	if nonce := p.behaves.Load().nonce; nonce != "" {
		r.Nonce = nonce
	}
	return p.Storage.CreateAuthRequest(ctx, r, userID)
}

// SetUserinfoFromRequest fills the ID token.
func (p *provider) SetUserinfoFromRequest(_ context.Context, info *oidclib.UserInfo, r op.IDTokenRequest, _ []string) error {
	info.Subject = r.GetSubject()
	if !p.behaves.Load().thin {
		p.describe(info)
	}
	return nil
}

func (p *provider) SetUserinfoFromScopes(context.Context, *oidclib.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromToken fills the answer of the user info endpoint.
func (p *provider) SetUserinfoFromToken(ctx context.Context, info *oidclib.UserInfo, tokenID, subject, origin string) error {
	if err := p.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin); err != nil {
		return err
	}
	p.describe(info)
	return nil
}

func (p *provider) describe(info *oidclib.UserInfo) {
	b := p.behaves.Load()
	info.Email, info.EmailVerified = "alice@acme.example", oidclib.Bool(!b.unproven)
	if b.email != "" {
		info.Email = b.email
	}
	if b.groups != nil {
		info.AppendClaims("groups", b.groups)
	}
}

// person is a browser that goes between the console and the provider. It keeps the console's cookies; the provider's pages
// have none.
type person struct {
	*bundle

	cookies map[string]string
}

func (b *bundle) person() *person { return &person{bundle: b, cookies: map[string]string{}} }

// get asks the console for a path, or anybody for an address.
func (w *person) get(address string) answer { return w.do(http.MethodGet, address, nil) }

func (w *person) post(address string, form url.Values) answer {
	return w.do(http.MethodPost, address, form)
}

func (w *person) do(method, address string, form url.Values) answer {
	w.t.Helper()
	base, err := url.Parse(w.base)
	require.NoError(w.t, err)
	target, err := base.Parse(address)
	require.NoError(w.t, err)

	req, err := http.NewRequestWithContext(w.t.Context(), method, target.String(), strings.NewReader(form.Encode()))
	require.NoError(w.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	home := target.Host == base.Host
	if home {
		for name, value := range w.cookies {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}

	a, res := send(w.t, req) //nolint:bodyclose // it is read and closed
	for _, c := range res.Cookies() {
		require.True(w.t, home && c.Secure && c.HttpOnly && c.Path == "/" && c.SameSite == http.SameSiteLaxMode, c.Name)
		if w.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(w.cookies, c.Name)
		}
	}
	if a.location != "" {
		location, err := target.Parse(a.location)
		require.NoError(w.t, err)
		a.location = location.String()
	}
	return a
}

// answers goes from the console to the provider, gives a password there, and returns the address that leads back.
func (w *person) answers(next string) string {
	w.t.Helper()
	a := w.get("/console/oidc?" + url.Values{"next": {next}}.Encode())
	require.Equal(w.t, http.StatusSeeOther, a.status, a.body)
	require.Contains(w.t, a.location, "code_challenge_method=S256")
	a = w.get(a.location)
	require.Equal(w.t, http.StatusFound, a.status, a.body)

	form, err := url.Parse(a.location)
	require.NoError(w.t, err)
	a = w.post("http://"+form.Host+form.Path, url.Values{
		"id": {form.Query().Get("authRequestID")}, "username": {"test-user2"}, "password": {"verysecure"},
	})
	require.Equal(w.t, http.StatusFound, a.status, a.body)
	a = w.get(a.location)
	require.Equal(w.t, http.StatusFound, a.status, a.body)
	require.True(w.t, strings.HasPrefix(a.location, w.base+"/console/oidc/callback?"), a.location)
	return a.location
}
