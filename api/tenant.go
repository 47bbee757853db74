package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	joberasure "github.com/outhook/outhook/jobs/erasure"
)

// erasure is an order to erase a tenant's data, and what is done of it.
type erasure struct {
	ID            uuid.UUID  `json:"id" format:"uuid"`
	TenantID      string     `json:"tenant_id" example:"acme"`
	State         string     `json:"state" enum:"running,completed" doc:"It takes at least 75 s: requests that were under way are waited for."`
	RequestedAt   time.Time  `json:"requested_at" doc:"What was enqueued until then is erased."`
	CompletedAt   *time.Time `json:"completed_at" doc:"Null while it is running."`
	EndpointCount int64      `json:"endpoint_count" doc:"Endpoints that were deleted, with their secrets."`
	DeliveryCount int64      `json:"delivery_count" doc:"Pending deliveries that were cancelled, reason erased."`
	PayloadCount  int64      `json:"payload_count" doc:"Events whose payloads were erased."`
	AttemptCount  int64      `json:"attempt_count" doc:"Attempts whose headers, answers and addresses were erased."`
	KeyCount      int64      `json:"key_count" doc:"Idempotency keys that were deleted."`
}

// TenantPath names a tenant in a path.
type TenantPath struct {
	TenantID string `path:"tenant_id" minLength:"1" maxLength:"255" doc:"The tenant, percent-encoded."`
}

// Resolve decodes the tenant, which Echo leaves as it is where its encoding is not the usual one (a/b as a%2Fb).
func (in *TenantPath) Resolve(ctx huma.Context) []error {
	if u := ctx.URL(); u.RawPath != "" {
		tenantID, err := url.PathUnescape(in.TenantID)
		if err != nil {
			return []error{problem.Invalid("path.tenant_id", "must be percent-encoded")}
		}
		in.TenantID = tenantID
	}
	return nil
}

// label returns the tenant that a path names, whoever may see it.
func (in *TenantPath) label(ctx context.Context) (string, error) {
	f := newFilters(ctx)
	f.text("path.tenant_id", in.TenantID)
	return in.TenantID, f.err
}

type erasureInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The erasure's id."`
}

type eraseOutput struct {
	Location string `header:"Location"`
	Body     erasure
}

type erasureOutput struct{ Body erasure }

func (s *Server) addTenants() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "erase-tenant", Method: http.MethodDelete, Path: "/api/tenants/{tenant_id}/data",
			Tags: []string{tagTenants}, Summary: "Erase a tenant's data", DefaultStatus: http.StatusAccepted,
			Description: "Orders that everything the tenant has until now is erased, and answers at once: its entry, its " +
				"endpoints with what they have been and their secrets, the payloads of its events, what attempts say of its " +
				"receivers, its endpoints' health, its operations, its idempotency keys, and the answers that are " +
				"stored for it. Pending deliveries are cancelled, and the API keys that are bound to it revoked. " +
				"Ids, types, times, states and counts stay in the log until the retention ends. What is enqueued " +
				"later is not erased. A second order while one is running starts that one anew.",
		},
		access: adminAccess, timeout: s.cfg.Timeouts.Query,
	}, s.eraseTenant)

	register(s, route{
		Operation: huma.Operation{
			OperationID: "get-erasure", Method: http.MethodGet, Path: "/api/erasures/{id}", Tags: []string{tagTenants},
			Summary: "See how far an erasure is",
		},
		errors: codes{problem.NotFound},
		access: adminAccess, timeout: s.cfg.Timeouts.Query,
	}, s.getErasure)
}

func newErasure(r db.TenantErasure) erasure {
	e := erasure{
		ID: r.ID, TenantID: r.TenantID, State: "running",
		RequestedAt: r.RequestedAt.UTC(), CompletedAt: pg.UTC(r.CompletedAt),
		EndpointCount: r.EndpointCount, DeliveryCount: r.DeliveryCount, PayloadCount: r.PayloadCount,
		AttemptCount: r.AttemptCount, KeyCount: r.KeyCount,
	}

	if e.CompletedAt != nil {
		e.State = "completed"
	}
	return e
}

func (s *Server) eraseTenant(ctx context.Context, in *TenantPath) (*eraseOutput, error) {
	tenantID, err := in.label(ctx)
	if err != nil {
		return nil, err
	}

	var row db.TenantErasure
	err = s.change(ctx, func(tx pgx.Tx) (err error) {
		if row, err = joberasure.Order(ctx, tx, tenantID); err != nil {
			return err
		}
		detail := map[string]any{"erasure_id": row.ID}
		return s.audit(ctx, tx, done{"erase-tenant", tenantID, objectTenant, tenantID, detail})
	})
	if err != nil {
		return nil, err
	}

	return &eraseOutput{Location: "/api/erasures/" + row.ID.String(), Body: newErasure(row)}, nil
}

func (s *Server) getErasure(ctx context.Context, in *erasureInput) (*erasureOutput, error) {
	row, err := db.New().GetErasure(ctx, s.cfg.Pool, in.ID)
	if err != nil {
		return nil, err
	}
	return &erasureOutput{Body: newErasure(row)}, nil
}
