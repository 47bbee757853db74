package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/health"
)

// statusReasonAPI is the reason of a status that was set here.
const statusReasonAPI = "api"

// endpoint is a tenant's URL.
type endpoint struct {
	ID              uuid.UUID         `json:"id" format:"uuid"`
	TenantID        string            `json:"tenant_id" example:"acme"`
	URL             string            `json:"url" example:"https://example.com/webhooks"`
	Description     string            `json:"description"`
	EventTypes      []string          `json:"event_types" nullable:"false" doc:"Empty: all."`
	Headers         map[string]string `json:"headers"`
	SecretHeaders   []string          `json:"secret_header_names" nullable:"false" doc:"The names of secret_headers. Their values are never shown."`
	TimeoutMS       int32             `json:"timeout_ms" example:"15000"`
	MaxInFlight     int32             `json:"max_in_flight" example:"32"`
	RateLimit       *rateLimit        `json:"rate_limit" doc:"Null: none."`
	Lane            lane              `json:"lane" doc:"Where its deliveries wait."`
	RetrySchedule   []string          `json:"retry_schedule" nullable:"true" doc:"The delays between attempts. Null: the server's."`
	RetryJitter     *float64          `json:"retry_jitter" nullable:"true" example:"0.1" doc:"How much longer a delay may become, as a fraction of it. Null: the server's."`
	Status          string            `json:"status" enum:"enabled,paused,disabled" doc:"paused: deliveries are made and wait. disabled: none are made, and those that waited are cancelled."`
	StatusReason    string            `json:"status_reason" doc:"Why the status is what it is. It begins with api (set here), gone (it answered 410), failing (it failed for too long) or probe (it was disabled for failing and works again)."`
	StatusChangedAt time.Time         `json:"status_changed_at"`
	Health          endpointHealth    `json:"health"`
	Metadata        map[string]string `json:"metadata"`
	CreatedAt       time.Time         `json:"created_at"`
	UpdatedAt       time.Time         `json:"updated_at"`
	Secret          string            `json:"secret,omitempty" doc:"Only in the answer that creates the endpoint: keep it, it is not shown again."`
}

type endpointInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The endpoint's id."`
}

type endpointOutput struct{ Body endpoint }

type postEndpointOutput struct {
	Location string `header:"Location"`
	Body     endpoint
}

type listEndpointsInput struct {
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Only endpoints of this tenant."`
	Order    string `query:"order" enum:"asc,desc" default:"asc" doc:"By time: asc begins with the oldest."`
	Limit    int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor   string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

// endpointOperation returns an operation of endpoints. path begins behind theirs.
func endpointOperation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/api/endpoints" + path, Tags: []string{tagEndpoints}, Summary: summary,
		Description: description,
	}
}

func (s *Server) addEndpoints() {
	created := endpointOperation("create-endpoint", http.MethodPost, "", "Create an endpoint",
		"The secret that signs its webhooks is in this answer and in no other.")
	created.DefaultStatus = http.StatusCreated
	register(s, route{
		Operation: created, errors: codes{problem.EndpointLimit, problem.RateLimitLimit},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[newEndpoint](), limit: maxSmallBody,
	}, s.postEndpoint)

	register(s, route{
		Operation: endpointOperation("list-endpoints", http.MethodGet, "", "List endpoints, oldest first", ""),
		access:    readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listEndpoints)
	register(s, route{
		Operation: endpointOperation("get-endpoint", http.MethodGet, "/{id}", "Get an endpoint", ""),
		errors:    codes{problem.NotFound},
		access:    readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.getEndpoint)

	register(s, route{
		Operation: endpointOperation("update-endpoint", http.MethodPatch, "/{id}", "Change an endpoint",
			"Members that are not given stay as they are; null sets a member back to its default. "+
				"Disabling cancels the pending deliveries, in the background."),
		errors: codes{problem.NotFound, problem.RateLimitLimit},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query, body: reflect.TypeFor[endpointChange](), limit: maxSmallBody,
	}, s.patchEndpoint)
	register(s, route{
		Operation: endpointOperation("delete-endpoint", http.MethodDelete, "/{id}", "Delete an endpoint",
			"Erases its secrets and cancels its pending deliveries, in the background. "+
				"Its past deliveries and attempts stay until the retention ends."),
		errors: codes{problem.NotFound},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
	}, s.deleteEndpoint)
}

func newEndpointAnswer(r db.Endpoint) (endpoint, error) {
	e := endpoint{
		ID: r.ID, TenantID: r.TenantID, URL: r.URL, Description: r.Description, EventTypes: r.EventTypes,
		TimeoutMS: r.TimeoutMS, MaxInFlight: r.MaxInFlight, RateLimit: newRateLimit(r), Lane: newLane(r),
		RetrySchedule: durations(r.RetrySchedule), RetryJitter: r.RetryJitter,
		Status: string(r.Status), StatusReason: r.StatusReason, StatusChangedAt: r.StatusChangedAt.UTC(),
		Health:    newEndpointHealth(r.Status, db.EndpointHealth{}),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}

	err := errors.Join(json.Unmarshal(r.Headers, &e.Headers), json.Unmarshal(r.Metadata, &e.Metadata))
	if err == nil {
		_, e.SecretHeaders, err = signature.HeaderKeys(r.SecretHeaders)
	}
	if err != nil {
		return e, fmt.Errorf("reading endpoint %s: %w", r.ID, err)
	}
	return e, nil
}

// durations writes a schedule as a client would: 1m, not 1m0s.
func durations(seconds []int32) []string {
	if seconds == nil {
		return nil
	}

	list := make([]string, len(seconds))
	for i, n := range seconds {
		list[i] = (time.Duration(n) * time.Second).String()
		if short, found := strings.CutSuffix(list[i], "m0s"); found {
			list[i] = short + "m"
		}
		if short, found := strings.CutSuffix(list[i], "h0m"); found {
			list[i] = short + "h"
		}
	}
	return list
}

func (s *Server) postEndpoint(ctx context.Context, _ *struct{}) (*postEndpointOutput, error) {
	edit, err := s.decodeNewEndpoint(bodyOf(ctx))
	if err != nil {
		return nil, err
	}
	if err := checkOwn(ctx, edit.row.TenantID, "body.tenant_id"); err != nil {
		return nil, err
	}

	var row db.Endpoint
	err = pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		row, err = s.insertEndpoint(ctx, tx, edit)
		return err
	})
	if err != nil {
		return nil, err
	}

	out := &postEndpointOutput{Location: "/api/endpoints/" + row.ID.String()}
	if out.Body, err = newEndpointAnswer(row); err != nil {
		return nil, err
	}
	out.Body.Secret = edit.secret.Reveal()
	return out, nil
}

// insertEndpoint stores an endpoint and its sealed secret. Two requests at the same time can exceed the limit by one.
func (s *Server) insertEndpoint(ctx context.Context, tx pgx.Tx, edit *endpointEdit) (row db.Endpoint, err error) {
	q, e := db.New(), edit.row
	n, err := q.CountEndpoints(ctx, tx, e.TenantID)
	if err != nil {
		return row, err
	}
	if n >= int64(s.cfg.Limits.MaxEndpoints) {
		return row, problem.New(problem.EndpointLimit,
			fmt.Sprintf("the tenant has %d endpoints already, and that is the limit: delete one first", n))
	}

	row, err = q.InsertEndpoint(ctx, tx, db.InsertEndpointParams{
		TenantID: e.TenantID, URL: e.URL, Description: e.Description, EventTypes: e.EventTypes, Headers: e.Headers,
		TimeoutMS: e.TimeoutMS, RetrySchedule: e.RetrySchedule, RetryJitter: e.RetryJitter, Metadata: e.Metadata,
		MaxInFlight: e.MaxInFlight, RateLimit: e.RateLimit, RatePer: e.RatePer, RateBurst: e.RateBurst,
	})
	if err != nil {
		return row, err
	}

	if row.SecretHeaders, err = s.setSecretHeaders(ctx, tx, row, edit); err != nil {
		return row, err
	}
	if err := openLane(ctx, tx, db.Endpoint{}, row); err != nil {
		return row, err
	}
	keyID, sealed := s.cfg.Keyring.Seal(edit.secret.Bytes(), row.ID[:])
	if err := q.InsertEndpointSecret(ctx, tx, row.ID, keyID, sealed); err != nil {
		return row, err
	}

	return row, s.audit(ctx, tx, done{"create-endpoint", row.TenantID, objectEndpoint, row.ID.String(), nil})
}

// setSecretHeaders stores the secret headers that a body gives, and returns those that the endpoint then has.
func (s *Server) setSecretHeaders(
	ctx context.Context, tx pgx.Tx, row db.Endpoint, edit *endpointEdit,
) (json.RawMessage, error) {
	if edit.secretHeaders == nil {
		return row.SecretHeaders, nil
	}

	sealed, err := s.cfg.Keyring.SealHeaders(edit.secretHeaders, row.ID[:])
	if err != nil {
		return nil, err
	}
	return sealed, db.New().SetSecretHeaders(ctx, tx, sealed, row.ID)
}

func (s *Server) listEndpoints(ctx context.Context, in *listEndpointsInput) (*pageOutput[endpoint], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	after, tenantID := f.after(1)[0], f.tenant(in.TenantID)
	var healths map[uuid.UUID]db.EndpointHealth

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.Endpoint, error) {
		rows, err := db.New().ListEndpoints(ctx, tx, db.ListEndpointsParams{
			TenantID: tenantID, Cursor: after, Ascending: f.ascending, MaxRows: f.maxRows(),
		})
		if err != nil {
			return nil, err
		}
		healths, err = healthsOf(ctx, tx, rows)
		return rows, err
	}, func(r db.Endpoint) (endpoint, error) {
		e, err := newEndpointAnswer(r)
		e.Health = newEndpointHealth(r.Status, healths[r.ID])
		return e, err
	}, func(r db.Endpoint) []uuid.UUID { return []uuid.UUID{r.ID} })
}

func (s *Server) getEndpoint(ctx context.Context, in *endpointInput) (*endpointOutput, error) {
	row, err := db.New().GetEndpoint(ctx, s.cfg.Pool, in.ID)
	if err != nil {
		return nil, err
	}
	if err := checkVisible(ctx, row.TenantID); err != nil {
		return nil, err
	}
	return s.answerEndpoint(ctx, row)
}

// answerEndpoint answers with an endpoint and its health.
func (s *Server) answerEndpoint(ctx context.Context, row db.Endpoint) (*endpointOutput, error) {
	healths, err := healthsOf(ctx, s.cfg.Pool, []db.Endpoint{row})
	if err != nil {
		return nil, err
	}
	e, err := newEndpointAnswer(row)
	e.Health = newEndpointHealth(row.Status, healths[row.ID])
	return &endpointOutput{Body: e}, err
}

func (s *Server) patchEndpoint(ctx context.Context, in *endpointInput) (*endpointOutput, error) {
	var before, after db.Endpoint
	err := pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) (err error) {
		if before, err = lockEndpoint(ctx, tx, in.ID); err != nil {
			return err
		}
		after, err = s.updateEndpoint(ctx, tx, before)
		return err
	})
	if err != nil {
		return nil, err
	}

	return s.answerEndpoint(ctx, after)
}

func (s *Server) updateEndpoint(ctx context.Context, tx pgx.Tx, before db.Endpoint) (row db.Endpoint, err error) {
	edit, err := s.decodeChange(bodyOf(ctx), before)
	if err != nil {
		return row, err
	}

	if len(edit.members) == 0 {
		return before, nil
	}

	e := edit.row
	row, err = db.New().UpdateEndpoint(ctx, tx, db.UpdateEndpointParams{
		ID: e.ID, URL: e.URL, Description: e.Description, EventTypes: e.EventTypes, Headers: e.Headers,
		TimeoutMS: e.TimeoutMS, RetrySchedule: e.RetrySchedule, RetryJitter: e.RetryJitter, Metadata: e.Metadata,
		Status: e.Status, StatusReason: statusReasonAPI,
		MaxInFlight: e.MaxInFlight, RateLimit: e.RateLimit, RatePer: e.RatePer, RateBurst: e.RateBurst,
	})
	if err != nil {
		return row, err
	}
	if row.SecretHeaders, err = s.setSecretHeaders(ctx, tx, row, edit); err != nil {
		return row, err
	}

	detail := map[string]any{"members": edit.members}
	if row.Status != before.Status {
		detail["status"] = row.Status
	}
	d := done{"update-endpoint", row.TenantID, objectEndpoint, row.ID.String(), detail}
	if err := s.audit(ctx, tx, d); err != nil {
		return row, err
	}

	if err := openLane(ctx, tx, before, row); err != nil {
		return row, err
	}
	if before.Status == db.EndpointStatusDisabled && row.Status != before.Status {
		return row, health.Reset(ctx, tx, e.ID)
	}
	return row, nil
}

// lockEndpoint returns an endpoint that the request's key may change.
func lockEndpoint(ctx context.Context, tx pgx.Tx, id uuid.UUID) (db.Endpoint, error) {
	row, err := db.New().LockEndpoint(ctx, tx, id)
	if err != nil {
		return row, err
	}
	return row, checkVisible(ctx, row.TenantID)
}

func (s *Server) deleteEndpoint(ctx context.Context, in *endpointInput) (*struct{}, error) {
	err := pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		row, err := lockEndpoint(ctx, tx, in.ID)
		if err != nil {
			return err
		}

		if _, err := db.New().DeleteEndpoint(ctx, tx, in.ID); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, done{"delete-endpoint", row.TenantID, objectEndpoint, row.ID.String(), nil}); err != nil {
			return err
		}

		return db.New().DeleteEndpointSecrets(ctx, tx, in.ID)
	})
	return nil, err
}
