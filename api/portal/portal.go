package portal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// Config configures a [Portal].
type Config struct {
	// API is the API's handler, which answers the pages' requests. Required.
	API http.Handler

	// OpenSession makes a session of the code of a link, and returns its key; "" if it is no code, or was used. Required.
	OpenSession func(ctx context.Context, code string) (key string, expiresAt time.Time, err error)

	// Origins are whose pages may frame the portal, unless the link names others: schemes and hosts, as browsers write
	// them.
	Origins []string

	// Accent is the colour of buttons and links, like #4f46d8. Empty: ours.
	Accent string

	// Logger gets what goes wrong here. What goes wrong in the API is the API's to log. Required.
	Logger *slog.Logger
}

// Portal is the portal as an [http.Handler], for /portal and /assets. Create one with [New].
type Portal struct {
	cfg       Config
	assets    *web.Assets
	languages *web.Languages
	sheet     string       // the path of what Accent changes; "": nothing
	inside    *http.Client // of the API in this process
	mux       *http.ServeMux
}

// New returns a portal. Returns an error that names the field if cfg is not valid.
func New(cfg Config) (*Portal, error) {
	if cfg.API == nil || cfg.OpenSession == nil || cfg.Logger == nil {
		return nil, errors.New("fields API, OpenSession and Logger of portal.Config are required")
	}
	assets, err := web.NewAssets()
	if err != nil {
		return nil, fmt.Errorf("reading the assets: %w", err)
	}
	languages, err := web.NewLanguages()
	if err != nil {
		return nil, fmt.Errorf("reading the languages: %w", err)
	}

	p := &Portal{
		cfg: cfg, assets: assets, languages: languages, mux: http.NewServeMux(),
		inside: &http.Client{Transport: pages.Transport{API: cfg.API}},
	}
	p.mux.Handle("GET "+web.AssetsPath, assets)
	p.mux.HandleFunc("GET /portal/embed.js", embed)
	if err := p.addAccent(); err != nil {
		return nil, err
	}
	for _, page := range p.pages() {
		p.mux.Handle(page.pattern, p.serve(page))
	}
	return p, nil
}

// addAccent serves the style sheet of Accent, under a path that changes with it.
func (p *Portal) addAccent() error {
	if p.cfg.Accent == "" {
		return nil
	}
	accent, err := web.ParseAccent(p.cfg.Accent)
	if err != nil {
		return fmt.Errorf("field Accent of portal.Config %w", err)
	}

	p.sheet = "/portal/accent/" + strings.TrimPrefix(accent.String(), "#") + ".css"
	p.mux.HandleFunc("GET "+p.sheet, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Write([]byte(accent.Sheet()))
	})
	return nil
}

// ServeHTTP serves a request. Those that change something and come from another site's page are refused: a browser may
// add the cookie to them too. A form within a frame of another site comes from this one.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	nonce := pages.NewNonce()
	setHeaders(w.Header(), nonce)
	r = r.WithContext(templ.WithNonce(r.Context(), nonce))

	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, "Another site's page sent this request, so nothing was done.", http.StatusForbidden)
		return
	}
	p.mux.ServeHTTP(w, r)
}

// embed serves the script that other people's pages show the portal with.
func embed(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	w.Write(web.Embed)
}

// policy admits what the pages have: one script, by its nonce, whose markup passes one policy of Trusted Types, one
// style sheet, and requests to this server. Who may frame them stands behind it.
const policy = "default-src 'none'; script-src 'nonce-%s'; style-src 'self'; img-src 'self'; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; " +
	"require-trusted-types-for 'script'; trusted-types outhook; "

const frameAncestors = "frame-ancestors "

// setHeaders sets those of a page that nobody may frame.
func setHeaders(h http.Header, nonce string) {
	h.Set("Content-Security-Policy", fmt.Sprintf(policy, nonce)+frameAncestors+"'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), clipboard-write=(self)")
}

// letFrame says whose pages may frame the answer. None: nobody's.
func letFrame(h http.Header, origins ...string) {
	before, _, _ := strings.Cut(h.Get("Content-Security-Policy"), frameAncestors)
	h.Set("Content-Security-Policy", before+frameAncestors+cmp.Or(strings.Join(origins, " "), "'none'"))
	if len(origins) > 0 {
		h.Del("X-Frame-Options") // which knows of no list
	} else {
		h.Set("X-Frame-Options", "DENY")
	}
}

// client returns a client of the API with a key. Nothing is repeated: a person sees what came of a request, and
// repeats it.
func (p *Portal) client(key string) (*client.Client, error) {
	return client.New("http://portal", key, client.WithHTTPClient(p.inside), client.WithRepeats(0),
		client.WithUserAgent("outhook-portal"))
}
