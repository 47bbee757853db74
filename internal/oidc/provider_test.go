package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/oidc"
)

// broken is a server that is asked for the discovery document, and answers as it is told to.
func broken(t *testing.T, answer http.HandlerFunc) *oidc.Provider {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	cfg := validConfig()
	cfg.Issuer = server.URL
	p, err := oidc.New(cfg)
	require.NoError(t, err)
	return p
}

// A provider that is not what it should be lets nobody begin, and the log says why, without an address of it.
func TestBrokenProviders(t *testing.T) {
	t.Parallel()
	document := func(change func(map[string]any)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			base := "http://" + r.Host
			d := map[string]any{
				"issuer": base, "authorization_endpoint": base + "/auth", "token_endpoint": base + "/token", "jwks_uri": base + "/keys",
			}
			change(d)
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(d)
		}
	}
	_, err := broken(t, document(func(map[string]any) {})).Begin(t.Context(), oidc.NewLogin())
	require.NoError(t, err)

	for fault, answer := range map[string]http.HandlerFunc{
		"calls itself another issuer, \"https://other.example\"": document(func(d map[string]any) { d["issuer"] = "https://other.example" }),
		"must begin with https://":                               document(func(d map[string]any) { d["authorization_endpoint"] = "javascript://x/" }),
		"must begin with https:":                                 document(func(d map[string]any) { d["token_endpoint"] = "http://login.acme.example" }),
		"document is missing":                                    document(func(d map[string]any) { d["jwks_uri"] = "" }),
		"must be a URL":                                          document(func(d map[string]any) { d["end_session_endpoint"] = "https:/x" }),
		"too large":                                              document(func(d map[string]any) { d["more"] = strings.Repeat("x", 2<<20) }),
		"more than 3 redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		},
		"a redirect to an address that must begin": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://login.acme.example/", http.StatusFound)
		},
		"answered with the status 500": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "a secret of the provider", http.StatusInternalServerError)
		},
	} {
		_, err := broken(t, answer).Begin(t.Context(), oidc.NewLogin())
		require.ErrorIs(t, err, oidc.ErrAway)
		require.ErrorContains(t, err, fault)
		require.NotContains(t, err.Error(), "127.0.0.1")
		require.NotContains(t, err.Error(), "secret")
	}
}

// One that never answers costs no more than its time, of all who wait together, and once it answers nobody is in its way.
func TestSilentProvider(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p := broken(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	p.SetTimeout(50 * time.Millisecond)
	_, err := p.Begin(t.Context(), oidc.NewLogin())
	require.ErrorIs(t, err, oidc.ErrAway)
	require.Regexp(t, "Timeout|deadline exceeded", err.Error())
}

// A secret goes where it was meant to, and to nobody else whom the provider names.
func TestTokenRequestsFollowNoRedirect(t *testing.T) {
	t.Parallel()
	var server *httptest.Server
	elsewhere := 0
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token":
			http.Redirect(w, r, server.URL+"/elsewhere", http.StatusTemporaryRedirect)
		case "/elsewhere":
			elsewhere++
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]string{
				"issuer": server.URL, "authorization_endpoint": server.URL + "/auth", "token_endpoint": server.URL + "/token",
				"jwks_uri": server.URL + "/keys",
			})
		}
	}))
	t.Cleanup(server.Close)
	cfg := validConfig()
	cfg.Issuer, cfg.ClientSecret = server.URL, "hunter2"
	p, err := oidc.New(cfg)
	require.NoError(t, err)

	l := oidc.NewLogin()
	begun, err := p.Begin(t.Context(), l)
	require.NoError(t, err)
	address, err := url.Parse(begun)
	require.NoError(t, err)
	_, err = p.Finish(t.Context(), l, url.Values{"state": {address.Query().Get("state")}, "code": {"x"}})
	require.ErrorIs(t, err, oidc.ErrInvalid)
	require.ErrorContains(t, err, "the status 307")
	require.Zero(t, elsewhere)

	// A provider without an end_session_endpoint.
	out, err := p.Logout(t.Context())
	require.NoError(t, err)
	require.Empty(t, out)
}
