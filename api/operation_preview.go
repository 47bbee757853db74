package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/jobs/ledger"
	joboperation "github.com/outhook/outhook/jobs/operation"
)

// preview is what an operation would do.
type preview struct {
	Since         time.Time `json:"since"`
	Until         time.Time `json:"until" doc:"Give it to the order too, so that it is of the same time."`
	ReplayCount   int64     `json:"replay_count" doc:"How many deliveries it would give to the workers; at least so many, unless complete is true."`
	EndpointCount int64     `json:"endpoint_count" doc:"Of how many endpoints those are."`
	SkipCount     int64     `json:"skip_count" doc:"How many match and would be left alone: their endpoint is disabled or deleted, or their payload is gone."`
	Complete      bool      `json:"complete" doc:"False: counting stopped, after 100,000 deliveries that it looked at or after 2 seconds, and there may be more."`
}

type previewOutput struct{ Body preview }

// RangeInput is what both previews take.
type RangeInput struct {
	Since      moment   `query:"since" required:"true" doc:"Deliveries that were settled at this time or later."`
	Until      moment   `query:"until" doc:"And before this time. Default: now."`
	EventTypes []string `query:"event_types" maxItems:"100" doc:"Only these types, with commas: invoice.paid, or invoice.* for each type below invoice. Default: all."`
}

type previewRecoverInput struct {
	EndpointInput
	RangeInput

	States []string `query:"states" enum:"failed,cancelled" maxItems:"2" doc:"With commas. Default: failed and cancelled."`
	Missed bool     `query:"missed" doc:"Count also the events that were enqueued in this range of time while the endpoint was disabled."`
}

type previewOperationInput struct {
	RangeInput

	TenantID   string   `query:"tenant_id" maxLength:"255" doc:"Only deliveries of this tenant. Default: of any, or of the one that the key is bound to."`
	EndpointID string   `query:"endpoint_id" maxLength:"256" doc:"Only deliveries to this endpoint: its id, or its uid."`
	States     []string `query:"states" enum:"failed,cancelled,succeeded" maxItems:"3" doc:"With commas. Default: failed."`
}

func (s *Server) addPreviews() {
	const how = "Nothing is ordered. It counts as the operation would look through the log, within bounds: if complete " +
		"is false, there are at least so many. What is settled or changes meanwhile makes a difference."

	register(s, route{
		Operation: endpointOperation("preview-recover", http.MethodGet, "/{id}/recover/preview",
			"Count what recovering an endpoint would replay (a dry run)", how),
		errors: codes{problem.NotFound, problem.EndpointGone},
		access: readAccess, portal: grant.Replay, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.previewRecover)
	register(s, route{
		Operation: huma.Operation{
			OperationID: "preview-operation", Method: http.MethodGet, Path: "/api/operations/preview",
			Tags: []string{tagOperations}, Summary: "Count what an operation would replay (a dry run)", Description: how,
		},
		access: readAccess, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.previewOperation)
}

// filter reads the parameters, which are checked as the members of a body are.
func (in *RangeInput) filter(states []string, ofEndpoint bool) *filterEdit {
	e := &filterEdit{at: "query", ofEndpoint: ofEndpoint}
	if since := bound(in.Since); since != nil {
		e.Since = *since
	}
	e.Until = bound(in.Until)

	list, _ := json.Marshal(in.EventTypes) // texts can be written
	e.setEventTypes(list)
	for _, state := range states {
		e.States = append(e.States, db.DeliveryState(state))
	}
	return e
}

func (s *Server) previewRecover(ctx context.Context, in *previewRecoverInput) (*previewOutput, error) {
	e := in.filter(in.States, true)
	e.Missed = in.Missed
	if err := e.check(); err != nil {
		return nil, err
	}

	n, err := s.lookUpEndpoint(ctx, s.cfg.Pool, in.EndpointInput)
	if err != nil {
		return nil, err
	}
	if n.Status == db.EndpointStatusDisabled {
		return nil, ledger.ErrEndpointGone
	}
	e.TenantID, e.EndpointID = &n.TenantID, &n.ID
	return s.preview(ctx, joboperation.KindRecover, e)
}

func (s *Server) previewOperation(ctx context.Context, in *previewOperationInput) (*previewOutput, error) {
	f := newFilters(ctx)
	e := in.filter(in.States, false)
	e.TenantID, e.endpoint = f.tenant(in.TenantID), in.EndpointID
	if f.err != nil {
		return nil, f.err
	}
	if err := e.check(); err != nil {
		return nil, err
	}

	if err := s.read(ctx, func(tx pgx.Tx) error { return e.findEndpoint(ctx, tx) }); err != nil {
		return nil, err
	}
	return s.preview(ctx, joboperation.KindReplay, e)
}

func (s *Server) preview(ctx context.Context, kind string, e *filterEdit) (*previewOutput, error) {
	c, err := joboperation.Preview(ctx, s.cfg.Pool, kind, e.Filter)
	if err != nil {
		return nil, err
	}
	return &previewOutput{preview{
		Since: c.Since.UTC(), Until: c.Until.UTC(), ReplayCount: c.Replayed, EndpointCount: c.Endpoints,
		SkipCount: c.Skipped, Complete: c.Complete,
	}}, nil
}
