package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/console"
	"github.com/outhook/outhook/api/portal"
	"github.com/outhook/outhook/api/public"
	"github.com/outhook/outhook/api/ready"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/oidc"
	"github.com/outhook/outhook/jobs/reconcile"
	"github.com/outhook/outhook/migrations"
)

// apiConns bounds the API's connections beside the 11 of those who publish: 6 for requests (internal/share), the others
// for the health checks, the metrics and River UI.
const apiConns = 9

// checkAPIKeys refuses to serve an API that nobody has a key for.
func (s *Server) checkAPIKeys(ctx context.Context, pool *pgxpool.Pool, bootstrap string) error {
	if !s.cfg.Roles.API || bootstrap != "" {
		return nil
	}

	found, err := db.New().HasLiveAPIKey(ctx, pool)
	if err != nil {
		return fmt.Errorf("looking for API keys: %w", err)
	}

	if !found {
		return ErrNoAPIKey
	}
	return nil
}

// handler returns what is served over HTTP, and what ends it.
func (s *Server) handler(ctx context.Context, pool *pgxpool.Pool, reg prometheus.Registerer,
) (http.Handler, func(context.Context) error, error) {
	cfg := s.apiConfig(pool, reg)
	if s.worker != nil {
		cfg.Checks.Ready, cfg.Checks.GivingBack = s.worker.Ready, s.worker.GivingBack
	}

	if !s.cfg.Roles.API {
		s.health = api.NewHealth(cfg) //nolint:contextcheck // its group holds nothing when idle
		return s.health, func(context.Context) error { return nil }, nil
	}

	if s.cfg.RiverUI {
		ui, err := newRiverUI(ctx, pool, s.cfg.Logger)
		if err != nil {
			return nil, nil, err
		}
		cfg.UI = ui
	}

	var err error
	if s.cfg.Console {
		if s.console, err = s.newConsole(); err != nil {
			return nil, nil, err
		}
		cfg.Console = s.console
		if s.cfg.People != nil {
			cfg.Access.Provider = s.cfg.People.Fingerprint()
		}
	}
	if s.cfg.Catalog {
		if cfg.Catalog, err = public.New(pool, s.cfg.Logger); err != nil {
			return nil, nil, err
		}
	}
	if s.cfg.Portal.Served {
		cfg.Portal.PublicURL = s.cfg.Portal.PublicURL
		if cfg.Portal.Handler, err = s.newPortal(); err != nil {
			return nil, nil, err
		}
	}
	if s.api, err = api.New(cfg); err != nil { //nolint:contextcheck // its groups live until Close
		return nil, nil, fmt.Errorf("configuring the API: %w", err)
	}
	s.health = s.api
	return s.api, s.api.Close, nil
}

// watchReady makes the checks of /readyz for the metrics, again and again until ctx ends.
func (s *Server) watchReady(ctx context.Context) {
	tick := time.NewTicker(ready.Interval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.health.CheckReady(ctx)
		}
	}
}

// newConsole returns the console, whose pages ask the API that serves them.
func (s *Server) newConsole() (*console.Console, error) {
	cfg := console.Config{
		API:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.api.ServeHTTP(w, r) }),
		RiverUI: s.cfg.RiverUI, Logger: s.cfg.Logger,
	}
	if s.cfg.People != nil {
		people, err := oidc.New(*s.cfg.People)
		if err != nil {
			return nil, fmt.Errorf("configuring OpenID Connect: %w", err)
		}
		cfg.People = people
		cfg.OpenSession = func(ctx context.Context, who oidc.Person) (string, time.Time, error) {
			return s.api.OpenSession(ctx, who)
		}
	}

	c, err := console.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("configuring the console: %w", err)
	}
	return c, nil
}

// newPortal returns the portal, whose pages ask the API that serves them.
func (s *Server) newPortal() (*portal.Portal, error) {
	p, err := portal.New(portal.Config{
		API:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.api.ServeHTTP(w, r) }),
		Origins: s.cfg.Portal.Origins, Accent: s.cfg.Portal.Accent, Logger: s.cfg.Logger,
		OpenSession: func(ctx context.Context, code string) (string, time.Time, error) {
			return s.api.OpenPortalSession(ctx, code)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("configuring the portal: %w", err)
	}
	return p, nil
}

// apiConfig returns Config.API with what the API shares with the workers and what was made for it.
func (s *Server) apiConfig(pool *pgxpool.Pool, reg prometheus.Registerer) api.Config {
	cfg := s.cfg.API
	cfg.Pool, cfg.Keyring, cfg.Checks.URL = pool, s.cfg.Keyring, s.egress.CheckURL
	cfg.Version, cfg.Logger, cfg.Metrics = s.cfg.Version, s.cfg.Logger, reg
	cfg.Retention = s.cfg.Jobs.Retention.Keep
	cfg.Schedule, cfg.Jitter = s.cfg.Jobs.Deliver.Schedule, s.cfg.Jobs.Deliver.Jitter

	cfg.Checks.Stopping = s.stopping.Load
	cfg.Checks.Schema = func(ctx context.Context) error {
		return errors.Join(migrations.Check(ctx, pool), migrations.CheckRights(ctx, pool))
	}
	cfg.Checks.Vacuum = func(ctx context.Context) ([]string, error) {
		return db.New().ListVacuumHolders(ctx, pool, reconcile.MaxHold.Seconds())
	}
	return cfg
}
