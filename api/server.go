package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/api/eventtype"
	"github.com/outhook/outhook/api/ready"
	"github.com/outhook/outhook/api/svix"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/guess"
	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/ingest"
	"github.com/outhook/outhook/internal/limit"
	"github.com/outhook/outhook/internal/share"
)

// Server is the API as an [http.Handler]. Create one with [New].
type Server struct {
	cfg       Config
	calm      *slog.Logger // says of trouble that may come with each request what cfg.Logger would say, but seldom
	echo      *echo.Echo
	huma      huma.API
	bootstrap atomic.Pointer[[sha256.Size]byte] // of the bootstrap key; nil: there is none
	keys      *batch.Group[[sha256.Size]byte, principal]
	store     *ingest.Store
	storePool *pgxpool.Pool // of the store's groups and the key lookups
	asidePool *pgxpool.Pool // of what the store does beside its groups
	ready     *ready.Probe
	metrics   *apiMetrics        // nil without the API
	room      *share.Quota       // of bodies, in bytes
	tests     *share.Quota       // of tests of endpoints that wait
	answers   *idempotency.Store // to requests with an Idempotency-Key
	checker   *eventtype.Checker // of events, by the catalogue

	active        atomic.Int64   // requests that are being served
	guesses       *guess.Guesses // nil: not limited
	shares        *share.Shares
	rates         *limit.Buckets[uuid.UUID]
	clientAddress func(*http.Request) netip.Addr
}

// ServeHTTP serves a request. HEAD is GET from here on: net/http, which knows better, sends the header alone.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		r = r.WithContext(r.Context()) // a copy
		r.Method = http.MethodGet
	}
	s.echo.ServeHTTP(w, r)
}

// SetBootstrapKey makes another key the bootstrap admin key, and the one before it none. Empty: there is none.
func (s *Server) SetBootstrapKey(key string) {
	if key == "" {
		s.bootstrap.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(key))
	s.bootstrap.Store(&sum)
}

// CheckReady makes the checks of /readyz for the metric outhook_ready, as [ready.Probe.Check] does. Call it at the
// start and then every [ready.Interval].
func (s *Server) CheckReady(ctx context.Context) { s.ready.Check(ctx) }

// UnderWay returns how many requests are served at this moment, without the health checks.
func (s *Server) UnderWay() int64 { return s.active.Load() }

// Close finishes what the ingestion holds. Call it once no request is being served. Returns ctx.Err() if ctx ended
// first; the requests that waited then got 503.
func (s *Server) Close(ctx context.Context) error {
	if err := s.store.Close(ctx); err != nil {
		return fmt.Errorf("closing the ingestion: %w", err)
	}
	if err := s.keys.Close(ctx); err != nil {
		return fmt.Errorf("closing the key lookups: %w", err)
	}
	s.storePool.Close()
	s.asidePool.Close()
	return nil
}

// uiPath is where River UI is mounted.
const uiPath = "/riverui"

// isAPI tells whether a request is for the API: by its route, or by its path if there is no such route.
func isAPI(c echo.Context) bool {
	return svix.IsCall(c.Path()) || strings.HasPrefix(c.Path(), "/api/") ||
		strings.HasPrefix(c.Request().URL.Path, "/api/")
}

// isUI tells whether a route is River UI's.
func isUI(route string) bool { return route == uiPath || strings.HasPrefix(route, uiPath+"/") }

// consolePath and assetsPath are where the console is mounted, and catalogPath where the public pages are.
const (
	consolePath = "/console"
	assetsPath  = "/assets"
	catalogPath = "/catalog"
)

// portalPath is where the portal is mounted.
const portalPath = "/portal"

// isPage tells whether a route is the console's, the portal's or the catalogue's, which set the headers of their pages.
func isPage(route string) bool {
	for _, path := range []string{consolePath, portalPath, assetsPath, catalogPath} {
		if route == path || strings.HasPrefix(route, path+"/") {
			return true
		}
	}
	return false
}

// isHealth tells whether a route is a health check.
func isHealth(route string) bool { return route == "/livez" || route == "/readyz" }
