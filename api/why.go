package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/jobs/why"
)

// explained is why a delivery is where it is.
type explained struct {
	EventID    uuid.UUID  `json:"event_id" format:"uuid"`
	EndpointID uuid.UUID  `json:"endpoint_id" format:"uuid"`
	TenantID   string     `json:"tenant_id" example:"acme"`
	State      string     `json:"state" enum:"pending,succeeded,failed,cancelled"`
	Reason     *string    `json:"reason" doc:"As the delivery has it."`
	Because    string     `json:"because" enum:"settled,sending,worker_lost,endpoint_paused,endpoint_disabled,endpoint_deleted,tenant_paused,all_paused,no_live_worker,job_missing,idle_queue,given_back,waiting_for_retry,set_aside,queue_paused,throttled,waiting_for_lane,waiting_for_slot" doc:"The one cause, which never changes its name: settled (nothing is left to do), sending (a worker has it), worker_lost (its worker is gone; another takes it within seconds), endpoint_paused, endpoint_disabled and endpoint_deleted (it is about to be cancelled), tenant_paused and all_paused (by an order, for maintenance: GET /api/pauses), no_live_worker (it is due, and no worker process lives), job_missing (it has no job that works for it; reconcile mends that within a minute), idle_queue (its job is in a queue that nobody works), given_back (a worker took it and could not send it, by trouble of its own: it is tried again every few seconds), waiting_for_retry (its next attempt is due later), set_aside (for a while: its tenant has too many requests to the host under way, or workers have died of it), queue_paused (by a person, in River UI), throttled (the endpoint asked for fewer requests), waiting_for_lane (for its turn in its endpoint's lane), waiting_for_slot (due; workers take it when it is its turn)."`
	Text       string     `json:"text" example:"it is due since 2026-01-02T15:04:05Z and waits for a free slot of a worker" doc:"The same in words, with what is known of it and what to do. Its wording may change."`
	Since      *time.Time `json:"since" doc:"Since when it is so. Null: not known."`
	Until      *time.Time `json:"until" doc:"When it ends by itself, at the earliest. Null: not known."`
	Ahead      *int32     `json:"ahead" doc:"How many deliveries are before it in its lane or queue, counted up to 1,000. Null: it waits for something else. A key that is bound to a tenant is shown that of lanes only."`
	Worker     *string    `json:"worker" doc:"The worker process that has it, as GET /api/workers lists it. Null: none, or the key is bound to a tenant."`
	By         *string    `json:"by" doc:"Whose key has paused or disabled the endpoint, or paused its tenant or everything, as in the audit trail. Null: nobody's, or not known."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (explained) SchemaName() string { return "Why" }

type explainInput struct {
	ID         uuid.UUID `path:"id" format:"uuid" doc:"The event's id."`
	EndpointID string    `query:"endpoint_id" maxLength:"256" doc:"Only for this endpoint: its id, or its uid."`
	Limit      int32     `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor     string    `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) addWhy() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "explain-event", Method: http.MethodGet, Path: "/api/events/{id}/why", Tags: []string{tagEvents},
			Summary: "Say why an event's deliveries are where they are",
			Description: "One item for each delivery, in the order of the endpoints' ids, with exactly one cause: " +
				"what has to change before anything else can.",
		},
		errors: codes{problem.NotFound},
		access: readAccess, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.explainEvent)
}

func newExplained(r db.ExplainDeliveriesRow, a why.Answer) explained {
	return explained{
		EventID: r.EventID, EndpointID: r.EndpointID, TenantID: r.TenantID, State: string(r.State), Reason: r.Reason,
		Because: a.Because, Text: a.Text, Since: pg.UTC(a.Since), Until: pg.UTC(a.Until), Ahead: a.Ahead,
		Worker: a.Worker, By: a.By,
	}
}

func (s *Server) explainEvent(ctx context.Context, in *explainInput) (*pageOutput[explained], error) {
	f := newPaging(ctx, orderAscending, in.Limit, in.Cursor)
	p := db.ExplainDeliveriesParams{
		EventID: in.ID, EndpointID: s.endpointOfEvent(ctx, f, in.EndpointID, in.ID), Cursor: f.after(1)[0],
		MaxAhead: why.MaxAhead + 1, MaxRows: f.maxRows(),
	}
	boundTo := requestOf(ctx).key.tenantID

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.ExplainDeliveriesRow, error) {
		tenantID, err := db.New().GetEventTenant(ctx, tx, in.ID)
		if err != nil {
			return nil, err
		}
		if err := checkVisible(ctx, tenantID); err != nil {
			return nil, err
		}
		// Whatever the statistics say, no table is read but by its keys.
		if _, err := tx.Exec(ctx, pg.ByKey); err != nil {
			return nil, err
		}
		return db.New().ExplainDeliveries(ctx, tx, p)
	}, always(func(r db.ExplainDeliveriesRow) explained {
		return newExplained(r, why.Explain(r, s.cfg.Schedule, boundTo))
	}), func(r db.ExplainDeliveriesRow) []uuid.UUID { return []uuid.UUID{r.EndpointID} })
}
