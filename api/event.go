package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/ingest"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/ledger"
)

// event is an event without its payload.
type event struct {
	ID            uuid.UUID  `json:"id" format:"uuid" doc:"The event's id, a UUIDv7: the header webhook-id of every attempt."`
	TenantID      string     `json:"tenant_id" example:"acme" doc:"The customer whose endpoints get the event."`
	Type          string     `json:"type" example:"invoice.paid" doc:"The event type."`
	CreatedAt     time.Time  `json:"created_at" doc:"The time inside the id, on the database's clock."`
	Labels        []string   `json:"labels" nullable:"false" doc:"Empty: none."`
	DeliverAt     *time.Time `json:"deliver_at" doc:"When its publisher wants it to be delivered. Null: at once."`
	DeliveryCount int64      `json:"delivery_count" example:"1" doc:"How many deliveries it has made: one for each endpoint that was subscribed."`
}

// receipt is the answer for an event that is committed.
type receipt struct {
	ID            uuid.UUID `json:"id" format:"uuid" doc:"The event's id, a UUIDv7: the header webhook-id of every attempt."`
	TenantID      string    `json:"tenant_id" example:"acme"`
	Type          string    `json:"type" example:"invoice.paid"`
	CreatedAt     time.Time `json:"created_at" doc:"The time inside the id, on the database's clock."`
	DeliveryCount int32     `json:"delivery_count" example:"1" doc:"How many deliveries it has made: one for each endpoint that was subscribed."`
	Duplicate     bool      `json:"duplicate" doc:"True if an earlier event has this idempotency key: nothing was stored, and id is the earlier event's."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (receipt) SchemaName() string { return "Stored" }

// fullEvent is an event with its deliveries. The payload is added by hand, after the rest was encoded.
type fullEvent struct {
	ID         uuid.UUID         `json:"id" format:"uuid" doc:"The event's id, a UUIDv7: the header webhook-id of every attempt."`
	TenantID   string            `json:"tenant_id" example:"acme"`
	Type       string            `json:"type" example:"invoice.paid"`
	CreatedAt  time.Time         `json:"created_at" doc:"The time inside the id, on the database's clock."`
	Labels     []string          `json:"labels" nullable:"false" doc:"Empty: none."`
	DeliverAt  *time.Time        `json:"deliver_at" doc:"When its publisher wants it to be delivered. Null: at once."`
	Withdrawn  *time.Time        `json:"withdrawn_at" doc:"When it was taken back, before its deliver_at: it is delivered to nobody any more. Null: it was not."`
	Headers    map[string]string `json:"headers" doc:"Those that its requests have; empty: none of its own, or they are erased."`
	Ordering   *string           `json:"ordering_key" doc:"With which it goes in order. Null: none."`
	Deliveries []delivery        `json:"deliveries" nullable:"false" doc:"One for each endpoint that was subscribed."`
	Erased     bool              `json:"payload_erased" doc:"True if the payload is gone, by the payloads' retention or because it was erased; payload is null then."`
	Payload    any               `json:"payload,omitempty" required:"true" doc:"The payload, byte for byte as it was published and as it is sent."`
}

// batchReceipt is the answer for a batch.
type batchReceipt struct {
	Results []receipt `json:"results" nullable:"false" doc:"One for each event, in the same order."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (batchReceipt) SchemaName() string { return "StoredBatch" }

type postEventInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same as idempotency_key in the body. If both are given they must be equal."`
	Traceparent    string `header:"Traceparent" doc:"The trace of the request (W3C Trace Context): stored with the event, continued by its attempts and sent to its receivers. A value of another form than version 00 is ignored."`
	Depth          int    `header:"Outhook-Depth" minimum:"0" maximum:"999" doc:"How many webhooks of Outhook in a row led to the event, as the header of the same name of the one that did has it: pass it on where you publish in response to one. More than 8 are refused (508): a loop."`
}

type postBatchInput struct {
	IdempotencyKey string `header:"Idempotency-Key" hidden:"true"`
	Traceparent    string `header:"Traceparent" doc:"The trace of the request (W3C Trace Context): stored with the events, continued by their attempts and sent to their receivers. A value of another form than version 00 is ignored."`
	Depth          int    `header:"Outhook-Depth" minimum:"0" maximum:"999" doc:"How many webhooks of Outhook in a row led to the events, as the header of the same name of the one that did has it: pass it on where you publish in response to one. More than 8 are refused (508): a loop."`
}

type postEventOutput struct {
	Status int
	Body   receipt
}

type postBatchOutput struct{ Body batchReceipt }

type listEventsInput struct {
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Only events of this tenant."`
	Type     string `query:"type" maxLength:"255" doc:"Only events of this type: invoice.paid, or invoice.* for each type below invoice."`
	Key      string `query:"idempotency_key" maxLength:"255" doc:"Only the event that was published with this key. Needs tenant_id, unless the API key is bound to one."`
	Label    string `query:"label" maxLength:"64" doc:"Only events with this label."`
	Since    moment `query:"since" doc:"Only events of this time or later."`
	Until    moment `query:"until" doc:"Only events before this time."`
	Order    string `query:"order" enum:"asc,desc" default:"desc" doc:"By time: asc begins with the oldest."`
	Limit    int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor   string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

type eventInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The event's id."`
}

type getEventOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        []byte
}

// eventErrors are those of what stores events.
func eventErrors() codes {
	return codes{
		problem.IdempotencyConflict, problem.PayloadTooLarge, problem.TooManyDeliveries, problem.IdempotencyKeyHeld,
		problem.OutcomeUnknown, problem.SchemaViolated, problem.TypeUnknown,
	}
}

func (s *Server) addEvents() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "create-event", Method: http.MethodPost, Path: "/api/events", Tags: []string{tagEvents},
			Summary: "Enqueue an event", DefaultStatus: http.StatusAccepted,
			Description: "Answers once the event and its deliveries are committed: 202, or 200 for a duplicate. " +
				"An event without a subscribed endpoint is stored too. After a 5xx or no answer, repeat the request " +
				"with the same idempotency key.",
			Responses: map[string]*huma.Response{"200": {Description: "Duplicate: an earlier event has this idempotency key"}},
		},
		errors: eventErrors(),
		access: publishAccess, timeout: s.cfg.Timeouts.Store, limit: int64(s.cfg.Limits.MaxPayloadBytes) + envelopeBytes,
		body: reflect.TypeFor[newEvent](), answer: reflect.TypeFor[receipt](), ownKeys: true,
	}, s.postEvent)
	register(s, route{
		Operation: huma.Operation{
			OperationID: "create-events", Method: http.MethodPost, Path: "/api/events/batch", Tags: []string{tagEvents},
			Summary: "Enqueue many events, all or none", DefaultStatus: http.StatusAccepted,
			Description: "One invalid event or one conflict refuses the whole batch and is named by its index.",
		},
		errors: eventErrors(),
		access: publishAccess, timeout: s.cfg.Timeouts.Store, limit: int64(s.cfg.Limits.MaxBatchBytes),
		body: reflect.TypeFor[newBatch](), ownKeys: true,
	}, s.postBatch)

	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-events", Method: http.MethodGet, Path: "/api/events", Tags: []string{tagEvents},
			Summary: "List events", Description: "Without payloads. " + shortPages,
		},
		access: readAccess, portal: grant.View, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.listEvents)
	register(s, route{
		Operation: huma.Operation{
			OperationID: "get-event", Method: http.MethodGet, Path: "/api/events/{id}", Tags: []string{tagEvents},
			Summary: "Get an event with its payload and deliveries",
		},
		errors: codes{problem.NotFound},
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query, answer: reflect.TypeFor[fullEvent](),
	}, s.getEvent)
}

func (s *Server) postEvent(ctx context.Context, in *postEventInput) (*postEventOutput, error) {
	if err := checkDepth(in.Depth); err != nil {
		return nil, err
	}
	e, err := s.decodeEvent(bodyOf(ctx), requestOf(ctx).key.tenantID, in.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	if err := checkOwn(ctx, e.TenantID, "body.tenant_id"); err != nil {
		return nil, err
	}

	if err := s.checker.Check(ctx, e, "body"); err != nil {
		return nil, err
	}
	rows, err := s.store.Put(ctx, []outhook.Event{e}, ledger.WithDepth(traceOf(ctx, in.Traceparent), in.Depth))
	if err != nil {
		return nil, storeProblem(err, func(int) string { return "body" })
	}

	s.metrics.event(rows[0].Duplicate, rows[0].Conflict)
	if rows[0].Conflict {
		return nil, keyConflict("body.idempotency_key")
	}

	out := &postEventOutput{Status: http.StatusAccepted, Body: newReceipt(e, rows[0])}
	if rows[0].Duplicate {
		out.Status = http.StatusOK
	}
	return out, nil
}

func (s *Server) postBatch(ctx context.Context, in *postBatchInput) (*postBatchOutput, error) {
	if in.IdempotencyKey != "" {
		return nil, problem.Invalid("header.Idempotency-Key",
			"must not be given with a batch: give each event its own idempotency_key")
	}

	if err := checkDepth(in.Depth); err != nil {
		return nil, err
	}

	key := requestOf(ctx).key
	events, err := s.decodeBatch(bodyOf(ctx), key.tenantID)
	if err != nil {
		return nil, err
	}

	foreign := func(e outhook.Event) bool { return !key.sees(e.TenantID) }
	if i := slices.IndexFunc(events, foreign); i >= 0 {
		return nil, checkOwn(ctx, events[i].TenantID, eventLocation(i)+".tenant_id")
	}

	for i, e := range events {
		if err := s.checker.Check(ctx, e, eventLocation(i)); err != nil {
			return nil, err
		}
	}
	rows, err := s.store.Put(ctx, events, ledger.WithDepth(traceOf(ctx, in.Traceparent), in.Depth))
	if err != nil {
		return nil, storeProblem(err, eventLocation)
	}

	out := &postBatchOutput{Body: batchReceipt{Results: make([]receipt, len(rows))}}
	for i, row := range rows {
		s.metrics.event(row.Duplicate, row.Conflict)
		if row.Conflict { // of a batch of one, which is stored like a single event
			return nil, keyConflict(eventLocation(i) + ".idempotency_key")
		}
		out.Body.Results[i] = newReceipt(events[i], row)
	}
	return out, nil
}

// storeProblem gives the errors that belong to an event of the request their place in it.
func storeProblem(err error, at func(index int) string) error {
	var conflict ingest.ConflictError
	var large ingest.FanOutError
	var pgErr *pgconn.PgError

	switch {
	case errors.Is(err, ingest.ErrKeyHeld):
		return problem.Later(problem.IdempotencyKeyHeld,
			"another transaction holds this idempotency_key or ordering_key and has not ended yet: repeat the request", 5)
	case errors.As(err, &large):
		return problem.New(problem.TooManyDeliveries, fmt.Sprintf("the events have more than %d deliveries, "+
			"one for each endpoint that is subscribed: nothing was stored; send fewer events at a time", int(large)))
	case sqlstate.Of(err) == sqlstate.QueryCanceled:
		return problem.Later(problem.DatabaseTimeout,
			"the database took too long, and nothing was stored: repeat the request", 5)
	case errors.As(err, &conflict):
		return keyConflict(at(int(conflict)) + ".idempotency_key")
	case errors.As(err, &pgErr) && pgErr.Code == sqlstate.InvalidParameterValue:
		return problem.New(problem.InvalidRequest, pgErr.Message) // names the index, repeats no value
	case errors.As(err, &pgErr) && sqlstate.Class(pgErr.Code) == "54":
		return problem.New(problem.PayloadTooLarge, "a payload is larger than the database takes")
	}
	return err
}

func keyConflict(at string) *problem.Error {
	return problem.New(problem.IdempotencyConflict,
		"this idempotency_key belongs to an earlier event with another type or payload: nothing was stored; "+
			"use a new key for a new event", problem.Detail{Location: at, Message: "is in use for another event"})
}

func newReceipt(e outhook.Event, row db.EnqueueManyRow) receipt {
	return receipt{
		ID: row.EventID, TenantID: e.TenantID, Type: e.Type, CreatedAt: row.CreatedAt.UTC(),
		DeliveryCount: row.DeliveryCount, Duplicate: row.Duplicate,
	}
}

func (s *Server) listEvents(ctx context.Context, in *listEventsInput) (*pageOutput[event], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	p := db.ListEventsParams{
		Cursor: f.after(1)[0], Since: bound(in.Since), Until: bound(in.Until), Ascending: f.ascending,
		TenantID: f.tenant(in.TenantID), ScanRows: listRows,
	}
	p.Type, p.TypePrefix = f.eventType(in.Type)
	p.Label = f.text("query.label", in.Label)

	var err error
	if p.Only, err = s.keyedEvent(ctx, f, p.TenantID, in.Key); err != nil {
		return nil, err
	}

	return logList[db.ListEventsRow, event]{
		span: logSpan{since: p.Since, until: p.Until, cursor: p.Cursor, only: p.Only, ascending: p.Ascending},
		query: func(tx pgx.Tx, part stretch, maxRows int32) ([]db.ListEventsRow, error) {
			p.Low, p.High, p.MaxRows = part.low, part.high, maxRows
			return db.New().ListEvents(ctx, tx, p)
		},
		found:    func(r db.ListEventsRow) (matches, isLast bool) { return r.Matches, r.IsLast },
		answer:   always(newEventAnswer),
		position: func(r db.ListEventsRow) []uuid.UUID { return []uuid.UUID{r.ID} },
	}.answerPage(ctx, s, f)
}

// keyedEvent returns the event that has a tenant's idempotency key, the zero id if none has it, and nil without a key.
func (s *Server) keyedEvent(ctx context.Context, f *paging, tenantID *string, key string) (*uuid.UUID, error) {
	text := f.text("query.idempotency_key", key)
	if text != nil && tenantID == nil {
		f.fail(problem.Invalid("query.tenant_id", "is required with idempotency_key: each tenant has keys of its own"))
	}
	if text == nil || f.err != nil {
		return nil, f.err
	}

	var id uuid.UUID
	err := s.read(ctx, func(tx pgx.Tx) (err error) {
		id, err = db.New().FindKeyedEvent(ctx, tx, *tenantID, *text)
		return err
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	return &id, nil
}

func newEventAnswer(r db.ListEventsRow) event {
	return event{
		ID: r.ID, TenantID: r.TenantID, Type: r.Type, CreatedAt: r.CreatedAt.UTC(), Labels: r.Labels,
		DeliverAt: pg.UTC(r.DeliverAt), DeliveryCount: r.DeliveryCount,
	}
}

func (s *Server) getEvent(ctx context.Context, in *eventInput) (*getEventOutput, error) {
	var row db.GetEventRow
	var rows []db.ListEventDeliveriesRow
	err := s.read(ctx, func(tx pgx.Tx) (err error) {
		if row, err = db.New().GetEvent(ctx, tx, in.ID); err != nil {
			return err
		}
		if err := checkVisible(ctx, row.TenantID); err != nil {
			return err
		}
		rows, err = db.New().ListEventDeliveries(ctx, tx, in.ID)
		return err
	})
	if err != nil {
		return nil, err
	}

	head := fullEvent{
		ID: row.ID, TenantID: row.TenantID, Type: row.Type, CreatedAt: row.CreatedAt.UTC(),
		Labels: row.Labels, DeliverAt: pg.UTC(row.DeliverAt), Withdrawn: pg.UTC(row.WithdrawnAt), Ordering: row.OrderingKey,
		Headers: textsOf(row.Headers), Deliveries: make([]delivery, len(rows)), Erased: row.Payload == "",
	}
	if head.Headers == nil {
		head.Headers = map[string]string{}
	}
	if !requestOf(ctx).key.seesPayloads() {
		row.Payload = ""
	}
	for i, r := range rows {
		head.Deliveries[i] = newDelivery(db.GetDeliveryRow(r))
	}

	body, err := strictjson.Encode(head)
	if err != nil {
		return nil, err
	}
	body = withPayload(body, []byte(cmp.Or(row.Payload, "null")))
	return &getEventOutput{ContentType: "application/json", Body: body}, nil
}

// withPayload adds a payload to a JSON object byte for byte. encoding/json would drop its white space and escape
// characters in it.
func withPayload(object, payload []byte) []byte {
	object = bytes.TrimSuffix(bytes.TrimSpace(object), []byte("}"))
	return bytes.Join([][]byte{object, []byte(`,"payload":`), payload, []byte("}\n")}, nil)
}
