package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
	joboperation "github.com/outhook/outhook/jobs/operation"
)

// newRecover documents the body that recovers an endpoint; filterEdit reads it.
type newRecover struct {
	_ struct{} `additionalProperties:"false"`

	Since      time.Time  `json:"since" example:"2026-01-02T03:00:00Z" doc:"Deliveries that were settled (failed, cancelled) at this time or later."`
	Until      *time.Time `json:"until,omitempty" nullable:"true" doc:"And before this time. Absent: now."`
	EventTypes []string   `json:"event_types,omitempty" nullable:"true" maxItems:"100" example:"[\"invoice.*\"]" doc:"Only these types: invoice.paid, or invoice.* for each type below invoice. Absent or empty: all."`
	States     []string   `json:"states,omitempty" nullable:"true" enum:"failed,cancelled" doc:"Absent: failed and cancelled."`
	Missed     *bool      `json:"missed,omitempty" nullable:"true" doc:"Deliver also the events that were enqueued in this range of time while the endpoint was disabled, and so made no deliveries: all that it is subscribed to now and has no delivery of, since it was created."`
}

// newReplay documents the body that replays by a filter.
type newReplay struct {
	_ struct{} `additionalProperties:"false"`

	Since      time.Time  `json:"since" example:"2026-01-02T03:00:00Z" doc:"Deliveries that were settled at this time or later."`
	Until      *time.Time `json:"until,omitempty" nullable:"true" doc:"And before this time. Absent: now."`
	TenantID   *string    `json:"tenant_id,omitempty" nullable:"true" maxLength:"255" doc:"Only deliveries of this tenant. Absent: of any, or of the one that the key is bound to."`
	EndpointID *string    `json:"endpoint_id,omitempty" nullable:"true" maxLength:"256" doc:"Only deliveries to this endpoint: its id, or its uid."`
	EventTypes []string   `json:"event_types,omitempty" nullable:"true" maxItems:"100" doc:"Only these types: invoice.paid, or invoice.* for each type below invoice. Absent or empty: all."`
	States     []string   `json:"states,omitempty" nullable:"true" enum:"failed,cancelled,succeeded" doc:"Absent: failed. cancelled: whoever cancelled them. succeeded, for a receiver that lost what it had accepted, looks through the whole log."`
}

// filterEdit is a filter that a body sets member by member, or a query.
type filterEdit struct {
	joboperation.Filter
	at         string // body or query
	ofEndpoint bool   // the endpoint is given already
	endpoint   string // its id or uid, as the body names it
	faults     problem.Faults
}

// decodeFilter reads the body that starts an operation; of an endpoint, or by any filter.
func decodeFilter(body []byte, ofEndpoint bool) (*filterEdit, error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return nil, err
	}

	e := &filterEdit{at: "body", ofEndpoint: ofEndpoint}
	strictjson.EachMember(object, "body", &e.faults, e.set)
	return e, e.check()
}

// check refuses what is at fault, and times that make no range.
func (e *filterEdit) check() error {
	switch {
	case len(e.faults) > 0:
	case e.Since.IsZero():
		e.faults.Add(e.at+".since", "is required")
	case e.Since.After(time.Now()):
		e.faults.Add(e.at+".since", "must not be in the future")
	case e.Until != nil && !e.Until.After(e.Since):
		e.faults.Add(e.at+".until", "must be later than since")
	}
	return e.faults.Problem(problem.InvalidRequest)
}

// set sets a member; null is its default.
func (e *filterEdit) set(name string, value json.RawMessage) bool {
	switch name {
	case "since":
		e.Since = strictjson.Time(value, "body.since", &e.faults)
	case "until":
		e.Until = strictjson.TimeOrNull(value, "body.until", &e.faults)

	case "event_types":
		e.setEventTypes(value)
	case "states":
		e.setStates(value)

	case "missed":
		if !e.ofEndpoint {
			return false
		}
		e.Missed = !strictjson.IsNull(value) && strictjson.Bool(value, "body.missed", &e.faults)
	case "tenant_id", "endpoint_id":
		if e.ofEndpoint {
			return false
		}
		e.setScope(name, value)
	default:
		return false
	}
	return true
}

func (e *filterEdit) setEventTypes(value json.RawMessage) {
	edit := endpointEdit{memberReader: memberReader{at: e.at}}
	edit.setEventTypes(value)
	e.EventTypes, e.faults = edit.row.EventTypes, append(e.faults, edit.faults...)
}

func (e *filterEdit) setScope(name string, value json.RawMessage) {
	if strictjson.IsNull(value) {
		return
	}

	if name == "tenant_id" {
		id := tenantID(value, "body.tenant_id", &e.faults)
		e.TenantID = &id
		return
	}

	before := len(e.faults)
	e.endpoint = strictjson.Text(value, "body.endpoint_id", &e.faults)
	if len(e.faults) == before && uuid.Validate(e.endpoint) != nil && !isUID(e.endpoint) {
		e.faults.Add("body.endpoint_id", endpointRule)
	}
}

// findEndpoint sets the endpoint that is named, and refuses an operation for one that is not there, or not the
// tenant's: it would look through the log and find nothing.
func (e *filterEdit) findEndpoint(ctx context.Context, tx pgx.Tx) error {
	if e.endpoint == "" {
		return nil
	}

	id, err := findEndpoint(ctx, tx, e.endpoint, e.TenantID, e.at+".endpoint_id", e.at+".tenant_id")
	if err == nil {
		_, err = db.New().GetEndpoint(ctx, tx, id)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return problem.Invalid(e.at+".endpoint_id", "is no endpoint of the tenant")
	}
	e.EndpointID = &id
	return err
}

func (e *filterEdit) setStates(value json.RawMessage) {
	e.States = nil
	if strictjson.IsNull(value) {
		return
	}

	known, message := []string{"failed", "cancelled"}, "must be failed or cancelled"
	if !e.ofEndpoint {
		known, message = append(known, "succeeded"), "must be failed, cancelled or succeeded"
	}

	for i, state := range strictjson.Texts(value, "body.states", &e.faults) {
		if !slices.Contains(known, state) {
			e.faults.Add(strictjson.ElementLocation("body.states", i), message)
		}
		e.States = append(e.States, db.DeliveryState(state))
	}
}
