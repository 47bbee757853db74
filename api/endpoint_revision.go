package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/retry"
)

// endpointRevision is what an endpoint was from a time on.
type endpointRevision struct {
	ID            uuid.UUID  `json:"id" format:"uuid"`
	EndpointID    uuid.UUID  `json:"endpoint_id" format:"uuid"`
	At            time.Time  `json:"at" doc:"When it was written, on the database's clock: it holds from the commit on, a little later."`
	FirstKnown    bool       `json:"first_known" doc:"True of the oldest one of an endpoint that was made before revisions were kept: it was so when it was changed last, at that time, and what it was before is not known."`
	Changed       []string   `json:"changed" nullable:"false" example:"[\"event_types\"]" doc:"What differs from the revision before: event_types, filter, labels, ordered, status, host, timeout_ms, max_in_flight, rate_limit, retry_schedule, retry_jitter, deleted. Empty: it is the first."`
	EventTypes    []string   `json:"event_types" nullable:"false" doc:"Empty: all."`
	Filter        filterBody `json:"filter" doc:"Null: none."`
	Labels        []string   `json:"labels" nullable:"false" doc:"Empty: it gets events with and without."`
	Status        string     `json:"status" enum:"enabled,paused,disabled"`
	StatusReason  string     `json:"status_reason" doc:"As the endpoint's."`
	Host          *string    `json:"host" example:"example.com" doc:"Of its URL, with its port. Null: it is erased."`
	TimeoutMS     int32      `json:"timeout_ms" example:"15000"`
	MaxInFlight   int32      `json:"max_in_flight" example:"32"`
	RateLimit     *rateLimit `json:"rate_limit" doc:"Null: none."`
	RetrySchedule []string   `json:"retry_schedule" nullable:"true" doc:"The delays between attempts. Null: the server's."`
	RetryJitter   *float64   `json:"retry_jitter" nullable:"true" doc:"Null: the server's."`
	Ordered       string     `json:"ordered"`
	Deleted       bool       `json:"deleted"`
	By            *string    `json:"by" doc:"Whose key ordered it, as in the audit trail; a tenant is shown operator for a key that is not its own. Null: nobody's, like a worker that disabled it after a 410; status_reason says why."`
	KeyID         *uuid.UUID `json:"key_id" format:"uuid" nullable:"true" doc:"As in the audit trail."`
	Action        *string    `json:"action" example:"update-endpoint" doc:"The id of the operation in this document. Null: nobody's order."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (endpointRevision) SchemaName() string { return "EndpointRevision" }

type listRevisionsInput struct {
	EndpointInput

	Order  string `query:"order" enum:"asc,desc" default:"desc" doc:"By time: asc begins with the oldest."`
	Limit  int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) addEndpointRevisions() {
	register(s, route{
		Operation: endpointOperation("list-endpoint-revisions", http.MethodGet, "/{id}/revisions",
			"List what an endpoint has been",
			"One item for each change of what it gets and how, whoever made it, also a worker that disabled it. A deleted "+
				"endpoint is named by its id. They are kept as long as the endpoint's tenant is not erased."),
		errors: codes{problem.NotFound},
		access: readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listRevisions)
}

func (s *Server) listRevisions(ctx context.Context, in *listRevisionsInput) (*pageOutput[endpointRevision], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	p := db.ListEndpointRevisionsParams{Cursor: f.after(1)[0], Ascending: f.ascending, MaxRows: f.maxRows()}

	return list(ctx, s, f, func(tx pgx.Tx) (_ []db.ListEndpointRevisionsRow, err error) {
		if p.EndpointID, err = endpointID(ctx, tx, in.ID, "path.id", in.TenantInput); err != nil {
			return nil, err
		}

		tenantID, err := db.New().GetEndpointTenant(ctx, tx, p.EndpointID)
		if err != nil {
			return nil, err
		}
		if err := checkVisible(ctx, tenantID); err != nil {
			return nil, err
		}
		return db.New().ListEndpointRevisions(ctx, tx, p)
	}, always(func(r db.ListEndpointRevisionsRow) endpointRevision {
		return newRevisionAnswer(p.EndpointID, r, f.key)
	}), func(r db.ListEndpointRevisionsRow) []uuid.UUID { return []uuid.UUID{r.ID} })
}

// newRevisionAnswer hides from a tenant which person or program of the operator did something, as the audit trail does.
func newRevisionAnswer(endpointID uuid.UUID, r db.ListEndpointRevisionsRow, key principal) endpointRevision {
	v := endpointRevision{
		ID: r.ID, EndpointID: endpointID, At: r.At.UTC(), FirstKnown: r.FirstKnown, Changed: r.Changed,
		EventTypes: r.EventTypes, Filter: filterBody{r.Filter}, Labels: r.Labels,
		Status: string(r.Status), StatusReason: r.StatusReason, Host: r.Host,
		TimeoutMS: r.TimeoutMS, MaxInFlight: r.MaxInFlight,
		RateLimit:     newRateLimit(db.Endpoint{RateLimit: r.RateLimit, RatePer: r.RatePer, RateBurst: r.RateBurst}),
		RetrySchedule: retry.Texts(r.RetrySchedule), RetryJitter: r.RetryJitter, Ordered: r.Ordered,
		Deleted: r.Deleted, By: r.Actor, KeyID: r.KeyID, Action: r.Action,
	}

	own := r.KeyTenantID != nil && *r.KeyTenantID == key.tenantID
	if r.Actor != nil && key.tenantID != "" && !own {
		hidden := operator
		v.By, v.KeyID = &hidden, nil
	}
	return v
}
