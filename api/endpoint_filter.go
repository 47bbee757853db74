package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

const (
	// previewEvents is how many events a preview looks at: with their payloads, that is 26 MB at most.
	previewEvents = 100

	// previewTimeout bounds a preview, which somebody waits for who writes a filter.
	previewTimeout = time.Second
)

// filterTrial documents the body of a preview.
type filterTrial struct {
	_ struct{} `additionalProperties:"false"`

	TenantID   string      `json:"tenant_id,omitempty" minLength:"1" maxLength:"255" example:"acme" doc:"Whose events. Absent: the tenant's that the key is bound to."`
	EventTypes []string    `json:"event_types,omitempty" nullable:"true" maxItems:"100" doc:"As an endpoint's. Absent or empty: all."`
	Labels     []string    `json:"labels,omitempty" nullable:"true" maxItems:"100" doc:"As an endpoint's. Absent or empty: all."`
	Filter     *filterBody `json:"filter,omitempty" doc:"As an endpoint's. Absent: none."`
}

// filterPreview is what an endpoint would have got.
type filterPreview struct {
	Wanted     int32      `json:"wanted" example:"37" doc:"How many of them an endpoint with these event types and this filter would have got."`
	Events     int32      `json:"events" example:"100" doc:"How many events were looked at: the tenant's last ones, at most 100, without test events."`
	Unreadable int32      `json:"unreadable" doc:"How many of them no filter can look into, since the payload is gone, or has what jsonb of Postgres refuses, like \\u0000. They are not wanted."`
	Since      *time.Time `json:"since" doc:"When the oldest of them was enqueued. Null: there is none."`
}

type filterPreviewOutput struct{ Body filterPreview }

func (s *Server) addFilterPreview() {
	register(s, route{
		Operation: endpointOperation("preview-filter", http.MethodPost, "/preview-filter", "Try a filter on past events",
			"How many of the tenant's last 100 events an endpoint with these event types and this filter would have got. "+
				"Nothing is stored. It gives up after a second."),
		access: readAccess, portal: grant.SeePayloads, costly: true, timeout: min(previewTimeout, s.cfg.Timeouts.Query),
		body: reflect.TypeFor[filterTrial](), limit: maxSmallBody, ownKeys: true,
	}, s.previewFilter)
}

func (s *Server) previewFilter(ctx context.Context, _ *struct{}) (*filterPreviewOutput, error) {
	trial, err := s.decodeTrial(ctx, bodyOf(ctx))
	if err != nil {
		return nil, err
	}

	var out filterPreview
	err = s.readLog(ctx, logSpan{}, func(tx pgx.Tx, part stretch) (more bool, err error) {
		row, err := db.New().PreviewWants(ctx, tx, db.PreviewWantsParams{
			TenantID: trial.TenantID, EventTypes: trial.EventTypes, FilterPath: trial.FilterPath, Labels: trial.Labels,
			Low: part.low, High: part.high, MaxRows: previewEvents - out.Events,
		})
		if err != nil {
			return false, err
		}

		out.Wanted += row.Wanted
		out.Events += row.Events
		out.Unreadable += row.Events - row.Readable
		if row.Events > 0 {
			out.Since = pg.UTC(&row.Oldest)
		}
		return out.Events < previewEvents, nil
	})
	if err != nil {
		return nil, err
	}
	return &filterPreviewOutput{Body: out}, nil
}

// decodeTrial reads the body of a preview, by the rules of endpoints.
func (s *Server) decodeTrial(ctx context.Context, body []byte) (db.Endpoint, error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return db.Endpoint{}, err
	}

	e := s.newEdit("body")
	e.row.TenantID = requestOf(ctx).key.tenantID
	e.decode(object, func(name string, value json.RawMessage) bool {
		switch name {
		case "tenant_id", "event_types", "labels", "filter":
			return e.setNew(name, value)
		}
		return false
	})
	if e.row.TenantID == "" {
		e.faults.Add("body.tenant_id", "is required")
	}
	if err := e.faults.Problem(problem.InvalidRequest); err != nil {
		return db.Endpoint{}, err
	}
	return e.row, checkOwn(ctx, e.row.TenantID, "body.tenant_id")
}
