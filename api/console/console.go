package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/a-h/templ"

	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/oidc"
)

// Config configures a [Console].
type Config struct {
	// API is the API's handler, which answers the pages' requests. Required.
	API http.Handler

	// RiverUI says whether the navigation leads to River UI.
	RiverUI bool

	// People logs people in with OpenID Connect. Nil: they log in with API keys alone.
	People *oidc.Provider

	// OpenSession makes a session of one of them, and returns its key. Required with People.
	OpenSession func(context.Context, oidc.Person) (key string, expiresAt time.Time, err error)

	// Logger gets what goes wrong here. What goes wrong in the API is the API's to log.
	Logger *slog.Logger
}

// Console is the console as an [http.Handler], for /console and /assets. Create one with [New].
type Console struct {
	cfg    Config
	calm   *slog.Logger // says of trouble that may come with each request what cfg.Logger would say, but seldom
	assets *web.Assets
	inside *http.Client // of the API in this process
	mux    *http.ServeMux

	followers *followers
}

// New returns a console. Returns an error that names the field if cfg is not valid.
func New(cfg Config) (*Console, error) {
	if cfg.API == nil || cfg.Logger == nil {
		return nil, errors.New("fields API and Logger of console.Config are required")
	}
	if cfg.People != nil && cfg.OpenSession == nil {
		return nil, errors.New("field OpenSession of console.Config is required with People")
	}
	assets, err := web.NewAssets()
	if err != nil {
		return nil, fmt.Errorf("reading the assets: %w", err)
	}

	c := &Console{
		cfg: cfg, calm: logthrottle.New(cfg.Logger), assets: assets, mux: http.NewServeMux(),
		inside: &http.Client{Transport: pages.Transport{API: cfg.API}},
	}
	c.followers = newFollowers(c.client)
	c.mux.Handle("GET "+web.AssetsPath, assets)
	for _, p := range c.pages() {
		c.mux.Handle(p.pattern, c.serve(p))
	}
	return c, nil
}

// Close ends the streams, and lets nobody begin one. Call it when the server is to stop: it waits for requests, and a
// stream does not end by itself.
func (c *Console) Close() { c.followers.close() }

// ServeHTTP serves a request. Those that change something and come from another site's page are refused: a browser adds
// the cookie to them too.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	nonce := pages.NewNonce()
	setHeaders(w.Header(), nonce)
	r = r.WithContext(templ.WithNonce(r.Context(), nonce))

	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		c.refuse(w, r, web.Problem{
			Status: http.StatusForbidden, Title: "Not from here",
			Detail: "Another site's page sent this request, so nothing was done.",
			Back:   web.Crumb{Label: "To the console", Href: "/console"},
		})
		return
	}
	c.mux.ServeHTTP(w, r)
}

// policy admits what the pages have: one script, by its nonce, whose markup passes one policy of Trusted Types, one
// style sheet, and requests to this server.
const policy = "default-src 'none'; script-src 'nonce-%s'; style-src 'self'; img-src 'self'; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types outhook"

func setHeaders(h http.Header, nonce string) {
	h.Set("Content-Security-Policy", fmt.Sprintf(policy, nonce))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), clipboard-write=(self)")
}
