package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/ingest"
	"github.com/outhook/outhook/internal/limit"
)

const (
	// maxHandling is the longest that any request may take: a test of an endpoint with the longest timeout, 30 s, plus
	// testGrace, rounded up.
	maxHandling = 40 * time.Second

	// readTimeout bounds the reading of a request. net/http ends a request's context when it passes, even if the body was
	// read long before, so it covers a body's time and then maxHandling, and is set anew once a body is there.
	readTimeout = 2 * maxHandling

	// writeTimeout counts from the end of the request's header and leaves 20 s to write an answer.
	writeTimeout = readTimeout + 20*time.Second
)

// ConfigureServer sets what an [http.Server] needs to serve a [Server]: 10 s for a request's header of at most 32 KiB,
// 80 s for reading a request, 100 s for everything until the end of the answer, and 2 minutes for an idle connection,
// more than the 60 s of usual load balancers, which must be the first to close.
func ConfigureServer(srv *http.Server) {
	srv.ReadHeaderTimeout = 10 * time.Second
	srv.ReadTimeout = readTimeout
	srv.WriteTimeout = writeTimeout
	srv.IdleTimeout = 2 * time.Minute
	srv.MaxHeaderBytes = 32 << 10
}

// Server is the API as an [http.Handler]. Create one with [New].
type Server struct {
	cfg       Config
	echo      *echo.Echo
	huma      huma.API
	bootstrap *[sha256.Size]byte // of Config.APIKey; nil: there is none
	keys      *batch.Group[[sha256.Size]byte, principal]
	store     *ingest.Store
	ready     *readiness
	metrics   *apiMetrics   // nil without the API
	held      atomic.Int64  // bytes of bodies
	tests     chan struct{} // a slot per test of an endpoint

	active        atomic.Int64 // requests that are being served
	guesses       *guesses     // nil: not limited
	rates         *limit.Buckets[uuid.UUID]
	clientAddress func(*http.Request) netip.Addr
	warnOfProxy   sync.Once
}

// New returns the API. Returns an error that names the field if cfg is not valid.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("validating api.Config: %w", err)
	}

	s := newServer(cfg)
	s.store = ingest.New(cfg.Pool, cfg.calm, cfg.Metrics)
	s.metrics = newAPIMetrics(cfg.Metrics, s.held.Load)
	s.keys = batch.New(batch.Config{Parallel: 2}, hashSize, s.findKeys)
	s.clientAddress = clientAddress(cfg.TrustedProxies)
	s.guesses = newGuesses(s)
	s.rates = limit.New[uuid.UUID](cfg.RateLimit, int(math.Ceil(cfg.RateLimit)))
	s.tests = make(chan struct{}, maxTests)
	if cfg.APIKey != "" {
		sum := sha256.Sum256([]byte(cfg.APIKey))
		s.bootstrap = &sum
	}

	s.echo.Use(s.admit, s.authenticate)
	s.huma = newHuma(s.echo, cfg.Version)

	s.addEvents()
	s.addDeliveries()
	s.addTail()
	s.addStats()
	s.addEndpoints()
	s.addOperations()
	s.addKeys()
	s.addAudit()
	s.addTenants()
	s.addUI()

	if err := s.addDocs(); err != nil {
		return nil, err
	}
	s.metrics.addRoutes(s.echo.Routes())
	return s, nil
}

// NewHealth returns a handler that serves /livez and /readyz only, for a process without the API. It uses the Pool, the
// Logger, CheckSchema and Ready of cfg.
func NewHealth(cfg Config) http.Handler {
	return newServer(cfg.withDefaults())
}

// newServer returns a server with what belongs to every request and with the health checks.
func newServer(cfg Config) *Server {
	s := &Server{cfg: cfg, echo: echo.New(), ready: newReadiness(cfg)}
	s.echo.HTTPErrorHandler = s.writeError
	s.echo.Use(s.observe)
	s.addHealth()
	return s
}

// ServeHTTP serves a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Close finishes what the ingestion holds. Call it once no request is being served. Returns ctx.Err() if ctx ended
// first; the requests that waited then got 503.
func (s *Server) Close(ctx context.Context) error {
	if err := s.store.Close(ctx); err != nil {
		return fmt.Errorf("closing the ingestion: %w", err)
	}
	if err := s.keys.Close(ctx); err != nil {
		return fmt.Errorf("closing the key lookups: %w", err)
	}
	return nil
}
