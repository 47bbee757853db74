package api

import (
	"encoding/json"
	"slices"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/strictjson"
)

// Limits of an endpoint's members. It is read with each of its deliveries, so it must stay small.
const (
	maxDescription  = 1024 // characters
	maxEventTypes   = 100
	maxTypeBytes    = 255 // as of an event's type
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

	TenantID      string            `json:"tenant_id" minLength:"1" maxLength:"255" example:"acme" doc:"The customer whose events it gets; or outhook.operator, to get operational events like outhook.endpoint.disabled."`
	URL           string            `json:"url" maxLength:"2048" example:"https://example.com/webhooks" doc:"http or https, publicly reachable, without user name and fragment."`
	Description   *string           `json:"description,omitempty" nullable:"true" maxLength:"1024" doc:"For people."`
	EventTypes    []string          `json:"event_types,omitempty" nullable:"true" maxItems:"100" example:"[\"invoice.*\"]" doc:"The types that it is subscribed to: invoice.paid, or invoice.* for each type below invoice. Absent or empty: all."`
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

	URL           *string           `json:"url,omitempty" nullable:"false" maxLength:"2048" example:"https://example.com/webhooks"`
	Description   *string           `json:"description,omitempty" nullable:"true" maxLength:"1024"`
	EventTypes    []string          `json:"event_types,omitempty" nullable:"true" maxItems:"100"`
	Headers       map[string]string `json:"headers,omitempty" nullable:"true" doc:"Replaces all of them."`
	SecretHeaders map[string]string `json:"secret_headers,omitempty" nullable:"true" doc:"Replaces all of them. A url with another scheme, host or port needs them again, or null."`
	TimeoutMS     *int32            `json:"timeout_ms,omitempty" nullable:"true" minimum:"1000" maximum:"30000"`
	MaxInFlight   *int32            `json:"max_in_flight,omitempty" nullable:"true" minimum:"1" maximum:"1000"`
	RateLimit     *rateLimit        `json:"rate_limit,omitempty" doc:"Null: no limit."`
	RetrySchedule *scheduleBody     `json:"retry_schedule,omitempty"`
	RetryJitter   *float64          `json:"retry_jitter,omitempty" nullable:"true" minimum:"0" maximum:"1"`
	Metadata      map[string]string `json:"metadata,omitempty" nullable:"true" doc:"Replaces all of it."`
	Status        *string           `json:"status,omitempty" nullable:"true" enum:"enabled,paused,disabled" doc:"paused: deliveries wait. disabled: none are made, and the pending ones are cancelled."`
}

// endpointEdit is an endpoint that a body changes member by member.
type endpointEdit struct {
	row           db.Endpoint
	secret        signature.Secret
	secretHeaders map[string]string // nil: not given
	cfg           *Config
	members       []string // the names of those that the body gives, sorted
	faults        problem.Faults
}

// decodeNewEndpoint reads the body that creates an endpoint.
func (s *Server) decodeNewEndpoint(body []byte) (*endpointEdit, error) {
	e := &endpointEdit{
		row: db.Endpoint{
			EventTypes: []string{}, Headers: []byte(emptyJSONObject), SecretHeaders: []byte(emptyJSONObject),
			Metadata: []byte(emptyJSONObject), TimeoutMS: defaultTimeout, MaxInFlight: defaultInFlight,
			RatePer: perSecond, RateBurst: 1,
		},
		secret: signature.NewSecret(), cfg: &s.cfg,
	}
	if err := e.decode(body, e.setNew); err != nil {
		return nil, err
	}

	for _, required := range []struct{ name, value string }{{"tenant_id", e.row.TenantID}, {"url", e.row.URL}} {
		if required.value == "" {
			e.faults.Add("body."+required.name, "is required")
		}
	}
	e.checkDoubles()
	e.checkDelays()
	return e, e.faults.Problem(problem.InvalidRequest)
}

// decodeChange reads the body that changes an endpoint.
func (s *Server) decodeChange(body []byte, row db.Endpoint) (*endpointEdit, error) {
	e := &endpointEdit{row: row, cfg: &s.cfg}
	if err := e.decode(body, e.setChange); err != nil {
		return nil, err
	}
	e.checkDoubles()
	e.checkMove(row)
	e.checkDelays()
	return e, e.faults.Problem(problem.InvalidRequest)
}

func (e *endpointEdit) decode(body []byte, set func(name string, value json.RawMessage) bool) error {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return err
	}

	strictjson.EachMember(object, "body", &e.faults, func(name string, value json.RawMessage) bool {
		e.members = append(e.members, name)
		return set(name, value)
	})
	slices.Sort(e.members)
	return nil
}

// setNew sets a member that only a new endpoint has, or any other.
func (e *endpointEdit) setNew(name string, value json.RawMessage) bool {
	switch name {
	case "tenant_id":
		e.row.TenantID = tenantID(value, &e.faults)
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

	e.row.Status = db.EndpointStatus(strictjson.Text(value, "body.status", &e.faults))
	switch e.row.Status {
	case db.EndpointStatusEnabled, db.EndpointStatusPaused, db.EndpointStatusDisabled:
	default:
		e.faults.Add("body.status", "must be enabled, paused or disabled")
	}
	return true
}

// set sets a member; null is its default.
func (e *endpointEdit) set(name string, value json.RawMessage) bool {
	switch name {
	case "url":
		e.setURL(value)
	case "description":
		e.setDescription(value)
	case "event_types":
		e.setEventTypes(value)

	case "headers":
		e.row.Headers = e.object(value, "body.headers", maxHeaders, maxHeaderBytes, checkHeader)
	case "secret_headers":
		e.secretHeaders = map[string]string{}
		if m := e.entries(value, "body.secret_headers", maxHeaders, maxHeaderBytes, checkSecretHeader); m != nil {
			e.secretHeaders = m
		}

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
		e.row.Metadata = e.object(value, "body.metadata", maxMetadata, maxMetaBytes, nil)
	default:
		return false
	}
	return true
}
