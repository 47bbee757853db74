package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/jobs/ledger"
)

type erasePayloadInput struct {
	ID    uuid.UUID `path:"id" format:"uuid" doc:"The event's id."`
	Force bool      `query:"force" doc:"Cancel the event's pending deliveries, reason payload_gone."`
}

func (s *Server) addPayloads() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "erase-payload", Method: http.MethodDelete, Path: "/api/events/{id}/payload",
			Tags: []string{tagEvents}, Summary: "Erase the payload of an event", DefaultStatus: http.StatusNoContent,
			Description: "With what its receivers answered, which may repeat it. The event, its deliveries and attempts " +
				"stay in the log until the retention ends, and its idempotency key stays taken; it can't be delivered " +
				"again. While deliveries are pending it is refused (409), unless force cancels them. An attempt that is " +
				"under way then ends as it does: repeat the order to erase what was answered to it.",
		},
		errors: codes{problem.NotFound, problem.DeliveryPending},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
	}, s.erasePayload)
}

func (s *Server) erasePayload(ctx context.Context, in *erasePayloadInput) (*struct{}, error) {
	options := pgx.TxOptions{BeginQuery: "BEGIN; " + pg.Planned}
	return nil, pgx.BeginTxFunc(ctx, s.cfg.Pool, options, func(tx pgx.Tx) error {
		tenantID, err := db.New().GetEventTenant(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if err := checkVisible(ctx, tenantID); err != nil {
			return err
		}

		erased, err := ledger.ErasePayload(ctx, tx, in.ID, in.Force)
		if err != nil || !erased {
			return err
		}
		detail := map[string]any{"force": in.Force}
		return s.audit(ctx, tx, done{"erase-payload", tenantID, objectEvent, in.ID.String(), detail})
	})
}
