// Package server is a process of Outhook at run time: the API, the workers or both on one database, with metrics, spans
// and River UI. `outhook serve` and `outhook dev` run it, and a test can run it in its own process.
//
//	cfg := server.DefaultConfig()
//	cfg.Database.URL, cfg.Keyring, cfg.API.Access.APIKey = url, keyring, key
//	srv, err := server.New(cfg)
//	...
//	err = srv.Run(ctx, func(addr net.Addr) { ... })
//
// It knows nothing of flags and variables: errors name a field (see [FieldError]), and whoever set it names what sets
// it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/console"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/rekey"
	"github.com/outhook/outhook/jobs/retention"
	"github.com/outhook/outhook/migrations"
)

// Server serves the API, runs the workers, or both.
type Server struct {
	cfg Config

	// Made by Run.
	egress  *egress.Client
	tracing *tracing // nil: off
	dropped *droppedSpans
	pool    *pgxpool.Pool
	api     *api.Server      // nil: not this process's role
	console *console.Console // nil: not served
	health  *api.Server      // api, or one of the health checks alone
	worker  *jobs.Client     // nil: not this process's role

	stopping atomic.Bool
}

// New returns a server that has touched nothing yet.
//
// Returns an error if a field that has no default is missing. What is wrong with the API's, the workers' or the egress'
// own configuration, [Server.Run] says.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, dropped: newDroppedSpans()}, nil
}

// Run serves until ctx ends, then stops in order, within [StopTimeout]: see stop. ready, if not nil, is called with the
// address once everything runs. Run may be called once.
//
// Returns nil after an orderly stop. Before it serves it returns ErrNoDatabase, ErrDatabaseURL, ErrNoAPIKey,
// [migrations.ErrSchemaTooOld], [pg.ErrNoSession] or a [FieldError] for what would go wrong later.
func (s *Server) Run(ctx context.Context, ready func(net.Addr)) error {
	if err := s.openEgress(); err != nil {
		return err
	}
	defer s.egress.Close()

	stopTracing, err := s.startTracing(ctx)
	if err != nil {
		return err
	}
	defer stopTracing(ctx)

	s.tellStart(ctx)
	if s.pool, err = s.openPool(ctx, "outhook api", apiConns); err != nil {
		return err
	}
	defer s.pool.Close()

	if err := s.check(ctx, s.pool); err != nil {
		return err
	}

	reg := s.newRegistry(s.pool)
	var ends ending
	if s.worker, ends.worker, err = s.startWorker(ctx, reg); err != nil {
		return err
	}

	handler, closeAPI, err := s.handler(ctx, s.pool, reg)
	if err != nil {
		return errors.Join(err, ends.worker(ctx))
	}
	ends.api = closeAPI

	s.health.CheckReady(ctx) // the first scrape has an answer
	if ends.metrics, err = s.serveMetrics(ctx, reg); err != nil {
		return errors.Join(err, ends.api(ctx), ends.worker(ctx))
	}

	return s.serve(ctx, s.tracing.handler(s.closing(handler)), ready, ends)
}

// tellStart logs what is about to run, before anything can keep it from that.
func (s *Server) tellStart(ctx context.Context) {
	attrs := []slog.Attr{
		slog.String("version", s.cfg.Version), slog.Bool("api", s.cfg.Roles.API), slog.Bool("worker", s.cfg.Roles.Worker),
		slog.Any("encryption_key_ids", s.cfg.Keyring.KeyIDs()),
	}
	if s.cfg.Roles.Worker {
		attrs = append(attrs, slog.Any("queues", s.cfg.Jobs.Slots()))
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "starting", attrs...)
}

// openEgress makes the client that posts to endpoints.
func (s *Server) openEgress() (err error) {
	cfg := s.cfg.Egress
	if cfg.MaxIdleConns == 0 {
		cfg.MaxIdleConns = slots(s.cfg.Jobs)
	}
	if cfg.MaxIdlePerHost == 0 {
		cfg.MaxIdlePerHost = slots(s.cfg.Jobs)
	}

	if s.egress, err = egress.New(cfg); err != nil {
		return fmt.Errorf("configuring egress: %w", err)
	}
	return nil
}

// keepFrom keeps deliveries from a listener of this process: what its API takes is delivered in turn.
func (s *Server) keepFrom(listener net.Listener) error {
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok {
		return s.egress.BlockPort(tcp.AddrPort())
	}
	return nil
}

// check stops the start for what would go wrong later.
func (s *Server) check(ctx context.Context, pool *pgxpool.Pool) error {
	if err := migrations.Check(ctx, pool); err != nil {
		return err
	}
	if err := migrations.CheckRights(ctx, pool); err != nil {
		return err
	}
	if err := s.checkAPIKeys(ctx, pool, s.cfg.API.Access.APIKey); err != nil {
		return err
	}
	if err := checkKeyring(ctx, pool, s.cfg.Keyring); err != nil {
		return err
	}

	deliver := s.cfg.Jobs.Deliver
	if err := retention.Check(ctx, pool, s.cfg.Jobs.Retention.Keep, deliver.Schedule, deliver.Jitter); err != nil {
		return &FieldError{FieldRetention, err}
	}
	return nil
}

// checkKeyring refuses to work with keys that can't open what is stored.
func checkKeyring(ctx context.Context, pool *pgxpool.Pool, keyring *signature.Keyring) error {
	err := rekey.Check(ctx, pool, keyring)
	if missing, ok := errors.AsType[*rekey.MissingKeysError](err); ok {
		return &FieldError{FieldKeyring, missing}
	}
	return err
}

// serve listens until ctx ends and then stops in order.
func (s *Server) serve(ctx context.Context, handler http.Handler, ready func(net.Addr), ends ending) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return errors.Join(&FieldError{FieldListen, fmt.Errorf("listening on %s: %w", s.cfg.Listen, err)}, ends.all(ctx))
	}

	if err := s.keepFrom(listener); err != nil {
		return errors.Join(err, listener.Close(), ends.all(ctx))
	}

	httpServer := &http.Server{ //nolint:gosec // ConfigureServer sets the timeouts
		Handler: handler, ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	api.ConfigureServer(httpServer)
	if s.console != nil {
		httpServer.RegisterOnShutdown(s.console.Close)
	}
	ends.http = httpServer.Shutdown

	group, groupCtx := errgroup.WithContext(ctx)

	group.Go(func() error {
		if err := httpServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving: %w", err)
		}
		return nil
	})

	group.Go(func() error {
		s.watchReady(groupCtx)
		return nil
	})

	group.Go(func() error {
		<-groupCtx.Done()
		return s.stop(context.WithoutCancel(ctx), ends)
	})

	attrs := []slog.Attr{
		slog.String("address", listener.Addr().String()), slog.Bool("api", s.cfg.Roles.API),
		slog.Bool("worker", s.cfg.Roles.Worker), slog.String("version", s.cfg.Version),
	}
	if s.worker != nil && s.cfg.Jobs.River.ClientID == "" {
		attrs = append(attrs, slog.String("client_id", s.worker.ID()))
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "serving", attrs...)
	if ready != nil {
		ready(listener.Addr())
	}

	return group.Wait()
}
