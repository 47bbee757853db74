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
	RequestHeaders    map[string]string `json:"request_headers" nullable:"true" doc:"The headers that were sent; the signature and the values of the endpoint's own headers are redacted."`
	ResponseHeaders   map[string]string `json:"response_headers" nullable:"true" doc:"A few of the answer's headers."`
	ResponseBody      *string           `json:"response_body" doc:"The beginning of the answer's body."`
	ResponseTruncated bool              `json:"response_truncated" doc:"True if the answer's body was longer than what is kept of it."`
}

// attemptList has no cursor: an event has at most 31 attempts per endpoint and order.
type attemptList struct {
	Items []attempt `json:"items" nullable:"false"`
}

type listAttemptsOutput struct{ Body attemptList }

func (s *Server) addAttempts() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-event-attempts", Method: http.MethodGet, Path: "/api/events/{id}/attempts",
			Tags: []string{tagEvents}, Summary: "List all attempts of an event, oldest first",
			Errors: []int{http.StatusNotFound},
		},
		access: readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listAttempts)
}

func newAttempt(r db.DeliveryAttempt) (attempt, error) {
	a := attempt{
		EndpointID: r.EndpointID, Number: r.Number, Trigger: string(r.Trigger), StartedAt: r.StartedAt.UTC(),
		DurationMS: r.DurationMS, Outcome: string(r.Outcome), StatusCode: r.StatusCode, Error: r.Error,
		RemoteAddr: r.RemoteAddr, ResponseBody: r.ResponseBody, ResponseTruncated: r.ResponseTruncated,
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

func (s *Server) listAttempts(ctx context.Context, in *eventInput) (*listAttemptsOutput, error) {
	var rows []db.DeliveryAttempt
	err := s.read(ctx, func(tx pgx.Tx) error {
		tenantID, err := db.New().GetEventTenant(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if err := checkVisible(ctx, tenantID); err != nil {
			return err
		}
		rows, err = db.New().ListEventAttempts(ctx, tx, in.ID)
		return err
	})
	if err != nil {
		return nil, err
	}

	out := &listAttemptsOutput{Body: attemptList{Items: make([]attempt, len(rows))}}
	for i, row := range rows {
		if out.Body.Items[i], err = newAttempt(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}
