package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
)

// maxHost is how much of a long host name a client id has: River takes 100 bytes of it at most.
const maxHost = 60

type serveCmd struct {
	databaseFlags
	serverFlags

	Listen           string `env:"OUTHOOK_LISTEN" default:"${listen}" help:"The address to listen on. A worker without the API serves /livez and /readyz on it."`
	OwnerDatabaseURL string `env:"OUTHOOK_OWNER_DATABASE_URL" secret:"url" help:"The same database as the schema's owner, if OUTHOOK_DATABASE_URL has a user with the role outhook_server: workers remove old partitions with it."`

	ShutdownDelay time.Duration `env:"OUTHOOK_SHUTDOWN_DELAY" default:"${shutdown_delay}" help:"For how long a process that is to stop, and says so at /readyz, still takes requests: as long as the load balancer before it needs to hear of it. 0s to ${max_shutdown_delay}, of the ${stop_timeout} that a stop may take."`

	Roles []string `env:"OUTHOOK_ROLES" default:"api,worker" help:"api, worker, or both."`
}

// Run serves until ctx ends, then stops in order. A SIGHUP reloads what can change without a restart.
func (s *serveCmd) Run(c *command) error {
	logger, level := s.logger(c.stderr, "json")
	id := clientID(time.Now())
	logger = logger.With(slog.String("client_id", id))

	cfg, err := s.configured(logger)
	if err != nil {
		return usageError{err}
	}
	cfg.Jobs.River.ClientID = id

	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	return serve(c.ctx, cfg, func(srv *server.Server, _ net.Addr) {
		go reloader{args: c.args, server: srv, level: level, logger: logger}.run(c.ctx, hangups)
	})
}

// clientID names this process in its log and, if it is a worker, in the database: the host and the time of the start.
func clientID(started time.Time) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	host = strings.ReplaceAll(host[:min(len(host), maxHost)], ".", "_")
	return host + "_" + strings.ReplaceAll(started.UTC().Format("2006_01_02T15_04_05.000000"), ".", "_")
}

// configured returns the server that the flags describe.
func (s *serveCmd) configured(logger *slog.Logger) (cfg server.Config, err error) {
	s.EgressPorts = cmp.Or(s.EgressPorts, ports(server.DefaultConfig().Egress.Ports))
	if s.EgressAllowHTTP == "auto" {
		s.EgressAllowHTTP = "false"
	}
	if s.SvixAPI == "auto" {
		s.SvixAPI = "false"
	}

	switch s.Portal {
	case "auto":
		s.Portal = "false"
	case "true":
		if s.PublicURL == "" {
			return cfg, errNoPublicURL
		}
	}

	if cfg, err = s.config(logger); err != nil {
		return cfg, err
	}

	if cfg.Roles, err = parseRoles(s.Roles); err != nil {
		return cfg, err
	}

	cfg.Database = server.Database{URL: s.DatabaseURL, OwnerURL: s.OwnerDatabaseURL}
	cfg.Listen = s.Listen
	if cfg.ShutdownDelay = s.ShutdownDelay; s.ShutdownDelay < 0 || s.ShutdownDelay > server.MaxShutdownDelay {
		return cfg, fmt.Errorf("OUTHOOK_SHUTDOWN_DELAY must be 0s to %s", server.MaxShutdownDelay)
	}
	return cfg, nil
}

func (s *serveCmd) check() error {
	if s.DatabaseURL == "" {
		return errNoDatabase
	}
	_, err := s.configured(slog.New(slog.DiscardHandler))
	return err
}

// serve runs a server until ctx ends. ready is called with it and its address once everything runs.
func serve(ctx context.Context, cfg server.Config, ready func(*server.Server, net.Addr)) (err error) {
	cfg.Telemetry.MaxQueuedSpans = maxSpansFrom(os.Getenv, cfg.Telemetry.MaxQueuedSpans)
	if cfg.Telemetry.Spans, err = spansFrom(os.Getenv); err != nil {
		return err
	}

	srv, err := server.New(cfg)
	if err != nil {
		return err
	}
	return named(srv.Run(ctx, func(addr net.Addr) { ready(srv, addr) }))
}
