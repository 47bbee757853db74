package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// Provider is an identity provider. Create one with [New].
type Provider struct {
	cfg    Config
	client *http.Client
	found  atomic.Pointer[discovery]
	asking singleflight.Group
}

// discovery is what a provider says of itself.
type discovery struct {
	provider   *oidc.Provider
	verifier   *oidc.IDTokenVerifier
	oauth      oauth2.Config
	endSession string // where people log out; "": nowhere
}

// New returns a provider. Nothing is asked of it yet. Returns a [*FieldError] if cfg is not valid.
func New(cfg Config) (*Provider, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	return &Provider{cfg: cfg, client: newClient(cfg.RootCAs)}, nil
}

// Host is what people know the provider by.
func (p *Provider) Host() string {
	u, err := url.Parse(p.cfg.Issuer)
	if err != nil {
		return p.cfg.Issuer
	}
	return u.Host
}

// Begin returns the address that a browser begins a login at. Returns [ErrAway] if the provider can't be asked.
func (p *Provider) Begin(ctx context.Context, l Login) (string, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return d.oauth.AuthCodeURL(l.state(), oidc.Nonce(l.nonce()), oauth2.S256ChallengeOption(l.verifier())), nil
}

// Logout returns the address at which a browser ends its session with the provider, "" if there is none. Returns
// [ErrAway] if the provider can't be asked.
func (p *Provider) Logout(ctx context.Context) (string, error) {
	d, err := p.discover(ctx)
	if err != nil || d.endSession == "" {
		return "", err
	}

	u, err := url.Parse(d.endSession)
	if err != nil {
		return "", fmt.Errorf("reading the address: %w", err)
	}
	query := u.Query()
	query.Set("client_id", p.cfg.ClientID)
	query.Set("post_logout_redirect_uri", p.cfg.PublicURL+"/console/login")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// discover asks the provider for its addresses, once: those who log in at the same time wait for one answer, and who
// comes after a failure asks anew.
func (p *Provider) discover(ctx context.Context) (*discovery, error) {
	if d := p.found.Load(); d != nil {
		return d, nil
	}

	d, err, _ := p.asking.Do("", func() (any, error) {
		// Of all who wait, and bounded by the client.
		d, err := p.ask(context.WithoutCancel(ctx))
		if err == nil {
			p.found.Store(d)
		}
		return d, err
	})
	if err != nil {
		return nil, err
	}
	return d.(*discovery), nil //nolint:errcheck,forcetypeassert // the function above returns no other
}

// ask returns an [*Error] of the kind [ErrAway] if the provider can't be asked, or says what can't be used.
func (p *Provider) ask(ctx context.Context) (*discovery, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.cfg.Issuer)
	if other, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return nil, &Error{ErrAway, fmt.Sprintf("it calls itself another issuer, %q", printable(other.Discovered, maxText))}
	}
	if err != nil {
		return nil, trouble(ErrAway, err)
	}

	var said struct {
		JWKS       string   `json:"jwks_uri"`
		EndSession string   `json:"end_session_endpoint"`
		Methods    []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&said); err != nil {
		return nil, trouble(ErrAway, err)
	}

	endpoint := provider.Endpoint()
	endpoint.AuthStyle = p.authStyle(said.Methods)
	addresses := []string{endpoint.AuthURL, endpoint.TokenURL, said.JWKS}
	for _, optional := range []string{provider.UserInfoEndpoint(), said.EndSession} {
		if optional != "" {
			addresses = append(addresses, optional)
		}
	}
	for _, address := range addresses {
		if err := checkURL(address); err != nil {
			return nil, &Error{ErrAway, "an address of its discovery document " + err.Error()}
		}
	}

	return &discovery{
		provider: provider, endSession: said.EndSession,
		verifier: provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}),
		oauth: oauth2.Config{
			ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Endpoint: endpoint,
			RedirectURL: p.cfg.PublicURL + "/console/oidc/callback", Scopes: p.cfg.Scopes,
		},
	}, nil
}

// authStyle returns how the secret is shown: as the provider wants it, for a code that was sent in vain is used up.
func (p *Provider) authStyle(methods []string) oauth2.AuthStyle {
	if p.cfg.ClientSecret == "" || len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}
