package api

import (
	"cmp"
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
)

type cancelEventInput struct {
	ID       string `query:"id" maxLength:"36" doc:"The event's id. Absent: the one with the idempotency key."`
	TenantID string `query:"tenant_id" maxLength:"255" example:"acme" doc:"Whose key. Absent: the tenant's that the API key is bound to."`
	Key      string `query:"key" maxLength:"255" example:"reminder-17" doc:"The idempotency key that the event was published with."`
}

// cancellation is what was taken back.
type cancellation struct {
	ID        uuid.UUID `json:"id" format:"uuid" doc:"The event's id."`
	Cancelled int32     `json:"cancelled" example:"1" doc:"How many of its deliveries were pending and are cancelled now: 0 if it was taken back before."`
}

type cancelEventOutput struct{ Body cancellation }

func (s *Server) addEventCancel() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "cancel-event", Method: http.MethodPost, Path: "/api/events/cancel", Tags: []string{tagEvents},
			Summary: "Take back an event that is to be delivered later",
			Description: "Named by its id or its idempotency key, and before its deliver_at. The event stays in the log and " +
				"keeps its key; its deliveries are cancelled, reason withdrawn, and it is delivered to nobody any more. " +
				"From deliver_at on it is refused (409).",
		},
		errors: codes{problem.NotFound, problem.EventDue},
		access: publishAccess, timeout: s.cfg.Timeouts.Query,
	}, s.cancelEvent)
}

func (s *Server) cancelEvent(ctx context.Context, in *cancelEventInput) (*cancelEventOutput, error) {
	out := &cancelEventOutput{}
	err := s.change(ctx, func(tx pgx.Tx) error {
		of, err := in.find(ctx, tx)
		if err != nil {
			return err
		}
		row, err := db.New().CancelEvent(ctx, tx, of.tenantID, of.key, of.id)
		switch {
		case err != nil:
			return err
		case !row.Withdrawn:
			return problem.New(problem.EventDue, "the event is not for later, or its deliver_at has come: "+
				"cancel its deliveries one by one")
		}

		out.Body = cancellation{ID: row.ID, Cancelled: row.Cancelled}
		if row.Repeated {
			return nil
		}
		return s.audit(ctx, tx, done{"cancel-event", of.tenantID, objectEvent, row.ID.String(), nil})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// eventName names an event, by its idempotency key or by its id.
type eventName struct {
	tenantID string
	key      *string
	id       *uuid.UUID
}

func (in *cancelEventInput) find(ctx context.Context, tx pgx.Tx) (of eventName, err error) {
	if (in.ID == "") == (in.Key == "") {
		return of, problem.Invalid("query.id", "must be given, or a key, and not both")
	}
	if in.ID != "" {
		id, err := uuid.Parse(in.ID)
		if err != nil {
			return of, problem.Invalid("query.id", "must be an event's id")
		}

		of.id = &id
		if of.tenantID, err = db.New().GetEventTenant(ctx, tx, id); err != nil {
			return of, err
		}
		return of, checkVisible(ctx, of.tenantID)
	}

	of.key, of.tenantID = &in.Key, cmp.Or(in.TenantID, requestOf(ctx).key.tenantID)
	if of.tenantID == "" {
		return of, problem.Invalid("query.tenant_id",
			"is required with a key, unless the API key is bound to a tenant")
	}
	return of, checkOwn(ctx, of.tenantID, "query.tenant_id")
}
