package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/why"
)

// explained is why a delivery is where it is, or why an endpoint has none.
type explained struct {
	EventID    uuid.UUID  `json:"event_id" format:"uuid"`
	EndpointID uuid.UUID  `json:"endpoint_id" format:"uuid"`
	TenantID   string     `json:"tenant_id" example:"acme"`
	State      string     `json:"state" enum:"pending,succeeded,failed,cancelled,none" doc:"As the delivery has it; none: the endpoint has no delivery of the event."`
	Reason     *string    `json:"reason" doc:"As the delivery has it."`
	Because    string     `json:"because" enum:"settled,sending,worker_lost,endpoint_paused,endpoint_disabled,endpoint_deleted,tenant_paused,all_paused,no_live_worker,job_missing,idle_queue,given_back,waiting_for_time,waiting_for_retry,set_aside,queue_paused,throttled,waiting_for_lane,waiting_for_slot,waiting_in_line,not_subscribed,other_labels,filtered,was_disabled,created_later,deleted_before,changed_meanwhile,delivery_missing,test_of_another,tenant_erased,not_known" doc:"The one cause, which never changes its name: settled (nothing is left to do), sending (a worker has it), worker_lost (its worker is gone; another takes it within seconds), endpoint_paused, endpoint_disabled and endpoint_deleted (it is about to be cancelled), tenant_paused and all_paused (by an order, for maintenance: GET /api/pauses), no_live_worker (it is due, and no worker process lives), job_missing (it has no job that works for it; reconcile mends that within a minute), idle_queue (its job is in a queue that nobody works), given_back (a worker took it and could not send it, by trouble of its own: it is tried again every few seconds), waiting_for_time (its publisher wants it to be delivered later, and can take it back until then), waiting_for_retry (its next attempt is due later), set_aside (for a while: its tenant has too many requests to the host under way, or workers have died of it), queue_paused (by a person, in River UI), throttled (the endpoint asked for fewer requests), waiting_for_lane (for its turn in its endpoint's lane), waiting_for_slot (due; workers take it when it is its turn), waiting_in_line (for those before it, which its endpoint gets one at a time). With the state none, of when the event was enqueued: not_subscribed (the endpoint wanted other types), other_labels (it wanted labels that the event does not have), filtered (its filter was not true of the event), was_disabled, created_later and deleted_before (it was not there), changed_meanwhile (the change that made it want the event was not committed, or not visible to the publisher's transaction), delivery_missing (it wanted the event, and nothing tells more), test_of_another (a test event is for one endpoint), tenant_erased and not_known (what the endpoint was then is not known)."`
	Text       string     `json:"text" example:"it is due since 2026-01-02T15:04:05Z and waits for a free slot of a worker" doc:"The same in words, with what is known of it and what to do. Its wording may change."`
	Since      *time.Time `json:"since" doc:"Since when it is so. Null: not known."`
	Until      *time.Time `json:"until" doc:"When it ends by itself, at the earliest. Null: not known."`
	Ahead      *int32     `json:"ahead" doc:"How many deliveries are before it in its lane or queue, counted up to 1,000. Null: it waits for something else. A key that is bound to a tenant is shown that of lanes only."`
	Worker     *string    `json:"worker" doc:"The worker process that has it, as GET /api/workers lists it. Null: none, or the key is bound to a tenant."`
	By         *string    `json:"by" doc:"Whose key has paused, disabled or deleted the endpoint, paused its tenant or everything, or cancelled the delivery, as in the audit trail. Null: nobody's, or not known."`

	EventTypes  []string  `json:"event_types" nullable:"true" doc:"What the endpoint was subscribed to when the event was enqueued, with the state none; empty: all. Null: not known, or there was no endpoint."`
	Causes      []failing `json:"causes" nullable:"false" doc:"What attempts of the delivery have failed by, each kind once, the last first, at most 5. Empty if it has succeeded."`
	Recoverable bool      `json:"recoverable" doc:"With the state none: whether POST /api/endpoints/{id}/recover with missed, and a since of the event's time or before, makes a delivery of it."`
}

// failing is what some attempts of a delivery have failed by.
type failing struct {
	Outcome    string  `json:"outcome" enum:"rejected,timed_out,unreachable,blocked,unknown"`
	StatusCode *int32  `json:"status_code" doc:"Null: no answer came."`
	Error      *string `json:"error" example:"timeout: connecting" doc:"As the attempt has it."`
	Count      int32   `json:"count" doc:"How many attempts."`
	Advice     *string `json:"advice" doc:"What usually cures it. Its wording may change. Null: nothing is known."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (failing) SchemaName() string { return "WhyCause" }

// SchemaName tells the OpenAPI document what a client knows it by.
func (explained) SchemaName() string { return "Why" }

// stateNone is the state of no delivery.
const stateNone = "none"

type explainInput struct {
	ID         uuid.UUID `path:"id" format:"uuid" doc:"The event's id."`
	EndpointID string    `query:"endpoint_id" maxLength:"256" doc:"Only for this endpoint: its id, or its uid."`
	Limit      int32     `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"The most items of a page."`
	Cursor     string    `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) addWhy() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "explain-event", Method: http.MethodGet, Path: "/api/events/{id}/why", Tags: []string{tagEvents},
			Summary: "Say why an event's deliveries are where they are, and who has none and why",
			Description: "One item for each endpoint of the event's tenant, in the order of their ids, with exactly one " +
				"cause: of a delivery what has to change before anything else can; of an endpoint without one, what it was " +
				"when the event was enqueued. Endpoints that were deleted more than a week before are told of only if " +
				"endpoint_id names them. Of an id that no event has, the detail of the 404 says what its time tells.",
		},
		errors: codes{problem.NotFound},
		access: readAccess, portal: grant.View, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.explainEvent)
}

// told is what an item is made of: a delivery, or an endpoint that has none.
type told struct {
	endpointID uuid.UUID
	item       explained
}

// newExplained makes the item of an answer; what an item says of a delivery is the caller's.
func newExplained(item explained, a why.Answer) told {
	item.Because, item.Text, item.Since, item.Until = a.Because, a.Text, pg.UTC(a.Since), pg.UTC(a.Until)
	item.Ahead, item.Worker, item.By, item.EventTypes = a.Ahead, a.Worker, a.By, a.EventTypes
	item.Recoverable = a.Recoverable

	item.Causes = make([]failing, len(a.Causes))
	for i, c := range a.Causes {
		item.Causes[i] = failing{
			Outcome: c.Outcome, StatusCode: numberOrNull(c.StatusCode), Error: textOrNull(c.Error), Count: c.Count,
			Advice: textOrNull(c.Advice),
		}
	}
	return told{item.EndpointID, item}
}

func (s *Server) explainEvent(ctx context.Context, in *explainInput) (*pageOutput[explained], error) {
	f := newPaging(ctx, orderAscending, in.Limit, in.Cursor)
	after := f.after(1)[0]
	if f.err != nil {
		return nil, f.err
	}

	return list(ctx, s, f, func(tx pgx.Tx) ([]told, error) {
		event, err := s.eventToExplain(ctx, tx, in.ID)
		if err != nil {
			return nil, err
		}
		endpointID := f.endpoint(ctx, tx, in.EndpointID, &event.TenantID)
		if f.err != nil {
			return nil, f.err
		}
		// Whatever the statistics say, no table is read but by its keys.
		if _, err := tx.Exec(ctx, pg.ByKey); err != nil {
			return nil, err
		}

		made, err := s.explainDeliveries(ctx, tx, db.ExplainDeliveriesParams{
			EventID: in.ID, EndpointID: endpointID, Cursor: after, MaxAhead: why.MaxAhead + 1, MaxRows: f.maxRows(),
		})
		if err != nil {
			return nil, err
		}
		missed, err := explainMisses(ctx, tx, event, db.ExplainMissesParams{
			EventID: in.ID, EndpointID: endpointID, Cursor: after, MaxRows: f.maxRows(), TenantID: event.TenantID,
			Type: event.Type, Labels: event.Labels, DeletedSince: event.CreatedAt.Add(-why.DeletedFor),
		})
		if err != nil {
			return nil, err
		}

		all := append(made, missed...)
		slices.SortFunc(all, func(a, b told) int { return bytes.Compare(a.endpointID[:], b.endpointID[:]) })
		return all[:min(len(all), int(f.maxRows()))], nil
	}, always(func(t told) explained { return t.item }), func(t told) []uuid.UUID { return []uuid.UUID{t.endpointID} })
}

// explainDeliveries tells of the deliveries of an event.
func (s *Server) explainDeliveries(ctx context.Context, tx pgx.Tx, p db.ExplainDeliveriesParams) ([]told, error) {
	rows, err := db.New().ExplainDeliveries(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	failures, err := failuresOf(ctx, tx, p.EventID, rows)

	list := make([]told, len(rows))
	for i, r := range rows {
		item := explained{
			EventID: r.EventID, EndpointID: r.EndpointID, TenantID: r.TenantID, State: string(r.State), Reason: r.Reason,
		}
		boundTo := requestOf(ctx).key.tenantID
		list[i] = newExplained(item, why.Explain(r, failures[r.EndpointID], s.cfg.Schedule, boundTo))
	}
	return list, err
}

// failuresOf returns what the attempts of deliveries have failed by that have not succeeded.
func failuresOf(
	ctx context.Context, tx pgx.Tx, eventID uuid.UUID, rows []db.ExplainDeliveriesRow,
) (map[uuid.UUID][]db.ListFailuresRow, error) {
	var ids []uuid.UUID
	for _, r := range rows {
		if r.AttemptCount > 0 && r.State != db.DeliveryStateSucceeded {
			ids = append(ids, r.EndpointID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}

	list, err := db.New().ListFailures(ctx, tx, eventID, ids)
	failures := make(map[uuid.UUID][]db.ListFailuresRow, len(ids))
	for _, f := range list {
		failures[f.EndpointID] = append(failures[f.EndpointID], f)
	}
	return failures, err
}

// explainMisses tells of the endpoints that an event has no delivery for.
func explainMisses(
	ctx context.Context, tx pgx.Tx, event db.GetEventHeadRow, p db.ExplainMissesParams,
) ([]told, error) {
	rows, err := db.New().ExplainMisses(ctx, tx, p)
	if err != nil {
		return nil, err
	}

	e := why.Event{TenantID: event.TenantID, Type: event.Type, At: event.CreatedAt, HasPayload: event.HasPayload}
	if slices.ContainsFunc(rows, why.Filtered) {
		full, err := db.New().GetEvent(ctx, tx, event.ID)
		if err != nil {
			return nil, err
		}
		e.Payload = full.Payload
	}

	list := make([]told, len(rows))
	for i, r := range rows {
		item := explained{EventID: event.ID, EndpointID: r.EndpointID, TenantID: r.TenantID, State: stateNone}
		list[i] = newExplained(item, why.Miss(r, e, requestOf(ctx).key.tenantID))
	}
	return list, nil
}

// eventToExplain returns an event that is to be seen by the request's key. An id that is no event's tells by its time
// why not; the same of one that the key may not see.
func (s *Server) eventToExplain(ctx context.Context, tx pgx.Tx, id uuid.UUID) (db.GetEventHeadRow, error) {
	event, err := db.New().GetEventHead(ctx, tx, id)
	if err == nil {
		err = checkVisible(ctx, event.TenantID)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return event, err
	}

	of, err := db.New().DescribeID(ctx, tx, id, requestOf(ctx).key.tenant())
	if err != nil {
		return event, err
	}
	days, err := db.New().GetLogDays(ctx, tx)
	if err != nil {
		return event, err
	}
	began := time.Unix(0, 0).Add(time.Duration(days.First) * ledger.Day)
	return event, problem.New(problem.NotFound, why.Absent(id, of, began, requestOf(ctx).key.tenantID != ""))
}
