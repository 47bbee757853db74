package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"reflect"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
)

// reloader reads the settings of a running server again, from where it has them.
type reloader struct {
	args   []string
	server *server.Server
	level  *slog.LevelVar
	logger *slog.Logger
}

// run reloads at each signal until ctx ends. What is wrong is logged, and everything stays as it was.
func (r reloader) run(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			if err := r.reload(ctx); err != nil {
				r.logger.ErrorContext(ctx, "not reloaded, everything stays as it was", slog.Any("error", err))
			}
		}
	}
}

// reload takes over the keys and the level of the log. The arguments and the environment of a process stay as they are,
// so what is new comes from files (see fileOf).
func (r reloader) reload(ctx context.Context) error {
	parsed, err := parse(r.args, io.Discard, io.Discard)
	if err != nil {
		return err
	}
	fresh, ok := reflect.TypeAssert[*serveCmd](parsed.Selected().Target.Addr())
	if !ok {
		return errors.New("the arguments are not those of serve")
	}

	cfg, err := fresh.configured(r.logger)
	if err != nil {
		return err
	}
	if err := r.server.Reload(ctx, cfg.Keyring, cfg.API.Access.APIKey); err != nil {
		return named(err)
	}
	r.level.Set(fresh.LogLevel)
	return nil
}
