package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/jsondepth"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// newEvent documents the body of an event; decodeMembers reads it.
type newEvent struct {
	_ struct{} `additionalProperties:"false"`

	TenantID       string            `json:"tenant_id,omitempty" minLength:"1" maxLength:"255" example:"acme" doc:"The customer whose endpoints get the event: a label that you choose, at most 255 bytes, without control characters. Absent: the one that the key is bound to."`
	Type           string            `json:"type" maxLength:"255" pattern:"^[A-Za-z0-9_]+(\\.[A-Za-z0-9_]+)*$" example:"invoice.paid" doc:"Names of letters, digits and _ joined by dots. Types that begin with outhook. are reserved."`
	Payload        any               `json:"payload" example:"{\"amount\": 4200}" doc:"Any JSON value, at most 262,144 bytes and 512 levels deep. It is stored, signed and sent byte for byte."`
	Labels         []string          `json:"labels,omitempty" nullable:"true" maxItems:"10" example:"[\"eu\"]" doc:"Endpoints with labels get the events that have one of theirs. Names of letters, digits and _ . : -, at most 64 bytes each."`
	Headers        map[string]string `json:"headers,omitempty" nullable:"true" doc:"Sent with each request, to all endpoints; they are not signed. Names in lower case that begin with x-, or baggage or tracestate; not x-forwarded- and the like. Visible ASCII, 2 KiB together. An endpoint's own header of the same name goes first."`
	DeliverAt      *time.Time        `json:"deliver_at,omitempty" nullable:"true" doc:"When to deliver it, at most 30 days ahead; endpoints are chosen now. Until then POST /api/events/cancel takes it back. Absent, or past: at once."`
	OrderingKey    *string           `json:"ordering_key,omitempty" nullable:"true" maxLength:"255" example:"order-7" doc:"Each endpoint gets the events of the tenant with the same one in the order in which they were committed: one at a time, the next when the one before has ended. At most 255 bytes."`
	IdempotencyKey *string           `json:"idempotency_key,omitempty" nullable:"true" maxLength:"255" example:"payment-8812" doc:"Unique per tenant until the retention ends, at most 255 bytes. A second event with the same key, type and payload is a duplicate and stored once; with another type or payload it is refused (409)."`
}

// newBatch documents the body of a batch.
type newBatch struct {
	_ struct{} `additionalProperties:"false"`

	Events []newEvent `json:"events" nullable:"false" minItems:"1" maxItems:"1000" doc:"The events, at most 1,000 by default and 8 MiB together."`
}

// eventFaults is what is wrong with events. A payload that is too large has a status of its own.
type eventFaults struct {
	problem.Faults
	large bool
}

func (f *eventFaults) problem() error {
	if f.large {
		return f.Problem(problem.BodyTooLarge)
	}
	return f.Problem(problem.InvalidRequest)
}

func eventLocation(i int) string { return strictjson.ElementLocation("body.events", i) }

// decodeEvent reads the body of one event. tenantID is whose it is unless it says that; headerKey is the idempotency
// key of the request's header, or "".
func (s *Server) decodeEvent(body []byte, tenantID, headerKey string) (outhook.Event, error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return outhook.Event{}, err
	}

	var f eventFaults
	e := decodeMembers(object, tenantID, "body", &f.Faults)
	switch {
	case e.IdempotencyKey == "":
		e.IdempotencyKey = headerKey
	case headerKey != "" && headerKey != e.IdempotencyKey:
		f.Add("header.Idempotency-Key", "differs from idempotency_key in the body")
	}

	if len(f.Faults) == 0 {
		s.checkEvent(e, "body", &f)
	}
	return e, f.problem()
}

// decodeBatch reads the body of a batch. It stops at the first event that is wrong.
func (s *Server) decodeBatch(body []byte, tenantID string) (events []outhook.Event, err error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return nil, err
	}

	var list json.RawMessage
	var f eventFaults
	strictjson.EachMember(object, "body", &f.Faults, func(name string, value json.RawMessage) bool {
		if name == "events" {
			list = value
		}
		return name == "events"
	})
	if list == nil || list[0] != '[' {
		f.Add("body.events", "must be an array of events")
	}
	if len(f.Faults) > 0 {
		return nil, f.problem()
	}

	strictjson.EachElement(list, func(i int, value json.RawMessage) bool {
		events = append(events, s.decodeItem(value, tenantID, i, &f))
		return len(f.Faults) == 0
	})
	if len(events) == 0 {
		f.Add("body.events", "must hold at least one event")
	}
	return events, f.problem()
}

func (s *Server) decodeItem(value json.RawMessage, tenantID string, i int, f *eventFaults) (e outhook.Event) {
	at := eventLocation(i)

	switch {
	case i >= s.cfg.Limits.MaxBatchEvents:
		f.Add("body.events", fmt.Sprintf("must hold at most %d events", s.cfg.Limits.MaxBatchEvents))
	case value[0] != '{':
		f.Add(at, "must be an object")
	default:
		if e = decodeMembers(value, tenantID, at, &f.Faults); len(f.Faults) == 0 {
			s.checkEvent(e, at, f)
		}
	}
	return e
}

// decodeMembers reads the members of an event, which is tenantID's unless they say another. Its payload is the bytes
// that stand in object.
func decodeMembers(object json.RawMessage, tenantID, at string, f *problem.Faults) (e outhook.Event) {
	e.TenantID = tenantID
	given := map[string]bool{"tenant_id": tenantID != ""}
	strictjson.EachMember(object, at, f, func(name string, value json.RawMessage) bool {
		given[name] = true
		switch name {
		case "tenant_id":
			e.TenantID = strictjson.Text(value, at+".tenant_id", f)
		case "type":
			e.Type = strictjson.Text(value, at+".type", f)
		case "payload":
			e.Payload = value
		case "labels":
			if !strictjson.IsNull(value) {
				e.Labels = strictjson.Texts(value, at+".labels", f)
			}
		case "headers":
			e.Headers = headersOf(value, at+".headers", f)
		case "deliver_at":
			e.DeliverAt = timeOf(value, at+".deliver_at", f)
		case "idempotency_key":
			e.IdempotencyKey = strictjson.TextOrNull(value, at+".idempotency_key", f)
		case "ordering_key":
			e.OrderingKey = strictjson.TextOrNull(value, at+".ordering_key", f)
		default:
			return false
		}
		return true
	})

	for _, name := range []string{"tenant_id", "type", "payload"} {
		if !given[name] {
			f.Add(at+"."+name, "is required")
		}
	}
	return e
}

// headersOf reads the headers of an event; null is none.
func headersOf(value json.RawMessage, at string, f *problem.Faults) map[string]string {
	if strictjson.IsNull(value) {
		return nil
	}

	headers := map[string]string{}
	for name, text := range strictjson.TextPatch(value, at, f) {
		if text == nil {
			f.Add(strictjson.MemberLocation(at, name), "must be a string")
			continue
		}
		headers[name] = *text
	}
	return headers
}

// timeOf reads a time; null is the zero one.
func timeOf(value json.RawMessage, at string, f *problem.Faults) (t time.Time) {
	if strictjson.IsNull(value) {
		return t
	}

	before := len(*f)
	text := strictjson.Text(value, at, f)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil && len(*f) == before {
		f.Add(at, "must be a time like 2026-03-01T09:30:00Z")
	}
	return t
}

// checkEvent applies the rules that all ways of enqueueing share, and the server's own limit.
func (s *Server) checkEvent(e outhook.Event, at string, f *eventFaults) {
	if most := s.cfg.Limits.MaxPayloadBytes; len(e.Payload) > most {
		f.large = true
		f.Add(at+".payload", fmt.Sprintf("is larger than %d bytes: send a link to large data instead", most))
		return
	}
	if jsondepth.Of(e.Payload) > outhook.MaxDepth {
		f.Add(at+".payload", fmt.Sprintf("nests deeper than %d levels", outhook.MaxDepth))
		return
	}

	// A value of a body that is valid JSON is valid JSON: it need not be parsed a second time.
	e.Payload = json.RawMessage("null")
	var broken *outhook.InvalidEventError
	if err := e.Validate(); errors.As(err, &broken) {
		f.large = f.large || errors.Is(err, outhook.ErrPayloadTooLarge)
		f.Add(at+"."+broken.Field, broken.Problem)
	}
}
