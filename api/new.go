package api

import (
	"context"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/api/eventtype"
	"github.com/outhook/outhook/api/ready"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/ingest"
	"github.com/outhook/outhook/internal/limit"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/share"
)

// New returns the API. Returns an error that names the field if cfg is not valid.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("validating api.Config: %w", err)
	}

	s := newServer(cfg)
	if err := s.openStore(); err != nil {
		return nil, err
	}
	s.answers = idempotency.NewStore(cfg.Pool, cfg.Keyring)
	s.room = newRoom(cfg.Limits)
	s.metrics = newAPIMetrics(cfg.Metrics, s.room.Held)
	s.keys = batch.New(batch.Config{Parallel: 2}, hashSize, s.findKeys)
	s.clientAddress = clientAddress(cfg.Access.TrustedProxies)
	s.guesses = newGuesses(cfg, s.clientAddress)
	s.shares = share.New(cfg.Limits.MaxRequests)
	s.rates = limit.New[uuid.UUID](cfg.Access.RateLimit, int(math.Ceil(cfg.Access.RateLimit)))
	s.tests = share.NewQuota(maxTests, maxTestsOfTenant)
	s.SetBootstrapKey(cfg.Access.APIKey)

	s.echo.Use(s.admit, s.authenticate)
	s.huma = newHuma(s.echo, cfg.Version)

	s.addEvents()
	s.addEventCancel()
	s.addPayloads()
	s.addAttempts()
	s.addDeliveries()
	s.addReplays()
	s.addTail()
	s.addStats()
	s.addUsage()
	s.addWhy()
	s.addWorkers()
	s.addPauses()
	s.addEndpoints()
	s.addTrials()
	s.addSecrets()
	s.addOperations()
	s.addKeys()
	s.addSessions()
	s.addPortalSessions()
	s.addAudit()
	s.addFind()
	s.addTenantEntries()
	s.addTenants()
	s.addCatalog()
	s.addPages()
	s.addSvix()
	s.addPortal()

	if err := s.addDocs(); err != nil {
		return nil, err
	}
	s.metrics.addRoutes(s.echo.Routes())
	return s, nil
}

// storeConns are one of the store's groups, two of the key lookups, and one to spare while a broken one is closed;
// asideConns are those that the store says it needs beside. Of each so many are open from the start: those of the
// groups, of a key look-up, and of the waker.
const (
	storeConns = 4
	asideConns = 9
	storeReady = 2
	asideReady = 3
)

// openStore makes what takes events, with connections of its own: those who publish wait for nobody who reads.
func (s *Server) openStore() (err error) {
	if s.storePool, err = s.openPool("store", storeConns, storeReady); err != nil {
		return err
	}
	if s.asidePool, err = s.openPool("aside", asideConns, asideReady); err != nil {
		s.storePool.Close()
		return err
	}

	s.store = ingest.New(s.storePool, s.asidePool, s.calm, s.cfg.Metrics)
	s.checker = &eventtype.Checker{Pool: s.storePool, Known: s.cfg.Limits.KnownTypes}
	return nil
}

// openPool opens one like Config.Pool whose connections are ready to take events, some of them from the start.
func (s *Server) openPool(name string, conns, ready int32) (*pgxpool.Pool, error) {
	pool, err := pg.NewPoolLike(context.Background(), s.cfg.Pool, conns, ingest.Warm(ready))
	if err != nil {
		return nil, fmt.Errorf("opening the pool %s: %w", name, err)
	}

	s.ready.Add(pool)
	if s.cfg.Metrics != nil {
		s.cfg.Metrics.MustRegister(metrics.NewPool(name, pool.Stat))
	}
	return pool, nil
}

// NewHealth returns a server of /livez and /readyz only, for a process without the API. It uses the Pool, the Logger,
// the Checks and the Metrics of cfg, and needs no Close.
func NewHealth(cfg Config) *Server {
	return newServer(cfg)
}

// newServer returns a server with what belongs to every request and with the health checks.
func newServer(cfg Config) *Server {
	s := &Server{
		cfg: cfg, calm: logthrottle.New(cfg.Logger),
		echo: echo.New(),
		ready: ready.New(ready.Config{
			Checks: cfg.Checks.Checks, Pools: []*pgxpool.Pool{cfg.Pool}, Logger: cfg.Logger, Metrics: cfg.Metrics,
		}),
	}
	s.echo.HTTPErrorHandler = s.writeError
	s.echo.Use(s.observe)
	s.ready.Routes(s.echo)
	return s
}
