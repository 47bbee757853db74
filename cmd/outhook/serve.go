package main

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"os"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
)

type serveCmd struct {
	databaseFlags
	serverFlags

	Listen           string `env:"OUTHOOK_LISTEN" default:"${listen}" help:"The address to listen on. A worker without the API serves /livez and /readyz on it."`
	OwnerDatabaseURL string `env:"OUTHOOK_OWNER_DATABASE_URL" secret:"url" help:"The same database as the schema's owner, if OUTHOOK_DATABASE_URL has a user with the role outhook_server: workers remove old partitions with it."`

	Roles []string `env:"OUTHOOK_ROLES" default:"api,worker" help:"api, worker, or both."`
}

// Run serves until ctx ends, then stops in order.
func (s *serveCmd) Run(c *command) error {
	cfg, err := s.configured(s.logger(c.stderr, "json"))
	if err != nil {
		return usageError{err}
	}

	return serve(c.ctx, cfg, nil)
}

// configured returns the server that the flags describe.
func (s *serveCmd) configured(logger *slog.Logger) (cfg server.Config, err error) {
	s.EgressPorts = cmp.Or(s.EgressPorts, ports(server.DefaultConfig().Egress.Ports))
	if s.EgressAllowHTTP == "auto" {
		s.EgressAllowHTTP = "false"
	}

	if cfg, err = s.config(logger); err != nil {
		return cfg, err
	}

	if cfg.Roles, err = parseRoles(s.Roles); err != nil {
		return cfg, err
	}

	cfg.Database = server.Database{URL: s.DatabaseURL, OwnerURL: s.OwnerDatabaseURL}
	cfg.Listen = s.Listen
	return cfg, nil
}

func (s *serveCmd) check() error {
	if s.DatabaseURL == "" {
		return errNoDatabase
	}
	_, err := s.configured(slog.New(slog.DiscardHandler))
	return err
}

// serve runs a server until ctx ends. ready, if not nil, is called with the address once everything runs.
func serve(ctx context.Context, cfg server.Config, ready func(net.Addr)) (err error) {
	if cfg.Telemetry.Spans, err = spansFrom(os.Getenv); err != nil {
		return err
	}

	srv, err := server.New(cfg)
	if err != nil {
		return err
	}
	return named(srv.Run(ctx, ready))
}
