package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/internal/workforce"
)

type workersOutput struct{ Body workforce.Workforce }

func (s *Server) addWorkers() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-workers", Method: http.MethodGet, Path: "/api/workers", Tags: []string{tagWorkers},
			Summary: "See who works, and what waits",
			Description: "Each list has at most 1,000 items, and counts end at 50,000, so that it costs the same however " +
				"much waits.",
		},
		costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.listWorkers)
}

func (s *Server) listWorkers(ctx context.Context, _ *struct{}) (*workersOutput, error) {
	out := &workersOutput{}

	err := s.read(ctx, func(tx pgx.Tx) (err error) {
		out.Body, err = workforce.Read(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
