package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/cursor"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
)

// attempt is one HTTP request of a delivery and its outcome.
type attempt struct {
	EndpointID        uuid.UUID         `json:"endpoint_id" format:"uuid"`
	Number            int32             `json:"number" example:"1" doc:"Counts from 1 without gaps."`
	Trigger           string            `json:"trigger" enum:"scheduled,manual" doc:"manual: the first attempt of a person's order, a replay."`
	StartedAt         time.Time         `json:"started_at" doc:"On the database's clock; its seconds are the header webhook-timestamp."`
	DurationMS        *int32            `json:"duration_ms" doc:"Null if the worker died."`
	Outcome           string            `json:"outcome" enum:"succeeded,rejected,timed_out,unreachable,blocked,unknown" doc:"rejected: the status was not 2xx. blocked: the address may not be reached. unknown: the worker died or was stopped, so the request may have arrived."`
	StatusCode        *int32            `json:"status_code" doc:"Null if no answer came."`
	Error             *string           `json:"error" doc:"A class and a short text."`
	RemoteAddr        *string           `json:"remote_addr" doc:"The address that was connected to."`
	RequestHeaders    map[string]string `json:"request_headers" nullable:"true" doc:"The headers that were sent; the signature and the values of the endpoint's own headers and the event's are redacted."`
	ResponseHeaders   map[string]string `json:"response_headers" nullable:"true" doc:"A few of the answer's headers."`
	ResponseBody      *string           `json:"response_body" doc:"The beginning of the answer's body. In lists only with bodies=true; null without."`
	ResponseTruncated bool              `json:"response_truncated" doc:"True if the answer's body was longer than what is kept of it."`

	Phases
}

// Phases are how long the parts of an attempt took.
type Phases struct {
	DNSUs       *int32 `json:"dns_us" doc:"Microseconds until the name's addresses were found. Null if a connection was there already, if the URL has an address, or if none was found: error tells what was waited for."`
	ConnectUs   *int32 `json:"connect_us" doc:"Microseconds until one of its addresses answered. Null if a connection was there already, or if none was made."`
	TLSUs       *int32 `json:"tls_us" doc:"Microseconds of the TLS handshake. Null if a connection was there already, without TLS, or if it did not end."`
	FirstByteUs *int32 `json:"first_byte_us" doc:"Microseconds from the end of the request to the first byte of the answer: the receiver's own time. Null if none came."`
}

type listAttemptsInput struct {
	ID         uuid.UUID `path:"id" format:"uuid" doc:"The event's id."`
	EndpointID string    `query:"endpoint_id" maxLength:"256" doc:"Only attempts at this endpoint: its id, or its uid."`
	Outcome    []string  `query:"outcome" enum:"succeeded,rejected,timed_out,unreachable,blocked,unknown" maxItems:"6" doc:"Only these outcomes, with commas."`
	StatusCode int32     `query:"status_code" minimum:"100" maximum:"599" doc:"Only attempts that were answered with this status."`
	Order      string    `query:"order" enum:"asc,desc" default:"asc" doc:"By time: asc begins with the oldest."`
	Limit      int32     `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor     string    `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
	Bodies     bool      `query:"bodies" doc:"Give response_body, which may have 16 KiB each."`
}

type listDeliveryAttemptsInput struct {
	DeliveryInput

	Outcome    []string `query:"outcome" enum:"succeeded,rejected,timed_out,unreachable,blocked,unknown" maxItems:"6" doc:"Only these outcomes, with commas."`
	StatusCode int32    `query:"status_code" minimum:"100" maximum:"599" doc:"Only attempts that were answered with this status."`
	Order      string   `query:"order" enum:"asc,desc" default:"asc" doc:"By time: asc begins with the oldest."`
	Limit      int32    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor     string   `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
	Bodies     bool     `query:"bodies" doc:"Give response_body, which may have 16 KiB each."`
}

func (s *Server) addAttempts() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-event-attempts", Method: http.MethodGet, Path: "/api/events/{id}/attempts",
			Tags: []string{tagEvents}, Summary: "List the attempts of an event",
		},
		errors: codes{problem.NotFound},
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.listAttempts)

	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-delivery-attempts", Method: http.MethodGet,
			Path: "/api/deliveries/{event_id}/{endpoint_id}/attempts",
			Tags: []string{tagDelivery}, Summary: "List the attempts of a delivery",
		},
		errors: codes{problem.NotFound},
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.listDeliveryAttempts)
}

func newAttempt(r db.DeliveryAttempt) (attempt, error) {
	a := attempt{
		EndpointID: r.EndpointID, Number: r.Number, Trigger: string(r.Trigger), StartedAt: r.StartedAt.UTC(),
		DurationMS: r.DurationMS, Outcome: string(r.Outcome), StatusCode: r.StatusCode, Error: r.Error,
		RemoteAddr: r.RemoteAddr, ResponseBody: r.ResponseBody, ResponseTruncated: r.ResponseTruncated,
		Phases: Phases{r.DNSUs, r.ConnectUs, r.TLSUs, r.FirstByteUs},
	}

	for _, column := range []struct {
		from json.RawMessage
		to   *map[string]string
	}{{r.RequestHeaders, &a.RequestHeaders}, {r.ResponseHeaders, &a.ResponseHeaders}} {
		if column.from == nil {
			continue
		}
		if err := json.Unmarshal(column.from, column.to); err != nil {
			return a, fmt.Errorf("reading the headers of attempt %d: %w", r.Number, err)
		}
	}

	return a, nil
}

func (s *Server) listAttempts(ctx context.Context, in *listAttemptsInput) (*pageOutput[attempt], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	p := db.ListEventAttemptsParams{
		EventID: in.ID, EndpointID: s.endpointOfEvent(ctx, f, in.EndpointID, in.ID), Outcomes: listOf(in.Outcome),
		StatusCode: numberOrNull(in.StatusCode),
	}

	return s.pageAttempts(ctx, f, p, in.Bodies, func(tx pgx.Tx) (string, error) {
		return db.New().GetEventTenant(ctx, tx, in.ID)
	})
}

// endpointOfEvent returns the endpoint that a list of an event's is filtered by, nil for none. A uid is one of the
// event's tenant.
func (s *Server) endpointOfEvent(ctx context.Context, f *paging, name string, eventID uuid.UUID) *uuid.UUID {
	if name == "" || uuid.Validate(name) == nil {
		return f.endpoint(ctx, s.cfg.Pool, name, nil)
	}

	var tenantID string
	err := s.read(ctx, func(tx pgx.Tx) (err error) {
		tenantID, err = db.New().GetEventTenant(ctx, tx, eventID)
		return err
	})
	if err == nil {
		err = checkVisible(ctx, tenantID)
	}
	if err != nil {
		f.fail(err)
		return nil
	}
	return f.endpoint(ctx, s.cfg.Pool, name, &tenantID)
}

func (s *Server) listDeliveryAttempts(
	ctx context.Context, in *listDeliveryAttemptsInput,
) (*pageOutput[attempt], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	p := db.ListEventAttemptsParams{
		EventID: in.EventID, Outcomes: listOf(in.Outcome), StatusCode: numberOrNull(in.StatusCode),
	}

	endpointID, err := endpointOf(ctx, s.cfg.Pool, in.DeliveryInput)
	if err != nil {
		return nil, err
	}
	p.EndpointID = &endpointID

	return s.pageAttempts(ctx, f, p, in.Bodies, func(tx pgx.Tx) (string, error) {
		row, err := db.New().GetDelivery(ctx, tx, in.EventID, endpointID)
		return row.TenantID, err
	})
}

// pageAttempts lists attempts of what is a tenant's, with the bodies of their answers or without. tenantOf returns
// whose it is, and pgx.ErrNoRows if it is not there.
func (s *Server) pageAttempts(
	ctx context.Context, f *paging, p db.ListEventAttemptsParams, bodies bool, tenantOf func(pgx.Tx) (string, error),
) (*pageOutput[attempt], error) {
	p.Ascending, p.MaxRows = f.ascending, f.maxRows()
	if after := f.after(2); after[0] != nil {
		at, number := cursor.Unpack(*after[0])
		p.AfterStartedAt, p.AfterNumber, p.AfterEndpointID = &at, &number, after[1]
	}

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.DeliveryAttempt, error) {
		tenantID, err := tenantOf(tx)
		if err != nil {
			return nil, err
		}
		if err := checkVisible(ctx, tenantID); err != nil {
			return nil, err
		}
		return db.New().ListEventAttempts(ctx, tx, p)
	}, func(r db.DeliveryAttempt) (attempt, error) {
		if !bodies || !requestOf(ctx).key.seesPayloads() {
			r.ResponseBody = nil
		}
		return newAttempt(r)
	}, func(r db.DeliveryAttempt) []uuid.UUID {
		return []uuid.UUID{cursor.Pack(r.StartedAt, r.Number), r.EndpointID}
	})
}
