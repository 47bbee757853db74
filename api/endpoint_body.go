package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/ledger"
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

// eventTypePattern is the name of a type, or a prefix of names and .*.
var eventTypePattern = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*(\.\*)?$`)

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
	RetrySchedule []string          `json:"retry_schedule,omitempty" nullable:"true" maxItems:"30" example:"[\"1m\", \"2m\", \"4m\"]" doc:"The delays between attempts, 1s to 168h each. Empty: one attempt only. Absent: the server's. A preset's name, fast or standard, may stand in place of the list."`
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
	RetrySchedule []string          `json:"retry_schedule,omitempty" nullable:"true" maxItems:"30"`
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
	return e, e.faults.Problem(http.StatusUnprocessableEntity)
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
	return e, e.faults.Problem(http.StatusUnprocessableEntity)
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

// tenantID applies the rule of events to an endpoint's tenant. Endpoints of the operator tenant get operational events.
func tenantID(value json.RawMessage, f *problem.Faults) string {
	before := len(*f)
	id := strictjson.Text(value, "body.tenant_id", f)
	if len(*f) > before || id == health.OperatorTenant {
		return id
	}

	if fault := tenantFault(id); fault != "" {
		f.Add("body.tenant_id", fault)
	}
	return id
}

// tenantFault returns what is wrong with a tenant's label, or "".
func tenantFault(id string) string {
	var broken *outhook.InvalidEventError
	e := outhook.Event{TenantID: id, Type: "any", Payload: json.RawMessage("null")}
	if err := e.Validate(); errors.As(err, &broken) {
		return broken.Problem
	}
	return ""
}

func (e *endpointEdit) setSecret(value json.RawMessage) {
	if strictjson.IsNull(value) {
		return
	}

	secret, err := signature.ParseSecret(strictjson.Text(value, "body.secret", &e.faults))
	if err != nil {
		e.faults.Add("body.secret", err.Error()) // says how to make one, and repeats nothing
		return
	}
	e.secret = secret
}

func (e *endpointEdit) setURL(value json.RawMessage) {
	before := len(e.faults)
	e.row.URL = strictjson.Text(value, "body.url", &e.faults)
	if len(e.faults) > before {
		return
	}

	if err := e.cfg.Checks.URL(e.row.URL); err != nil {
		e.faults.Add("body.url", err.Error())
	}
}

func (e *endpointEdit) setDescription(value json.RawMessage) {
	e.row.Description = ""
	if strictjson.IsNull(value) {
		return
	}

	e.row.Description = strictjson.Text(value, "body.description", &e.faults)
	if utf8.RuneCountInString(e.row.Description) > maxDescription {
		e.faults.Add("body.description", fmt.Sprintf("is longer than %d characters", maxDescription))
	}
}

func (e *endpointEdit) setEventTypes(value json.RawMessage) {
	const at = "body.event_types"
	e.row.EventTypes = []string{}
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	list := strictjson.Texts(value, at, &e.faults)
	if len(e.faults) > before {
		return
	}
	if len(list) > maxEventTypes {
		e.faults.Add(at, fmt.Sprintf("has more than %d entries", maxEventTypes))
		return
	}

	for i, name := range list {
		switch {
		case name == "*":
			e.faults.Add(strictjson.ElementLocation(at, i), "must not be *: an empty list means all")
		case !eventTypePattern.MatchString(name) || len(name) > maxTypeBytes:
			e.faults.Add(strictjson.ElementLocation(at, i),
				"must be a type like invoice.paid, or invoice.* for each type below invoice; at most 255 bytes")
		case slices.Contains(list[:i], name):
			e.faults.Add(strictjson.ElementLocation(at, i), "is given twice")
		}
	}

	e.row.EventTypes = list
}

func (e *endpointEdit) setTimeout(value json.RawMessage) {
	e.row.TimeoutMS = defaultTimeout
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	e.row.TimeoutMS = strictjson.Integer(value, "body.timeout_ms", &e.faults)
	if len(e.faults) == before && (e.row.TimeoutMS < minTimeoutMS || e.row.TimeoutMS > maxTimeoutMS) {
		e.faults.Add("body.timeout_ms", fmt.Sprintf("must be %d to %d", minTimeoutMS, maxTimeoutMS))
	}
}

func (e *endpointEdit) setSchedule(value json.RawMessage) {
	e.row.RetrySchedule = nil
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	schedule, err := e.schedule(value)
	switch {
	case len(e.faults) > before:
	case err != nil:
		e.faults.Add("body.retry_schedule", strings.TrimPrefix(err.Error(), retry.ErrInvalid.Error()+": "))
	default:
		e.row.RetrySchedule = schedule.Seconds()
	}
}

// schedule reads a preset's name or a list of durations.
func (e *endpointEdit) schedule(value json.RawMessage) (retry.Schedule, error) {
	if value[0] == '"' {
		switch strictjson.Text(value, "body.retry_schedule", &e.faults) {
		case "fast":
			return retry.Fast(), nil
		case "standard":
			return retry.Standard(), nil
		}
		return nil, errors.New(`must be a list of delays like ["1m", "2m", "4m"], or a preset: fast or standard`)
	}

	schedule := retry.Schedule{}
	for i, item := range strictjson.Texts(value, "body.retry_schedule", &e.faults) {
		d, err := time.ParseDuration(item)
		if err != nil {
			e.faults.Add(strictjson.ElementLocation("body.retry_schedule", i), "must be a duration like 30s, 1m or 2h")
		}
		schedule = append(schedule, d)
	}
	return schedule, schedule.Validate()
}

func (e *endpointEdit) setJitter(value json.RawMessage) {
	e.row.RetryJitter = nil
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	jitter := strictjson.Number(value, "body.retry_jitter", &e.faults)
	if len(e.faults) > before {
		return
	}
	if err := retry.Jitter(jitter).Validate(); err != nil {
		e.faults.Add("body.retry_jitter", err.Error())
		return
	}
	e.row.RetryJitter = &jitter
}

// checkDelays refuses delays that are longer than deliveries are kept, whichever of the schedule and the jitter was
// given. What was not is the row's, or the server's.
func (e *endpointEdit) checkDelays() {
	schedule, jitter := e.cfg.Schedule, e.cfg.Jitter
	if e.row.RetrySchedule != nil {
		schedule = retry.FromSeconds(e.row.RetrySchedule)
	}
	if e.row.RetryJitter != nil {
		jitter = retry.Jitter(*e.row.RetryJitter)
	}
	if len(e.faults) > 0 || schedule.Fits(e.cfg.Retention, jitter) == nil {
		return
	}

	bound := fmt.Sprintf("all delays, jitter included, and a day must be less than the %d days that events are kept",
		e.cfg.Retention/ledger.Day)
	switch {
	case slices.Contains(e.members, "retry_schedule"):
		e.faults.Add("body.retry_schedule", "is too long: "+bound)
	case slices.Contains(e.members, "retry_jitter"):
		e.faults.Add("body.retry_jitter", "is too large for the retry schedule: "+bound)
	}
}

// object reads an object of strings as entries does, and returns it as it is stored.
func (e *endpointEdit) object(
	value json.RawMessage, at string, maxEntries, maxBytes int, check func(name, value string) string,
) json.RawMessage {
	m := e.entries(value, at, maxEntries, maxBytes, check)
	if m == nil {
		return json.RawMessage(emptyJSONObject)
	}

	data, err := json.Marshal(m)
	if err != nil {
		e.faults.Add(at, "must be an object of strings") // not for a map of strings
	}
	return data
}

// entries reads an object of strings with at most maxEntries and maxBytes. It returns nil for null and for what is
// none.
func (e *endpointEdit) entries(
	value json.RawMessage, at string, maxEntries, maxBytes int, check func(name, value string) string,
) map[string]string {
	if strictjson.IsNull(value) {
		return nil
	}

	before := len(e.faults)
	m := strictjson.TextMap(value, at, &e.faults)
	if len(e.faults) > before {
		return nil
	}

	bytes, seen := 0, map[string]bool{}
	for name, v := range m {
		bytes += len(name) + len(v)
		if check == nil {
			continue
		}
		if message := check(name, v); message != "" {
			e.faults.Add(strictjson.MemberLocation(at, name), message)
		}
		if seen[strings.ToLower(name)] {
			e.faults.Add(strictjson.MemberLocation(at, name), "is given twice: case has no meaning here")
		}
		seen[strings.ToLower(name)] = true
	}

	if len(m) > maxEntries || bytes > maxBytes {
		e.faults.Add(at, fmt.Sprintf("must have at most %d entries and %d bytes of names and values", maxEntries, maxBytes))
	}
	return m
}

// checkMove refuses to send an endpoint's credentials to another host: whoever changes the URL gives them again, or
// gives them up.
func (e *endpointEdit) checkMove(before db.Endpoint) {
	if len(e.faults) > 0 || e.secretHeaders != nil || origin(before.URL) == origin(e.row.URL) {
		return
	}

	_, names, err := signature.HeaderKeys(before.SecretHeaders)
	if err != nil || len(names) > 0 {
		e.faults.Add("body.secret_headers", "are those of another scheme, host or port: "+
			"give them again together with this url, or null for none")
	}
}

// origin returns the scheme, host and port of a URL.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}

	port := u.Port()
	switch {
	case port != "":
	case strings.EqualFold(u.Scheme, "http"):
		port = "80"
	default:
		port = "443"
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port)
}

// checkDoubles refuses a header that would be both secret and not.
func (e *endpointEdit) checkDoubles() {
	if len(e.faults) > 0 {
		return
	}

	var plain map[string]string
	if err := json.Unmarshal(e.row.Headers, &plain); err != nil {
		e.faults.Add("body.headers", "must be an object of strings") // not for what was decoded or stored before
	}

	secret := map[string]bool{}
	for name := range e.secretHeaders {
		secret[strings.ToLower(name)] = true
	}
	if e.secretHeaders == nil && len(e.row.SecretHeaders) > 0 {
		_, names, err := signature.HeaderKeys(e.row.SecretHeaders)
		if err != nil {
			e.faults.Add("body.secret_headers", "can't be read: give them again") // not for what was stored before
		}
		for _, name := range names {
			secret[name] = true
		}
	}

	for name := range plain {
		if secret[strings.ToLower(name)] {
			e.faults.Add(strictjson.MemberLocation("body.headers", name), "is among secret_headers too: a header has one value")
		}
	}
}

// checkSecretHeader returns what is wrong with a request header that is stored encrypted, or "". Authorization is no
// more than that: the receiver's own check of who posts.
func checkSecretHeader(name, value string) string {
	if strings.EqualFold(name, "authorization") {
		name = "x-authorization"
	}
	return checkHeader(name, value)
}

// checkHeader returns what is wrong with a request header, or "".
func checkHeader(name, value string) string {
	visible := func(r rune) bool { return r < ' ' || r > '~' }

	switch {
	case strings.EqualFold(name, "authorization"):
		return "is not allowed: it is a credential, put it into secret_headers, which are stored encrypted"
	case isReservedHeader(strings.ToLower(name)):
		return "is not allowed: it belongs to the connection, to Outhook or to the signature"
	case egress.CheckHeader(name, "") != nil:
		return "must have a header's name: letters, digits, and - _ . between them; and not be one of the connection's"
	case egress.CheckHeader(name, value) != nil, strings.ContainsFunc(value, visible), strings.TrimSpace(value) != value:
		return "must have a value of visible ASCII characters"
	}
	return ""
}

// isReservedHeader names what an endpoint can't set: what RFC 9110, section 7.6.1, calls the connection's, what frames
// the request, and what the receiver must be able to trust.
func isReservedHeader(lower string) bool {
	for _, prefix := range []string{"content-", "webhook-", "outhook-", "proxy-"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}

	switch lower {
	case "host", "authorization", "cookie", "user-agent", "connection", "keep-alive", "te", "trailer", "transfer-encoding",
		"upgrade", "expect":
		return true
	}
	return false
}

func (e *endpointEdit) setInFlight(value json.RawMessage) {
	e.row.MaxInFlight = defaultInFlight
	if strictjson.IsNull(value) {
		return
	}
	e.row.MaxInFlight = e.bounded(value, "body.max_in_flight", maxInFlight)
}

// bounded reads a number from 1 to most.
func (e *endpointEdit) bounded(value json.RawMessage, at string, most int32) int32 {
	before := len(e.faults)
	n := strictjson.Integer(value, at, &e.faults)
	if len(e.faults) == before && (n < 1 || n > most) {
		e.faults.Add(at, fmt.Sprintf("must be 1 to %d", most))
	}
	return n
}

func (e *endpointEdit) setRateLimit(value json.RawMessage) {
	const at = "body.rate_limit"
	e.row.RateLimit, e.row.RatePer, e.row.RateBurst = nil, perSecond, 1
	switch {
	case strictjson.IsNull(value):
		return
	case value[0] != '{':
		e.faults.Add(at, `must be an object like {"requests": 50, "per": "second", "burst": 1}`)
		return
	}

	strictjson.EachMember(value, at, &e.faults, func(name string, value json.RawMessage) bool {
		location := strictjson.MemberLocation(at, name)
		switch name {
		case "requests":
			n := e.bounded(value, location, maxRate)
			e.row.RateLimit = &n
		case "per":
			e.row.RatePer = strictjson.Text(value, location, &e.faults)
			if e.row.RatePer != perSecond && e.row.RatePer != perMinute {
				e.faults.Add(location, "must be second or minute")
			}
		case "burst":
			e.row.RateBurst = e.bounded(value, location, maxRate)
		default:
			return false
		}
		return true
	})

	if e.row.RateLimit == nil {
		e.faults.Add(at+".requests", "is required")
	}
}
