package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"riverqueue.com/riverui"

	"github.com/outhook/outhook/migrations"
)

// riverUI serves River UI below /riverui. Its background counts cost the database something whether somebody looks or
// not, so they start with the first visit.
type riverUI struct {
	ctx     context.Context //nolint:containedctx // the life of the background counts, which a visit starts
	handler *riverui.Handler
	logger  *slog.Logger
	start   sync.Once
}

func newRiverUI(ctx context.Context, pool *pgxpool.Pool, logger *slog.Logger) (*riverUI, error) {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: migrations.Schema, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("configuring River UI: %w", err)
	}

	handler, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(client, nil),
		Logger:    logger,
		Prefix:    "/riverui",
	})
	if err != nil {
		return nil, fmt.Errorf("configuring River UI: %w", err)
	}
	return &riverUI{ctx: ctx, handler: handler, logger: logger}, nil
}

// ServeHTTP serves a page or an API call of River UI.
func (u *riverUI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.start.Do(func() {
		if err := u.handler.Start(u.ctx); err != nil {
			u.logger.ErrorContext(u.ctx, "starting River UI", slog.Any("error", err))
		}
	})
	u.handler.ServeHTTP(w, r)
}
