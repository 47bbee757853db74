package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
)

// endpoint is a tenant's URL.
type endpoint struct {
	ID              uuid.UUID         `json:"id" format:"uuid"`
	UID             *string           `json:"uid" example:"main" doc:"Your own name for it, usable wherever its id is. Null: none."`
	TenantID        string            `json:"tenant_id" example:"acme"`
	URL             string            `json:"url" example:"https://example.com/webhooks"`
	Description     string            `json:"description"`
	EventTypes      []string          `json:"event_types" nullable:"false" doc:"Empty: all."`
	Filter          filterBody        `json:"filter" doc:"Which events of these types it gets, by their content. Null: all."`
	Labels          []string          `json:"labels" nullable:"false" doc:"It gets the events that have one of these. Empty: all."`
	Format          string            `json:"format" enum:"standard,cloudevents" doc:"cloudevents: its requests are CloudEvents 1.0 in binary mode, with ce- headers beside all others."`
	Ordered         string            `json:"ordered" enum:",block,skip" doc:"Whether it gets its events one at a time, in the order of their ids, and what follows when a schedule is used up: block pauses it, skip goes on. Empty: in any order."`
	Headers         map[string]string `json:"headers"`
	SecretHeaders   []string          `json:"secret_header_names" nullable:"false" doc:"The names of secret_headers. Their values are never shown."`
	TimeoutMS       int32             `json:"timeout_ms" example:"15000"`
	MaxInFlight     int32             `json:"max_in_flight" example:"32"`
	RateLimit       *rateLimit        `json:"rate_limit" doc:"Null: none."`
	Lane            lane              `json:"lane" doc:"Where its deliveries wait."`
	RetrySchedule   []string          `json:"retry_schedule" nullable:"true" doc:"The delays between attempts. Null: the server's."`
	RetryJitter     *float64          `json:"retry_jitter" nullable:"true" example:"0.1" doc:"How much longer a delay may become, as a fraction of it. Null: the server's."`
	Status          string            `json:"status" enum:"enabled,paused,disabled" doc:"paused: deliveries are made and wait. disabled: none are made, and those that waited are cancelled."`
	StatusReason    string            `json:"status_reason" doc:"Why the status is what it is. It begins with api (set here), gone (it answered 410), order (it gets its events in order, and one has used up its schedule), failing (it failed for too long) or probe (it was disabled for failing and works again)."`
	StatusChangedAt time.Time         `json:"status_changed_at"`
	Health          endpointHealth    `json:"health"`
	Metadata        map[string]string `json:"metadata"`
	CreatedAt       time.Time         `json:"created_at"`
	UpdatedAt       time.Time         `json:"updated_at"`
	Secret          string            `json:"secret,omitempty" doc:"Only in the answer that creates the endpoint: keep it, it is not shown again."`
	Changed         []string          `json:"changed,omitempty" nullable:"false" example:"[\"url\"]" doc:"Only in the answer of a PUT to an endpoint that exists, and only if something is different: the members that it has changed."`
}

type endpointOutput struct {
	EntityTag

	Body endpoint
}

type getEndpointInput struct {
	EndpointInput

	IfNoneMatch string `header:"If-None-Match" doc:"Answer 304, without a body, if the endpoint has one of these ETags."`
}

type getEndpointOutput struct {
	EntityTag

	Status int
	Body   endpoint
}

type changeEndpointInput struct {
	EndpointInput
	Preconditions
}

type postEndpointOutput struct {
	EntityTag

	Location string `header:"Location"`
	Body     endpoint
}

func locationOf(row db.Endpoint) string { return "/api/endpoints/" + row.ID.String() }

func newEndpointAnswer(r db.Endpoint) (endpoint, error) {
	e := endpoint{
		ID: r.ID, UID: r.UID, TenantID: r.TenantID, URL: r.URL, Description: r.Description, EventTypes: r.EventTypes,
		Filter: filterBody{r.Filter}, Labels: r.Labels, Format: r.Format, Ordered: r.Ordered,
		TimeoutMS: r.TimeoutMS, MaxInFlight: r.MaxInFlight, RateLimit: newRateLimit(r), Lane: newLane(r),
		RetrySchedule: retry.Texts(r.RetrySchedule), RetryJitter: r.RetryJitter,
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

// endpointOperation returns an operation of endpoints. path begins behind theirs.
func endpointOperation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/api/endpoints" + path, Tags: []string{tagEndpoints}, Summary: summary,
		Description: description,
	}
}

func (s *Server) postEndpoint(ctx context.Context, _ *struct{}) (*postEndpointOutput, error) {
	edit, err := s.decodeNewEndpoint(ctx, bodyOf(ctx), nil)
	if err != nil {
		return nil, err
	}

	var row db.Endpoint
	err = s.changeEndpoints(ctx, func(tx pgx.Tx) error {
		row, err = s.insertEndpoint(ctx, tx, edit, "create-endpoint")
		return err
	})
	if err != nil {
		return nil, err
	}

	out := &postEndpointOutput{Location: locationOf(row), EntityTag: entityTagOf(row)}
	if out.Body, err = newEndpointAnswer(row); err != nil {
		return nil, err
	}
	out.Body.Secret = edit.secret.Reveal()
	return out, nil
}

func (s *Server) getEndpoint(ctx context.Context, in *getEndpointInput) (*getEndpointOutput, error) {
	row, err := s.lookUpEndpoint(ctx, s.cfg.Pool, in.EndpointInput)
	if err != nil {
		return nil, err
	}

	if in.IfNoneMatch != "" && matches(in.IfNoneMatch, etagOf(row), true) {
		return &getEndpointOutput{Status: http.StatusNotModified, EntityTag: entityTagOf(row)}, nil
	}
	out, err := s.answerEndpoint(ctx, row)
	if err != nil {
		return nil, err
	}
	return &getEndpointOutput{Status: http.StatusOK, EntityTag: out.EntityTag, Body: out.Body}, nil
}

// lookUpEndpoint returns the endpoint that a path names, if it is to be seen by the request's key.
func (s *Server) lookUpEndpoint(ctx context.Context, conn db.DBTX, in EndpointInput) (row db.Endpoint, err error) {
	id, err := endpointID(ctx, conn, in.ID, "path.id", in.TenantInput)
	if err != nil {
		return row, err
	}
	if row, err = db.New().GetEndpoint(ctx, conn, id); err != nil {
		return row, err
	}
	return row, checkVisible(ctx, row.TenantID)
}

// answerEndpoint answers with an endpoint and its health.
func (s *Server) answerEndpoint(ctx context.Context, row db.Endpoint) (*endpointOutput, error) {
	healths, err := healthsOf(ctx, s.cfg.Pool, []db.Endpoint{row})
	if err != nil {
		return nil, err
	}
	e, err := newEndpointAnswer(row)
	e.Health = newEndpointHealth(row.Status, healths[row.ID])
	return &endpointOutput{EntityTag: entityTagOf(row), Body: e}, err
}

func (s *Server) patchEndpoint(ctx context.Context, in *changeEndpointInput) (*endpointOutput, error) {
	var after db.Endpoint
	err := s.changeEndpoints(ctx, func(tx pgx.Tx) error {
		before, err := lockNamedEndpoint(ctx, tx, in.EndpointInput)
		if err != nil {
			return err
		}
		if err := in.check(objectEndpoint, etagOf(before)); err != nil {
			return err
		}

		edit, err := s.decodeChange(bodyOf(ctx), before)
		if err != nil {
			return err
		}
		if err := checkOperates(ctx, edit); err != nil {
			return err
		}
		after, err = s.updateEndpoint(ctx, tx, before, edit, "update-endpoint")
		return err
	})
	if err != nil {
		return nil, err
	}

	return s.answerEndpoint(ctx, after)
}

// checkOperates refuses to a key with the scope operate what is more than to pause and to enable: disabling cancels
// what waits.
func checkOperates(ctx context.Context, edit *endpointEdit) error {
	if requestOf(ctx).key.scope != db.KeyScopeOperate {
		return nil
	}
	if slices.Equal(edit.members, []string{"status"}) && edit.row.Status != db.EndpointStatusDisabled {
		return nil
	}
	return errForbidden(tenantAccess)
}

// lockNamedEndpoint returns the endpoint that a path names and the request's key may change.
func lockNamedEndpoint(ctx context.Context, tx pgx.Tx, in EndpointInput) (row db.Endpoint, err error) {
	id, err := endpointID(ctx, tx, in.ID, "path.id", in.TenantInput)
	if err != nil {
		return row, err
	}
	return lockEndpoint(ctx, tx, id)
}

func lockEndpoint(ctx context.Context, tx pgx.Tx, id uuid.UUID) (db.Endpoint, error) {
	row, err := db.New().LockEndpoint(ctx, tx, id)
	if err != nil {
		return row, err
	}
	return row, checkVisible(ctx, row.TenantID)
}

func (s *Server) deleteEndpoint(ctx context.Context, in *changeEndpointInput) (*struct{}, error) {
	err := s.change(ctx, func(tx pgx.Tx) error {
		row, err := lockNamedEndpoint(ctx, tx, in.EndpointInput)
		if err != nil {
			return err
		}
		if err := in.check(objectEndpoint, etagOf(row)); err != nil {
			return err
		}

		if _, err := db.New().DeleteEndpoint(ctx, tx, row.ID); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, done{"delete-endpoint", row.TenantID, objectEndpoint, row.ID.String(), nil}); err != nil {
			return err
		}

		return db.New().DeleteEndpointSecrets(ctx, tx, row.ID)
	})
	return nil, err
}
