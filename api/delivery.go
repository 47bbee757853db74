package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/ledger"
)

// delivery is one event for one endpoint.
type delivery struct {
	EventID       uuid.UUID  `json:"event_id" format:"uuid"`
	EndpointID    uuid.UUID  `json:"endpoint_id" format:"uuid"`
	TenantID      string     `json:"tenant_id" example:"acme"`
	Type          string     `json:"type" example:"invoice.paid" doc:"The event type."`
	CreatedAt     time.Time  `json:"created_at" doc:"When the event was enqueued."`
	State         string     `json:"state" enum:"pending,succeeded,failed,cancelled" doc:"failed: the retry schedule is used up; replay it when the endpoint works again."`
	Reason        *string    `json:"reason" doc:"Why it is failed or cancelled: exhausted, gone (the endpoint answered 410), loop (the endpoint leads to an API of Outhook, or more than 8 webhooks in a row led to the event), worker_died, endpoint_disabled, endpoint_deleted, expired (pending at the end of the retention), payload_gone, erased, withdrawn (its event was taken back before its deliver_at), operator."`
	AttemptCount  int32      `json:"attempt_count" example:"1" doc:"The highest attempt number in the log."`
	TryCount      int32      `json:"try_count" example:"0" doc:"Known failures since it was enqueued or replayed: the position in the retry schedule."`
	NextAttemptAt *time.Time `json:"next_attempt_at" doc:"When the next attempt is due. Null once it is settled."`
	CompletedAt   *time.Time `json:"completed_at" doc:"When it was settled. Null while it is pending."`
}

// replayOrder documents the body of a replay.
type replayOrder struct {
	_ struct{} `additionalProperties:"false"`

	Now   *bool `json:"now,omitempty" nullable:"false" doc:"The same as now in the query."`
	Force *bool `json:"force,omitempty" nullable:"false" doc:"Also if the delivery has succeeded and its endpoint gets it in order: it comes after others that follow it then."`
}

// DeliveryInput names a delivery in a path.
type DeliveryInput struct {
	TenantInput

	EventID    uuid.UUID `path:"event_id" format:"uuid"`
	EndpointID string    `path:"endpoint_id" maxLength:"256" doc:"The endpoint's id or uid."`
}

type replayInput struct {
	DeliveryInput

	Now bool `query:"now" doc:"Bring the next attempt of a pending delivery forward to now, and wait for no deliver_at."`
}

type deliveryOutput struct{ Body delivery }

type listDeliveriesInput struct {
	TenantID   string `query:"tenant_id" maxLength:"255" doc:"Only deliveries of this tenant."`
	EndpointID string `query:"endpoint_id" maxLength:"256" doc:"Only deliveries to this endpoint: its id, or its uid."`
	EventID    string `query:"event_id" format:"uuid" doc:"Only deliveries of this event."`
	Type       string `query:"type" maxLength:"255" doc:"Only deliveries of this event type: invoice.paid, or invoice.* for each type below invoice."`
	State      string `query:"state" enum:"pending,succeeded,failed,cancelled" doc:"Only deliveries in this state."`
	Reason     string `query:"reason" enum:"exhausted,gone,worker_died,endpoint_disabled,endpoint_deleted,expired,payload_gone,erased,withdrawn,operator" doc:"Only deliveries that are failed or cancelled for this reason."`

	Outcome    []string `query:"outcome" enum:"succeeded,rejected,timed_out,unreachable,blocked,unknown" maxItems:"6" doc:"Only deliveries whose last attempt had one of these outcomes, with commas."`
	StatusCode int32    `query:"status_code" minimum:"100" maximum:"599" doc:"Only deliveries whose last attempt was answered with this status."`

	Since  moment `query:"since" doc:"Only deliveries of events of this time or later."`
	Until  moment `query:"until" doc:"Only deliveries of events before this time."`
	Order  string `query:"order" enum:"asc,desc" default:"desc" doc:"By the event's time: asc begins with the oldest."`
	Limit  int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) addDeliveries() {
	operation := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: "/api/deliveries" + path, Tags: []string{tagDelivery}, Summary: summary,
			Description: description, DefaultStatus: http.StatusOK,
		}
	}
	const one = "/{event_id}/{endpoint_id}"

	register(s, route{
		Operation: operation("list-deliveries", http.MethodGet, "", "List deliveries", shortPages),
		access:    readAccess, portal: grant.View, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.listDeliveries)
	register(s, route{
		Operation: operation("get-delivery", http.MethodGet, one, "Get a delivery", ""),
		errors:    codes{problem.NotFound},
		access:    readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.getDelivery)

	register(s, route{
		Operation: operation("replay-delivery", http.MethodPost, one+"/replay", "Deliver again",
			"Orders new attempts with the whole retry schedule; the event id stays the same and the attempt numbers go on. "+
				"A pending delivery is refused (409), or attempted at once with now=true."),
		errors: codes{
			problem.NotFound, problem.DeliveryPending, problem.DeliveryInOrder, problem.EventWithdrawn,
			problem.EndpointGone, problem.PayloadGone,
		},
		access: operateAccess, portal: grant.Replay, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[replayOrder](), limit: envelopeBytes, optional: true,
	}, s.replayDelivery)
	register(s, route{
		Operation: operation("cancel-delivery", http.MethodPost, one+"/cancel", "Give up a pending delivery",
			"An attempt that is under way ends as it does and is logged, but none follows."),
		errors: codes{problem.NotFound, problem.DeliverySettled},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
	}, s.cancelDelivery)
}

func newDelivery(r db.GetDeliveryRow) delivery {
	return delivery{
		EventID: r.EventID, EndpointID: r.EndpointID, TenantID: r.TenantID, Type: r.Type, CreatedAt: r.CreatedAt.UTC(),
		State: string(r.State), Reason: r.Reason, AttemptCount: r.AttemptCount, TryCount: r.TryCount,
		NextAttemptAt: pg.UTC(r.NextAttemptAt), CompletedAt: pg.UTC(r.CompletedAt),
	}
}

func (s *Server) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*pageOutput[delivery], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	after, tenantID := f.after(2), f.tenant(in.TenantID)
	p := db.ListDeliveriesParams{
		CursorEventID: after[0], CursorEndpointID: after[1], Ascending: f.ascending,
		Since: bound(in.Since), Until: bound(in.Until), TenantID: tenantID,
		EndpointID: f.endpoint(ctx, s.cfg.Pool, in.EndpointID, tenantID), EventID: f.id("query.event_id", in.EventID),
		State: textOrNull(in.State), Reason: textOrNull(in.Reason), Outcomes: listOf(in.Outcome),
		StatusCode: numberOrNull(in.StatusCode), ScanRows: listRows,
	}
	p.Type, p.TypePrefix = f.eventType(in.Type)

	return logList[db.ListDeliveriesRow, delivery]{
		span: logSpan{
			since: p.Since, until: p.Until, cursor: p.CursorEventID, only: p.EventID, ascending: p.Ascending,
		},
		query: func(tx pgx.Tx, part stretch, maxRows int32) ([]db.ListDeliveriesRow, error) {
			p.Low, p.High, p.MaxRows = part.low, part.high, maxRows
			return queryDeliveries(ctx, tx, p)
		},
		found:    func(r db.ListDeliveriesRow) (matches, isLast bool) { return r.Matches, r.IsLast },
		answer:   always(newListedDelivery),
		position: func(r db.ListDeliveriesRow) []uuid.UUID { return []uuid.UUID{r.EventID, r.EndpointID} },
	}.answerPage(ctx, s, f)
}

// queryDeliveries takes the query whose index has what is asked for: an endpoint's, a tenant's or all deliveries.
func queryDeliveries(ctx context.Context, tx pgx.Tx, p db.ListDeliveriesParams) ([]db.ListDeliveriesRow, error) {
	if p.TenantID == nil || p.EndpointID != nil {
		return db.New().ListDeliveries(ctx, tx, p)
	}

	rows, err := db.New().ListTenantDeliveries(ctx, tx, db.ListTenantDeliveriesParams{
		TenantID: *p.TenantID, EventID: p.EventID, Type: p.Type, TypePrefix: p.TypePrefix,
		State: p.State, Reason: p.Reason, Outcomes: p.Outcomes, StatusCode: p.StatusCode,
		Low: p.Low, High: p.High, Since: p.Since, Until: p.Until, Ascending: p.Ascending,
		CursorEventID: p.CursorEventID, CursorEndpointID: p.CursorEndpointID,
		ScanRows: p.ScanRows, ScanEvents: p.ScanRows + 1, MaxRows: p.MaxRows,
	})

	list := make([]db.ListDeliveriesRow, len(rows))
	for i, row := range rows {
		list[i] = db.ListDeliveriesRow(row)
	}
	return list, err
}

func newListedDelivery(r db.ListDeliveriesRow) delivery {
	return newDelivery(db.GetDeliveryRow{
		EventID: r.EventID, EndpointID: r.EndpointID, TenantID: r.TenantID, Type: r.Type, CreatedAt: r.CreatedAt,
		State: r.State, Reason: r.Reason, AttemptCount: r.AttemptCount, TryCount: r.TryCount,
		NextAttemptAt: r.NextAttemptAt, CompletedAt: r.CompletedAt,
	})
}

func (s *Server) getDelivery(ctx context.Context, in *DeliveryInput) (*deliveryOutput, error) {
	endpointID, err := endpointOf(ctx, s.cfg.Pool, *in)
	if err != nil {
		return nil, err
	}
	row, err := s.lookUpDelivery(ctx, in.EventID, endpointID)
	if err != nil {
		return nil, err
	}
	return &deliveryOutput{Body: newDelivery(row)}, checkVisible(ctx, row.TenantID)
}

// endpointOf returns the id of the endpoint that a delivery's path names.
func endpointOf(ctx context.Context, conn db.DBTX, in DeliveryInput) (uuid.UUID, error) {
	return endpointID(ctx, conn, in.EndpointID, "path.endpoint_id", in.TenantInput)
}

func (s *Server) lookUpDelivery(ctx context.Context, eventID, endpointID uuid.UUID) (row db.GetDeliveryRow, err error) {
	err = s.read(ctx, func(tx pgx.Tx) error {
		row, err = db.New().GetDelivery(ctx, tx, eventID, endpointID)
		return err
	})
	return row, err
}

func (s *Server) replayDelivery(ctx context.Context, in *replayInput) (*deliveryOutput, error) {
	how, err := decodeReplay(bodyOf(ctx))
	if err != nil {
		return nil, err
	}

	how.Now = how.Now || in.Now
	d := done{action: "replay-delivery", detail: map[string]any{"now": how.Now}}
	return s.order(ctx, in.DeliveryInput, d, func(tx pgx.Tx, endpointID uuid.UUID) error {
		return ledger.Replay(ctx, tx, in.EventID, endpointID, how)
	})
}

func (s *Server) cancelDelivery(ctx context.Context, in *DeliveryInput) (*deliveryOutput, error) {
	return s.order(ctx, *in, done{action: "cancel-delivery"}, func(tx pgx.Tx, endpointID uuid.UUID) error {
		return ledger.Cancel(ctx, tx, in.EventID, endpointID)
	})
}

// order carries a person's order out, notes it, and answers with the delivery as it is then.
func (s *Server) order(
	ctx context.Context, in DeliveryInput, d done, do func(tx pgx.Tx, endpointID uuid.UUID) error,
) (*deliveryOutput, error) {
	out := &deliveryOutput{}
	err := s.change(ctx, func(tx pgx.Tx) error {
		endpointID, err := endpointOf(ctx, tx, in)
		if err != nil {
			return err
		}
		row, err := db.New().GetDelivery(ctx, tx, in.EventID, endpointID)
		if err != nil {
			return err
		}
		if err := checkVisible(ctx, row.TenantID); err != nil {
			return err
		}

		if err := do(tx, endpointID); err != nil {
			return err
		}

		d.tenantID, d.objectType, d.objectID = row.TenantID, objectDelivery, in.EventID.String()+"/"+endpointID.String()
		if err := s.audit(ctx, tx, d); err != nil {
			return err
		}

		row, err = db.New().GetDelivery(ctx, tx, in.EventID, endpointID)
		out.Body = newDelivery(row)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// decodeReplay reads the body of a replay, which may be absent.
func decodeReplay(body []byte) (how ledger.How, err error) {
	if len(body) == 0 {
		return how, nil
	}
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return how, err
	}

	var f problem.Faults
	strictjson.EachMember(object, "body", &f, func(name string, value json.RawMessage) bool {
		switch name {
		case "now":
			how.Now = strictjson.Bool(value, "body.now", &f)
		case "force":
			how.Force = strictjson.Bool(value, "body.force", &f)
		default:
			return false
		}
		return true
	})

	return how, f.Problem(problem.InvalidRequest)
}
