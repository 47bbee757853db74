package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/internal/finding"
)

type findInput struct {
	Q        string `query:"q" required:"true" minLength:"1" maxLength:"256" example:"hooks.acme.example" doc:"An event's id, which is the webhook-id that its receivers get; the id of an endpoint or of an operation; an endpoint's uid; a receiver's host, with or without its port, or its URL; an idempotency key; a tenant. Whole, not a part of one."`
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Only what is this tenant's. An idempotency key is found with it only, or with a key that is bound to a tenant: each tenant has its own."`
}

type findOutput struct{ Body finding.Findings }

func (s *Server) addFind() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "find", Method: http.MethodGet, Path: "/api/find", Tags: []string{tagFind},
			Summary: "Find what a text is a name of",
			Description: "Each look is one by an index, whatever there is. Deleted endpoints are not found. A tenant is found " +
				"if it has an entry, endpoints, or events: of the last week, or counted in GET /api/usage.",
		},
		access: readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.find)
}

func (s *Server) find(ctx context.Context, in *findInput) (*findOutput, error) {
	f := newFilters(ctx)
	f.text("query.q", in.Q)
	l := finding.Look{Name: in.Q, TenantID: f.tenant(in.TenantID), IsUID: isUID(in.Q), Days: listDays}
	if f.err != nil {
		return nil, f.err
	}

	out := &findOutput{}
	return out, s.read(ctx, func(tx pgx.Tx) (err error) {
		out.Body, err = l.Run(ctx, tx)
		return err
	})
}
