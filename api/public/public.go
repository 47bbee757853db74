// Package public serves what everybody may see of the catalogue of event types: pages for whoever receives the
// events, and the same as documents for their tools. It knows no session and runs no script.
package public

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/internal/logthrottle"
)

// Path is where a [Handler] is served, beside [TextPath] and [IndexPath].
const Path = "/catalog"

// Where machines that read text find the catalogue, and what there is of it.
const (
	TextPath  = Path + ".md"
	IndexPath = "/llms.txt"
)

// maxReads bounds the requests that read the database at the same time: anybody may send them, and others need it.
const maxReads = 2

// Handler serves the public pages. Create one with [New].
type Handler struct {
	pool   *pgxpool.Pool
	calm   *slog.Logger
	assets *web.Assets
	mux    *http.ServeMux
	stock  stock
	reads  chan struct{}
}

// New returns the public pages of a database's catalogue.
func New(pool *pgxpool.Pool, logger *slog.Logger) (*Handler, error) {
	assets, err := web.NewAssets()
	if err != nil {
		return nil, fmt.Errorf("reading the pages' assets: %w", err)
	}

	h := &Handler{
		pool: pool, calm: logthrottle.New(logger), assets: assets, mux: http.NewServeMux(),
		reads: make(chan struct{}, maxReads),
	}
	h.mux.Handle("GET "+web.AssetsPath, assets)
	h.mux.HandleFunc("GET "+Path, h.page(h.list))
	h.mux.HandleFunc("GET "+TextPath, h.whole("text/markdown", func(c *contents) []byte { return c.markdown() }))
	h.mux.HandleFunc("GET "+IndexPath, h.whole("text/plain", func(c *contents) []byte { return c.llms() }))
	h.mux.HandleFunc("GET "+Path+"/openapi.json", h.whole(typeJSON, func(c *contents) []byte { return c.document() }))
	h.mux.HandleFunc("GET "+Path+"/{type}", h.page(h.eventType))
	h.mux.HandleFunc("GET "+Path+"/{type}/{file}", h.schema)
	h.mux.HandleFunc("GET "+Path+"/", h.page(nowhere))
	return h, nil
}

const typeJSON = "application/json"

// policy admits what the pages have: a style sheet and an icon.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; " +
	"frame-ancestors 'none'"

// ServeHTTP serves a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-cache")
	h.mux.ServeHTTP(w, r)
}

// page is what is shown of a catalogue, with its status.
type page func(c *contents, r *http.Request, s web.Public) (templ.Component, int)

// page serves a page.
func (h *Handler) page(show page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, ok := h.look(w, r)
		if !ok {
			return
		}

		var b bytes.Buffer
		body, status := show(c, r, web.Public{Base: h.assets.Base, Title: c.title})
		if err := body.Render(r.Context(), &b); err != nil {
			h.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(b.Bytes()) // whoever asked may be gone
	}
}

// look returns the catalogue. ok is false if it can't be read, and the answer was given.
func (h *Handler) look(w http.ResponseWriter, r *http.Request) (c *contents, ok bool) {
	c, err := h.stock.current(r.Context(), h.pool)
	if err != nil {
		h.fail(w, r, err)
	}
	return c, err == nil
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody waits for it
	}
	h.calm.ErrorContext(r.Context(), "a public page failed", slog.Any("error", err))
	w.Header().Set("Retry-After", "5")
	http.Error(w, "The catalogue can't be read just now.", http.StatusServiceUnavailable)
}

func (h *Handler) list(c *contents, _ *http.Request, s web.Public) (templ.Component, int) {
	return web.PublicCatalog(s, c.groups), http.StatusOK
}

func (h *Handler) eventType(c *contents, r *http.Request, s web.Public) (templ.Component, int) {
	t := c.types[r.PathValue("type")]
	if t == nil {
		return nowhere(c, r, s)
	}
	return web.PublicType(s, t.page()), http.StatusOK
}

func nowhere(_ *contents, _ *http.Request, s web.Public) (templ.Component, int) {
	return web.PublicNowhere(s), http.StatusNotFound
}

// whole serves the catalogue in one document.
func (h *Handler) whole(contentType string, of func(*contents) []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c, ok := h.look(w, r); ok {
			write(w, r, contentType, of(c), `"`+strconv.FormatInt(c.revision, 10)+`"`)
		}
	}
}

// schema serves a version of an event type's schema, which never changes.
func (h *Handler) schema(w http.ResponseWriter, r *http.Request) {
	name, file := r.PathValue("type"), r.PathValue("file")
	text, found := strings.CutSuffix(file, ".schema.json")
	version, err := strconv.ParseInt(text, 10, 32)
	c, ok := h.look(w, r)
	if !ok {
		return
	}

	t := c.types[name]
	if !found || err != nil || t == nil || version < 1 || version > int64(t.version) {
		h.page(nowhere)(w, r)
		return
	}
	schema := t.Schema
	if int32(version) != t.version {
		select {
		case h.reads <- struct{}{}:
			defer func() { <-h.reads }()
		case <-r.Context().Done():
			return
		}
		if schema, err = readVersion(r.Context(), h.pool, name, int32(version)); err != nil {
			h.fail(w, r, err)
			return
		}
	}
	write(w, r, typeJSON, schema, `"`+text+`"`)
}

// write answers with a document, unless whoever asks has it already.
func write(w http.ResponseWriter, r *http.Request, contentType string, body []byte, etag string) {
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if contentType != typeJSON {
		contentType += "; charset=utf-8"
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body) // whoever asked may be gone
}
