package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/migrations"
)

const (
	// apiConns bounds the API's connections: ingestion commits in groups, so it needs few.
	apiConns = 16

	// workerConns: River's completer, elector and maintenance (up to 7), and some room. Beside them are up to 3 of the
	// loader and the recorder, 7 of the fetches, and one each of River's listener, of the worker's lock and of the pacer.
	workerConns = 15

	// ownerConns: the retention and reconcile use one connection each, now and then.
	ownerConns = 2

	// stopTimeout bounds a stop from SIGTERM to the end of the process: the attempts' grace period (30 s) and the time to
	// record the last outcomes.
	stopTimeout = 40 * time.Second
)

// serveEgressPorts are the usual ports of HTTP servers, and none of a database's, a mail server's or a remote shell's.
const serveEgressPorts = "80,443,8080,8443"

type serveCmd struct {
	databaseFlags
	serverFlags

	Listen           string `env:"OUTHOOK_LISTEN" default:":8080" help:"The address to listen on. A worker without the API serves /livez and /readyz on it."`
	OwnerDatabaseURL string `env:"OUTHOOK_OWNER_DATABASE_URL" secret:"url" help:"The same database as the schema's owner, if OUTHOOK_DATABASE_URL has a user with the role outhook_server: workers remove old partitions with it."`

	Roles []string `env:"OUTHOOK_ROLES" default:"api,worker" help:"api, worker, or both."`
}

// Run serves until ctx ends, then stops in order.
func (s *serveCmd) Run(c *command) error {
	srv, err := s.configured(s.logger(c.stderr, "json"))
	if err != nil {
		return usageError{err}
	}

	return srv.run(c.ctx, nil)
}

// configured returns the server that the flags describe.
func (s *serveCmd) configured(logger *slog.Logger) (srv server, err error) {
	if s.EgressPorts == "" {
		s.EgressPorts = serveEgressPorts
	}
	if s.EgressAllowHTTP == "auto" {
		s.EgressAllowHTTP = "false"
	}

	if srv, err = s.server(logger); err != nil {
		return srv, err
	}

	if srv.roles, err = parseRoles(s.Roles); err != nil {
		return srv, err
	}

	srv.databaseURL, srv.ownerURL, srv.listen = s.DatabaseURL, s.OwnerDatabaseURL, s.Listen
	return srv, nil
}

func (s *serveCmd) check() error {
	if s.DatabaseURL == "" {
		return errNoDatabase
	}
	_, err := s.configured(slog.New(slog.DiscardHandler))
	return err
}

// server is a process that serves the API, the workers or both.
type server struct {
	flags       serverFlags
	logger      *slog.Logger
	roles       roles
	databaseURL string
	ownerURL    string // "": databaseURL's user may do everything
	listen      string
	schedule    jobs.Schedule
	allow       []netip.Prefix
	ports       []uint16
	authorities *x509.CertPool
	egress      *egress.Client
	proxies     []netip.Prefix
	keyring     *signature.Keyring
	tracing     *tracing // nil: off
}

// setKeys reads the encryption key. Only dev may do without; it sets one before it gets here.
func (s *server) setKeys() error {
	if s.flags.EncryptionKey == "" {
		return errors.New("OUTHOOK_ENCRYPTION_KEY is not set: make one with `openssl rand -base64 32` and keep it, " +
			"endpoint secrets can't be read without it")
	}
	if s.flags.APIKey != "" && len(s.flags.APIKey) < minAPIKey {
		return fmt.Errorf("OUTHOOK_API_KEY is shorter than %d bytes: make one with `openssl rand -hex 32`", minAPIKey)
	}

	var err error
	if s.keyring, err = signature.ParseKeyring(s.flags.EncryptionKey); err != nil {
		return fmt.Errorf("OUTHOOK_ENCRYPTION_KEY: %w", err)
	}
	return nil
}

// checkAPIKeys refuses to serve an API that nobody has a key for.
func (s *server) checkAPIKeys(ctx context.Context, pool *pgxpool.Pool) error {
	if !s.roles.api || s.flags.APIKey != "" {
		return nil
	}

	found, err := db.New().HasLiveAPIKey(ctx, pool)
	if err != nil {
		return fmt.Errorf("looking for API keys: %w", err)
	}

	if !found {
		return errors.New("there is no API key: set OUTHOOK_API_KEY (openssl rand -hex 32) " +
			"or run `outhook keys create NAME --scope admin`")
	}
	return nil
}

// minAPIKey keeps a guessable admin key out.
const minAPIKey = 16

// run serves until ctx ends. ready, if not nil, is called with the address once everything runs.
func (s *server) run(ctx context.Context, ready func(net.Addr)) error {
	if err := s.openEgress(); err != nil {
		return err
	}
	defer s.egress.Close()

	stopTracing, err := s.startTracing(ctx)
	if err != nil {
		return err
	}
	defer stopTracing(ctx)

	apiPool, err := s.openPool(ctx, "outhook api", apiConns)
	if err != nil {
		return err
	}
	defer apiPool.Close()

	// What would go wrong later stops the start.
	if s.roles.worker {
		if err := jobs.CheckSession(ctx, apiPool.Config().ConnConfig); err != nil {
			return err
		}
	}
	if err := migrations.Check(ctx, apiPool); err != nil {
		return err
	}
	if err := s.checkAPIKeys(ctx, apiPool); err != nil {
		return err
	}
	if err := jobs.CheckRetention(ctx, apiPool, time.Duration(s.flags.Retention), s.schedule); err != nil {
		return fmt.Errorf("OUTHOOK_RETENTION: %w", err)
	}

	reg := s.newRegistry(apiPool)
	worker, stopWorker, err := s.startWorker(ctx, reg)
	if err != nil {
		return err
	}

	handler, closeAPI, err := s.handler(ctx, apiPool, worker, reg)
	if err != nil {
		return errors.Join(err, stopWorker(ctx))
	}

	stopMetrics, err := s.serveMetrics(ctx, reg)
	if err != nil {
		return errors.Join(err, closeAPI(ctx), stopWorker(ctx))
	}

	return s.serve(ctx, s.tracing.handler(handler), ready, closeAPI, stopWorker, stopMetrics)
}

// openEgress makes the client that posts to endpoints.
func (s *server) openEgress() (err error) {
	slots := s.flags.MaxWorkers + s.flags.MaxBulkWorkers + s.flags.MaxSlowWorkers + s.flags.MaxLimitedWorkers

	s.egress, err = egress.New(egress.Config{
		Allow: s.allow, Ports: s.ports, HTTPSOnly: s.flags.EgressAllowHTTP == "false", RootCAs: s.authorities,
		KeepBytes: s.flags.ResponseBytes,
		// A connection for each attempt that may be under way, also to a single host: making a new one costs more than
		// a whole request on one that is there.
		MaxIdleConns: slots, MaxIdlePerHost: slots,
	})
	if err != nil {
		return fmt.Errorf("configuring egress: %w", err)
	}
	return nil
}

// openPool opens a pool whose database no endpoint can be: the address of each connection is blocked, so also that of a
// server that took over.
func (s *server) openPool(
	ctx context.Context, name string, maxConns int32, changes ...func(*pgxpool.Config),
) (*pgxpool.Pool, error) {
	return openPool(ctx, s.databaseURL, name, maxConns, append(changes, func(cfg *pgxpool.Config) {
		cfg.ConnConfig.Tracer = s.tracing.queries()
		register := cfg.AfterConnect
		cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			if tcp, ok := conn.PgConn().Conn().RemoteAddr().(*net.TCPAddr); ok {
				s.egress.Block(tcp.AddrPort())
			}
			return register(ctx, conn)
		}
	})...)
}

// startWorker starts the workers if this process has that role. stop is never nil.
func (s *server) startWorker(ctx context.Context, reg prometheus.Registerer,
) (w *jobs.Client, stop func(context.Context) error, err error) {
	none := func(context.Context) error { return nil }
	if !s.roles.worker {
		return nil, none, nil
	}

	// A kept plan may be from a time with few rows. What runs often enough to need one has pools of its own (package
	// jobs).
	pool, err := s.openPool(ctx, "outhook worker", workerConns, func(cfg *pgxpool.Config) {
		prepare := cfg.AfterConnect
		cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			if err := prepare(ctx, conn); err != nil {
				return err
			}
			_, err := conn.Exec(ctx, "SET plan_cache_mode = force_custom_plan")
			return err
		}
	})
	if err != nil {
		return nil, none, err
	}

	owns, err := db.New().OwnsSchema(ctx, pool)
	if err != nil {
		pool.Close()
		return nil, none, fmt.Errorf("looking up the schema's owner: %w", err)
	}

	ownerPool, err := s.openOwnerPool(ctx, pool, owns)
	if err != nil {
		pool.Close()
		return nil, none, err
	}

	closePools := func() {
		ownerPool.Close()
		pool.Close()
	}

	w, err = jobs.New(s.flags.setEndpoints(jobs.Config{ //nolint:contextcheck // its groups live until Stop
		Pool: pool, OwnerPool: ownerPool, NotOwner: !owns,
		Keyring: s.keyring, Egress: s.egress, Schedule: s.schedule, MaxRetryAfter: s.flags.MaxRetryAfter,
		Retention: time.Duration(s.flags.Retention), PayloadRetention: time.Duration(s.flags.PayloadRetention),
		SettledJobRetention: s.flags.JobRetention, KeptJobRate: cmp.Or(s.flags.KeptJobRate, -1),
		MaxWorkers: s.flags.MaxWorkers, MaxBulkWorkers: s.flags.MaxBulkWorkers, BulkRate: s.flags.BulkRate,
		MaxSlowWorkers: s.flags.MaxSlowWorkers, MaxLimitedWorkers: s.flags.MaxLimitedWorkers, MaxLanes: s.flags.MaxLanes,
		Version: version(), Logger: s.logger, Metrics: reg, Tracing: s.tracing.tracerProvider(),
	}))

	if err == nil {
		err = w.Start(ctx)
	}
	if err != nil {
		closePools()
		return nil, none, fmt.Errorf("starting workers: %w", err)
	}

	return w, func(ctx context.Context) error {
		defer closePools()
		return w.Stop(ctx)
	}, nil
}

// openOwnerPool returns a pool of the schema's owner, which is the workers' own unless OUTHOOK_OWNER_DATABASE_URL is
// set.
func (s *server) openOwnerPool(ctx context.Context, pool *pgxpool.Pool, owns bool) (*pgxpool.Pool, error) {
	if s.ownerURL == "" {
		if !owns {
			s.logger.WarnContext(ctx, "this database user does not own the schema: "+
				"old partitions stay until OUTHOOK_OWNER_DATABASE_URL is set")
		}
		return pool, nil
	}

	ownerPool, err := openPool(ctx, s.ownerURL, "outhook owner", ownerConns)
	if err != nil {
		return nil, fmt.Errorf("OUTHOOK_OWNER_DATABASE_URL: %w", err)
	}

	owns, err = db.New().OwnsSchema(ctx, ownerPool)
	if err == nil && !owns {
		err = errors.New("this user does not own the schema: give the one that runs `outhook migrate up`")
	}
	if err != nil {
		ownerPool.Close()
		return nil, fmt.Errorf("OUTHOOK_OWNER_DATABASE_URL: %w", err)
	}

	return ownerPool, nil
}

// handler returns what is served over HTTP, and what ends it.
func (s *server) handler(ctx context.Context, pool *pgxpool.Pool, worker *jobs.Client, reg prometheus.Registerer,
) (http.Handler, func(context.Context) error, error) {
	cfg := api.Config{
		Pool: pool, Keyring: s.keyring, CheckURL: s.egress.CheckURL, APIKey: s.flags.APIKey, Version: version(),
		MaxPayloadBytes: s.flags.MaxPayloadBytes, MaxBatchBytes: s.flags.MaxBatchBytes,
		Retention: time.Duration(s.flags.Retention), MaxEndpoints: s.flags.MaxEndpoints,
		MaxRequests: s.flags.MaxRequests, RateLimit: s.flags.RateLimit, FailedLogins: s.flags.FailedLogins,
		TrustedProxies: s.proxies, Logger: s.logger, Metrics: reg,
		CheckSchema: func(ctx context.Context) error { return migrations.Check(ctx, pool) },
	}

	if cfg.FailedLogins == 0 {
		cfg.FailedLogins = -1
	}
	if worker != nil {
		cfg.Ready = worker.Ready
	}

	if !s.roles.api {
		return api.NewHealth(cfg), //nolint:contextcheck // its group holds nothing when idle
			func(context.Context) error { return nil }, nil
	}

	if s.flags.RiverUI {
		ui, err := newRiverUI(ctx, pool, s.logger)
		if err != nil {
			return nil, nil, err
		}
		cfg.UI = ui
	}

	a, err := api.New(cfg) //nolint:contextcheck // its groups live until Close
	if err != nil {
		return nil, nil, fmt.Errorf("configuring the API: %w", err)
	}
	return a, a.Close, nil
}

// serve listens until ctx ends and then stops in order: no more requests, then what ingestion holds, then the workers.
func (s *server) serve(
	ctx context.Context, handler http.Handler, ready func(net.Addr),
	closeAPI, stopWorker, stopMetrics func(context.Context) error,
) error {
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return errors.Join(closeAPI(ctx), stopWorker(ctx), stopMetrics(ctx))
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listening on %s: %w (set OUTHOOK_LISTEN to another address)", s.listen, err), stop())
	}

	httpServer := &http.Server{ //nolint:gosec // ConfigureServer sets the timeouts
		Handler: handler, ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	api.ConfigureServer(httpServer)

	group, groupCtx := errgroup.WithContext(ctx)

	group.Go(func() error {
		if err := httpServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving: %w", err)
		}
		return nil
	})

	group.Go(func() error {
		<-groupCtx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return httpServer.Shutdown(ctx)
	})

	s.logger.InfoContext(ctx, "serving", slog.String("address", listener.Addr().String()),
		slog.Bool("api", s.roles.api), slog.Bool("worker", s.roles.worker), slog.String("version", version()))
	if ready != nil {
		ready(listener.Addr())
	}

	err = errors.Join(group.Wait(), stop())
	s.logger.InfoContext(ctx, "stopped")
	return err
}
