package api

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/cloudevent"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// Limits of an endpoint's members. It is read with each of its deliveries, so it must stay small.
const (
	maxDescription  = 1024 // characters
	maxEventTypes   = 100
	maxTypeBytes    = 255 // as of an event's type
	maxLabels       = 100
	maxHeaders      = 20
	maxHeaderBytes  = 4 << 10 // names and values
	maxMetadata     = 20
	maxMetaBytes    = 4 << 10 // names and values
	minTimeoutMS    = 1000
	maxTimeoutMS    = 30_000
	defaultTimeout  = 15_000
	defaultStatus   = db.EndpointStatusEnabled
	emptyJSONObject = "{}"
)

// newEndpoint documents the body that creates an endpoint; endpointEdit reads it.
type newEndpoint struct {
	_ struct{} `additionalProperties:"false"`

	TenantID      string            `json:"tenant_id,omitempty" minLength:"1" maxLength:"255" example:"acme" doc:"The customer whose events it gets; or outhook.operator, to get operational events like outhook.endpoint.disabled. Absent: the one that the key is bound to."`
	UID           *string           `json:"uid,omitempty" nullable:"true" maxLength:"256" pattern:"^[A-Za-z0-9_.-]+$" example:"main" doc:"Your own name for it, unique in its tenant, usable wherever its id is. No UUID, and not . or .. alone."`
	URL           string            `json:"url" maxLength:"2048" example:"https://example.com/webhooks" doc:"http or https, publicly reachable, without user name and fragment."`
	Description   *string           `json:"description,omitempty" nullable:"true" maxLength:"1024" doc:"For people."`
	EventTypes    []string          `json:"event_types,omitempty" nullable:"true" maxItems:"100" example:"[\"invoice.*\"]" doc:"The types that it is subscribed to: invoice.paid, or invoice.* for each type below invoice. Absent or empty: all."`
	Filter        *filterBody       `json:"filter,omitempty" doc:"Which events of these types it gets, by their content: conditions on type, tenant_id and data, the payload. Absent: all."`
	Labels        []string          `json:"labels,omitempty" nullable:"true" maxItems:"100" example:"[\"eu\"]" doc:"It gets the events that have one of these labels. Absent or empty: all, with labels and without."`
	Format        *string           `json:"format,omitempty" nullable:"true" enum:"standard,cloudevents" doc:"cloudevents: its requests are CloudEvents 1.0 in binary mode: ce-id, ce-type, ce-source (/tenants/ and the tenant), ce-time and ce-specversion beside all other headers. The body is the payload, as ever. Defaults to standard."`
	Ordered       *string           `json:"ordered,omitempty" nullable:"true" enum:",block,skip" doc:"One event at a time, in the order of their ids: the next one leaves when the one before has ended. When a schedule is used up, block pauses the endpoint until somebody has looked, skip goes on. Events with an ordering_key go in the order of that. Absent or empty: in any order."`
	Headers       map[string]string `json:"headers,omitempty" nullable:"true" doc:"Extra request headers, at most 20 and 4 KiB. Not the connection's and not ours: content-, webhook-, outhook- and proxy- headers, host, cookie, user-agent; authorization only in secret_headers."`
	SecretHeaders map[string]string `json:"secret_headers,omitempty" nullable:"true" doc:"The same for headers that are credentials, authorization among them: stored encrypted, never shown again. At most 20 and 4 KiB."`
	Secret        *string           `json:"secret,omitempty" nullable:"true" doc:"whsec_ and the base64 of 24 to 64 bytes, to keep the one that the receiver has. Absent: a new one of 32 bytes."`
	TimeoutMS     *int32            `json:"timeout_ms,omitempty" nullable:"true" minimum:"1000" maximum:"30000" default:"15000" doc:"For the whole request: DNS, connecting, sending, waiting, reading the answer."`
	MaxInFlight   *int32            `json:"max_in_flight,omitempty" nullable:"true" minimum:"1" maximum:"1000" default:"32" doc:"How many of its requests may be under way at the same time: in each worker process, or in all together while it has a lane."`
	RateLimit     *rateLimit        `json:"rate_limit,omitempty" doc:"The most requests in a time, retries included, over all workers. Null: no limit."`
	RetrySchedule *scheduleBody     `json:"retry_schedule,omitempty" doc:"The delays between attempts, 1s to 168h each. Empty: one attempt only. Absent: the server's."`
	RetryJitter   *float64          `json:"retry_jitter,omitempty" nullable:"true" minimum:"0" maximum:"1" example:"0.1" doc:"How much longer a delay may become, as a fraction of it, so that what failed together does not come back together: 0.1 makes it up to 10 % longer, 0 leaves it exact. It never makes one shorter. Absent: the server's."`
	Metadata      map[string]string `json:"metadata,omitempty" nullable:"true" doc:"Yours, at most 20 entries and 4 KiB."`
}

// endpointChange documents the body that changes an endpoint.
type endpointChange struct {
	_ struct{} `additionalProperties:"false"`

	UID           *string       `json:"uid,omitempty" nullable:"true" maxLength:"256" pattern:"^[A-Za-z0-9_.-]+$" doc:"Null: none."`
	URL           *string       `json:"url,omitempty" nullable:"false" maxLength:"2048" example:"https://example.com/webhooks"`
	Description   *string       `json:"description,omitempty" nullable:"true" maxLength:"1024"`
	EventTypes    []string      `json:"event_types,omitempty" nullable:"true" maxItems:"100"`
	Filter        *filterBody   `json:"filter,omitempty" doc:"It replaces the one that there is; null: none. Deliveries that exist stay as they are."`
	Labels        []string      `json:"labels,omitempty" nullable:"true" maxItems:"100"`
	Format        *string       `json:"format,omitempty" nullable:"true" enum:"standard,cloudevents"`
	Ordered       *string       `json:"ordered,omitempty" nullable:"true" enum:",block,skip" doc:"Of what is published from now on."`
	Headers       textPatch     `json:"headers,omitempty" nullable:"true" doc:"Merged with those that there are: null removes one, or all."`
	SecretHeaders textPatch     `json:"secret_headers,omitempty" nullable:"true" doc:"Merged with those that there are: null removes one, or all. A url with another scheme, host or port needs each of them again, or null."`
	TimeoutMS     *int32        `json:"timeout_ms,omitempty" nullable:"true" minimum:"1000" maximum:"30000"`
	MaxInFlight   *int32        `json:"max_in_flight,omitempty" nullable:"true" minimum:"1" maximum:"1000"`
	RateLimit     *rateLimit    `json:"rate_limit,omitempty" doc:"Null: no limit."`
	RetrySchedule *scheduleBody `json:"retry_schedule,omitempty"`
	RetryJitter   *float64      `json:"retry_jitter,omitempty" nullable:"true" minimum:"0" maximum:"1"`
	Metadata      textPatch     `json:"metadata,omitempty" nullable:"true" doc:"Merged with what there is: null removes one, or all."`
	Status        *string       `json:"status,omitempty" nullable:"true" enum:"enabled,paused,disabled" doc:"paused: deliveries wait. disabled: none are made, and the pending ones are cancelled."`
}

// decodeNewEndpoint reads the body that creates an endpoint. tenantID is whose it is unless the body says that; nil:
// the one's that the request's key is bound to.
func (s *Server) decodeNewEndpoint(ctx context.Context, body []byte, tenantID *string) (*endpointEdit, error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return nil, err
	}

	e, own := s.newEdit("body"), requestOf(ctx).key.tenantID
	if tenantID != nil {
		own = *tenantID
	}
	e.decodeNew(object, own)
	if err := e.faults.Problem(problem.InvalidRequest); err != nil {
		return nil, err
	}
	return e, checkOwn(ctx, e.row.TenantID, "body.tenant_id")
}

// decodeNew reads the members of a new endpoint, which is tenantID's unless they say another.
func (e *endpointEdit) decodeNew(object json.RawMessage, tenantID string) {
	e.row.TenantID = tenantID
	e.decode(object, e.setNew)

	for _, required := range []struct{ name, value string }{{"tenant_id", e.row.TenantID}, {"url", e.row.URL}} {
		if required.value == "" {
			e.faults.Add(e.at+"."+required.name, "is required")
		}
	}
	e.checkDoubles()
	e.checkDelays()
}

// decodeChange reads the body that changes an endpoint.
func (s *Server) decodeChange(body []byte, row db.Endpoint) (*endpointEdit, error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return nil, err
	}

	e := &endpointEdit{memberReader: memberReader{at: "body"}, row: row, cfg: &s.cfg}
	e.decode(object, e.setChange)
	e.checkMove(row)
	e.checkDoubles()
	e.checkDelays()
	return e, e.faults.Problem(problem.InvalidRequest)
}

func (e *endpointEdit) decode(object json.RawMessage, set func(name string, value json.RawMessage) bool) {
	strictjson.EachMember(object, e.at, &e.faults, func(name string, value json.RawMessage) bool {
		e.members = append(e.members, name)
		return set(name, value)
	})
	slices.Sort(e.members)
}

// setNew sets a member that only a new endpoint has, or any other.
func (e *endpointEdit) setNew(name string, value json.RawMessage) bool {
	switch name {
	case "tenant_id":
		e.row.TenantID = tenantID(value, e.at+".tenant_id", &e.faults)
	case "secret":
		e.setSecret(value)
	default:
		return e.set(name, value)
	}
	return true
}

// setChange sets a member that only an existing endpoint has, or any other.
func (e *endpointEdit) setChange(name string, value json.RawMessage) bool {
	if name != "status" {
		return e.set(name, value)
	}

	e.row.Status = defaultStatus
	if strictjson.IsNull(value) {
		return true
	}

	e.row.Status = db.EndpointStatus(strictjson.Text(value, e.at+".status", &e.faults))
	switch e.row.Status {
	case db.EndpointStatusEnabled, db.EndpointStatusPaused, db.EndpointStatusDisabled:
	default:
		e.faults.Add(e.at+".status", "must be enabled, paused or disabled")
	}
	return true
}

// set sets a member; null is its default.
func (e *endpointEdit) set(name string, value json.RawMessage) bool {
	switch name {
	case "uid":
		e.setUID(value)
	case "url":
		e.setURL(value)
	case "description":
		e.setDescription(value)
	case "event_types":
		e.setEventTypes(value)
	case "filter":
		e.setFilter(value)
	case "labels":
		e.setLabels(value)
	case "format":
		e.row.Format = e.oneOf(name, value, formatStandard, cloudevent.Format)
	case "ordered":
		e.row.Ordered = e.oneOf(name, value, "", "block", "skip")

	case "headers":
		e.setHeaders(value)
	case "secret_headers":
		e.setSecretHeaders(value)

	case "timeout_ms":
		e.setTimeout(value)
	case "max_in_flight":
		e.setInFlight(value)
	case "rate_limit":
		e.setRateLimit(value)
	case "retry_schedule":
		e.setSchedule(value)
	case "retry_jitter":
		e.setJitter(value)
	case "metadata":
		e.setMetadata(value)
	default:
		return false
	}
	return true
}
