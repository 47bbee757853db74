package svix

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

const (
	// maxContent is after how many bytes of payloads a page of messages ends, which is short then: Svix shows them in
	// lists, up to 250 of 256 KiB.
	maxContent = 8 << 20

	// maxExpunged is how many messages one call expunges.
	maxExpunged = 100
)

// messageIn is a message as it is given. What Outhook has not is refused when it is used.
type messageIn struct {
	EventType   json.RawMessage `json:"eventType"`
	EventID     *string         `json:"eventId"`
	Payload     json.RawMessage `json:"payload"`
	Data        json.RawMessage `json:"data"` // another name of payload
	Application *applicationIn  `json:"application"`

	Transformation *transformation `json:"transformationsParams"`

	DeliverAt json.RawMessage `json:"deliverAt"` // as it is: the API reads it

	Channels       json.RawMessage `json:"channels"`
	Tags           json.RawMessage `json:"tags"`
	RetentionDays  json.RawMessage `json:"payloadRetentionPeriod"`
	RetentionHours json.RawMessage `json:"payloadRetentionHours"`
}

// transformation is the one that Outhook has: it sends a text as it is.
type transformation struct {
	members map[string]json.RawMessage
}

// UnmarshalJSON keeps all members, so that those that Outhook has not are refused.
func (t *transformation) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &t.members) }

// raw returns the text that is to be sent.
func (t *transformation) raw(f *problem.Faults) json.RawMessage {
	const at = "body.transformationsParams"
	var text string
	for name, value := range t.members {
		switch name {
		case "rawPayload":
			if json.Unmarshal(value, &text) != nil {
				f.Add(at+".rawPayload", "must be a string")
			}
		case "headers":
			var headers map[string]string
			if json.Unmarshal(value, &headers) != nil || !isJSONType(headers) {
				f.Add(at+".headers", "may only be a content-type of JSON: Outhook sends nothing else")
			}
		default:
			f.Add(strictjson.MemberLocation(at, name), "is not supported by Outhook, which transforms nothing")
		}
	}

	switch {
	case text == "":
		f.Add(at+".rawPayload", "is required")
	case !json.Valid([]byte(text)):
		f.Add(at+".rawPayload", "must be JSON: Outhook sends nothing else")
	case strings.Trim(text, " \t\r\n") != text:
		f.Add(at+".rawPayload", "must not begin or end with white space: it is sent byte for byte")
	}
	return json.RawMessage(text)
}

func isJSONType(headers map[string]string) bool {
	for name, value := range headers {
		kind, _, err := mime.ParseMediaType(value)
		if !strings.EqualFold(name, "content-type") || err != nil || kind != "application/json" {
			return false
		}
	}
	return true
}

// payload returns what is to be sent, byte for byte.
func (in *messageIn) payload(f *problem.Faults) json.RawMessage {
	if in.Transformation != nil {
		return in.Transformation.raw(f)
	}
	payload := in.Payload
	if payload == nil {
		payload = in.Data
	}
	if len(payload) == 0 || payload[0] != '{' {
		f.Add("body.payload", "must be an object")
	}
	return payload
}

// check refuses what Outhook has not.
func (in *messageIn) check(f *problem.Faults) {
	if in.EventType == nil {
		f.Add("body.eventType", "is required")
	}
	if in.EventID != nil && !uidPattern.MatchString(*in.EventID) {
		f.Add("body.eventId", uidRule)
	}

	for name, value := range map[string]json.RawMessage{
		"payloadRetentionPeriod": in.RetentionDays, "payloadRetentionHours": in.RetentionHours,
	} {
		if isGiven(value) && string(value) != "[]" {
			f.Add("body."+name, "is not supported by Outhook: docs/svix.md")
		}
	}
}

// event returns the body of the API's event, whose last member are the payload's bytes.
func (in *messageIn) event(tenant, key string, labels []string, payload json.RawMessage) ([]byte, error) {
	head, err := strictjson.Encode(struct {
		TenantID  string          `json:"tenant_id"`
		Type      json.RawMessage `json:"type"`
		DeliverAt json.RawMessage `json:"deliver_at,omitempty"`
		Key       string          `json:"idempotency_key,omitempty"`
		Labels    []string        `json:"labels,omitempty"`
	}{tenant, in.EventType, in.DeliverAt, key, labels})
	return withPayload(head, payload), err
}

// withPayload adds a payload to a JSON object byte for byte.
func withPayload(object, payload []byte) []byte {
	object = bytes.TrimSuffix(bytes.TrimSpace(object), []byte("}"))
	return bytes.Join([][]byte{object, []byte(`,"payload":`), payload, []byte("}\n")}, nil)
}

// messageOut is a message without its payload.
type messageOut struct {
	ID        string     `json:"id"`
	EventType string     `json:"eventType"`
	EventID   *string    `json:"eventId"`
	Channels  []string   `json:"channels"`
	Tags      []string   `json:"tags"`
	Timestamp time.Time  `json:"timestamp"`
	DeliverAt *time.Time `json:"deliverAt,omitempty"`
}

// Payloads that are shown in the place of one.
const (
	noContent     = `{}`
	goneContent   = `{"expired":true}`
	objectContent = `{"payload":%}` // of one that is no object: Svix has no others
)

// shown returns the payload as it is shown.
func shown(payload json.RawMessage, gone bool) json.RawMessage {
	switch {
	case gone:
		return json.RawMessage(goneContent)
	case len(payload) > 0 && payload[0] == '{':
		return payload
	}
	return json.RawMessage(strings.Replace(objectContent, "%", string(payload), 1))
}

func createMessage(v *visit) error {
	withContent, err := v.boolParam("with_content", true)
	if err != nil {
		return err
	}
	var in messageIn
	if err := v.decode(&in); err != nil {
		return err
	}
	var f problem.Faults
	in.check(&f)
	payload, labels := in.payload(&f), in.labels(&f)
	if err := f.Problem(problem.InvalidRequest); err != nil {
		return err
	}

	tenant, err := v.addressee(in.Application)
	if err != nil {
		return err
	}
	key := v.key()
	if in.EventID != nil {
		key = *in.EventID
	}
	body, err := in.event(tenant, key, labels, payload)
	if err != nil {
		return err
	}

	var stored client.Stored
	if err = v.ask(order{method: http.MethodPost, path: "/api/events", body: body}, &stored); err != nil {
		return err
	}
	if stored.Duplicate && in.EventID != nil && !v.repeats() {
		return &fault{http.StatusConflict, codeConflict, "A message with this eventId exists already"}
	}
	if !withContent {
		payload = json.RawMessage(noContent)
	}

	m := newMessage(stored.ID, stored.Type, stored.CreatedAt, labels, in.EventID)
	if isGiven(in.DeliverAt) {
		if err := json.Unmarshal(in.DeliverAt, &m.DeliverAt); err != nil {
			return err
		}
	}
	return v.replyMessage(http.StatusAccepted, m, shown(payload, false))
}

func newMessage(id, eventType string, at time.Time, labels []string, eventID *string) messageOut {
	m := messageOut{ID: svixID(messagePrefix, id), EventType: eventType, EventID: eventID, Timestamp: at}
	m.Channels, m.Tags = channelsOf(labels)
	return m
}

// replyMessage answers with a message, and with its payload byte for byte.
func (v *visit) replyMessage(status int, m messageOut, payload json.RawMessage) error {
	head, err := strictjson.Encode(m)
	if err != nil {
		return err
	}
	return v.replyRaw(status, withPayload(head, payload))
}

// message returns the event that the path names, by its id or its eventId, of the application that it names.
func (v *visit) message() (client.Tenant, uuid.UUID, error) {
	t, err := v.application()
	if err != nil {
		return t, uuid.Nil, err
	}
	id, err := v.messageID(t, v.PathValue("msg"))
	return t, id, err
}

func (v *visit) messageID(t client.Tenant, name string) (uuid.UUID, error) {
	if id, ok := parseID(messagePrefix, name); ok {
		return id, nil
	}
	if !uidPattern.MatchString(name) {
		return uuid.Nil, errNotFound()
	}

	var found struct{ Items []client.Event }
	query := url.Values{"tenant_id": {t.TenantID}, "idempotency_key": {name}, "limit": {"1"}}
	err := v.get("/api/events", query, &found)
	if err == nil && len(found.Items) == 0 {
		err = errNotFound()
	}
	if err != nil {
		return uuid.Nil, err
	}
	return idOf(found.Items[0].ID), nil
}

// event returns an event of a tenant with its payload and its deliveries.
func (v *visit) event(t client.Tenant, id uuid.UUID) (e client.FullEvent, err error) {
	if err = v.get("/api/events/"+id.String(), nil, &e); err == nil && e.TenantID != t.TenantID {
		err = errNotFound()
	}
	return e, err
}

func getMessage(v *visit) error {
	withContent, err := v.boolParam("with_content", true)
	if err != nil {
		return err
	}
	t, id, err := v.message()
	if err != nil {
		return err
	}
	e, err := v.event(t, id)
	if err != nil {
		return err
	}

	m := newMessage(e.ID, e.Type, e.CreatedAt, e.Labels, nil)
	m.DeliverAt = e.DeliverAt
	if _, isID := parseID(messagePrefix, v.PathValue("msg")); !isID {
		name := v.PathValue("msg")
		m.EventID = &name
	}
	if !withContent {
		return v.replyMessage(http.StatusOK, m, json.RawMessage(noContent))
	}
	return v.replyMessage(http.StatusOK, m, shown(e.Payload, e.PayloadErased))
}

// filters are the parameters that lists of messages and attempts have in common.
type filters struct {
	types  []string
	labels []string   // each of which a message has: the API's list asks for one
	query  url.Values // of the API's list
}

func (v *visit) filters(t client.Tenant) (f filters, err error) {
	f = filters{types: v.listParam("event_types"), query: url.Values{"tenant_id": {t.TenantID}}}
	if f.labels, err = v.labelParams(); err != nil {
		return f, err
	}
	if len(f.types) == 1 {
		f.query.Set("type", f.types[0])
	}

	before, err := v.timeParam("before")
	if err != nil {
		return f, err
	}
	after, err := v.timeParam("after")
	if err != nil {
		return f, err
	}
	if !before.IsZero() {
		f.query.Set("until", before.Format(time.RFC3339Nano))
	}
	if !after.IsZero() { // without that moment; ids tell milliseconds
		f.query.Set("since", after.Truncate(time.Millisecond).Add(time.Millisecond).Format(time.RFC3339Nano))
	}
	return f, nil
}

// wants tells whether a type is one of those that are asked for. The API's lists filter by one, and here by several.
func (f filters) wants(eventType string) bool {
	return len(f.types) == 0 || slices.Contains(f.types, eventType)
}

// has tells whether labels have all of those that are asked for.
func (f filters) has(labels []string) bool {
	return !slices.ContainsFunc(f.labels, func(label string) bool { return !slices.Contains(labels, label) })
}

// messageWithPayload is a message in a list.
type messageWithPayload struct {
	messageOut

	Payload json.RawMessage `json:"payload"`
}

// contents reads the payloads of messages in a list, until they are too much for one page.
type contents struct {
	v     *visit
	t     client.Tenant
	with  bool
	bytes int
}

func (c *contents) message(id string, m messageOut) (messageWithPayload, error) {
	out := messageWithPayload{m, json.RawMessage(noContent)}
	if !c.with {
		return out, nil
	}
	if c.bytes > maxContent {
		return out, errFull
	}

	e, err := c.v.event(c.t, idOf(id))
	if err != nil && !isNotFound(err) { // it has just left with its day
		return out, err
	}
	out.Channels, out.Tags = channelsOf(e.Labels)
	out.DeliverAt, out.Payload = e.DeliverAt, shown(e.Payload, e.PayloadErased || err != nil)
	c.bytes += len(out.Payload)
	return out, nil
}

func listMessages(v *visit) error {
	t, err := v.application()
	if err != nil {
		return err
	}
	f, err := v.filters(t)
	if err != nil {
		return err
	}
	c := &contents{v: v, t: t}
	if c.with, err = v.boolParam("with_content", true); err != nil {
		return err
	}

	l := oneID(messagePrefix, "/api/events", f.query, func(e client.Event) string { return e.ID })
	l.descending = true
	if len(f.types) > 1 || len(f.labels) > 1 {
		l.keep = func(e client.Event) bool { return f.wants(e.Type) && f.has(e.Labels) }
	}
	if len(f.labels) > 0 {
		f.query.Set("label", f.labels[0])
	}
	return page(v, l, func(e client.Event) (messageWithPayload, error) {
		m := newMessage(e.ID, e.Type, e.CreatedAt, e.Labels, nil)
		m.DeliverAt = e.DeliverAt
		return c.message(e.ID, m)
	})
}

func (v *visit) expunge(t client.Tenant, id uuid.UUID) error {
	if _, err := v.event(t, id); err != nil {
		return err
	}
	path := "/api/events/" + id.String() + "/payload"
	err := v.ask(order{method: http.MethodDelete, path: path, query: url.Values{"force": {"true"}}}, nil)
	return err
}

// expungeMessage erases a payload, and what receivers answered to it. What is not sent yet is cancelled.
func expungeMessage(v *visit) error {
	t, id, err := v.message()
	if err != nil {
		return err
	}
	if err := v.expunge(t, id); err != nil {
		return err
	}
	return v.done()
}

func expungeMessages(v *visit) error {
	var in struct {
		IDs []string `json:"ids"`
	}
	if err := v.decode(&in); err != nil {
		return err
	}
	if len(in.IDs) == 0 || len(in.IDs) > maxExpunged {
		return problem.Invalid("body.ids", "must be 1 to 100 messages")
	}
	t, err := v.application()
	if err != nil {
		return err
	}

	results := map[string]string{}
	for _, name := range in.IDs {
		id, err := v.messageID(t, name)
		if err == nil {
			err = v.expunge(t, id)
		}
		switch {
		case isNotFound(err):
			results[name] = "not-found"
		case err != nil:
			return err
		default:
			results[name] = "expunged"
		}
	}
	return v.reply(http.StatusOK, map[string]any{"results": results})
}

// precheckMessage tells whether any endpoint would get a message of a type.
func precheckMessage(v *visit) error {
	var in struct {
		EventType *string         `json:"eventType"`
		Channels  json.RawMessage `json:"channels"`
	}
	if err := v.decode(&in); err != nil {
		return err
	}
	var f problem.Faults
	channels := labelsIn(in.Channels, "body.channels", "", &f)
	if in.EventType == nil || *in.EventType == "" {
		f.Add("body.eventType", "is required")
	}
	if err := f.Problem(problem.InvalidRequest); err != nil {
		return err
	}
	t, err := v.application()
	if err != nil {
		return err
	}

	query := url.Values{
		"tenant_id": {t.TenantID}, "event_type": {*in.EventType}, "status": {statusEnabled},
		"limit": {strconv.Itoa(maxAPILimit)},
	}
	for {
		var some struct {
			Items []client.Endpoint
			Next  *string `json:"next_cursor"`
		}
		if err := v.get("/api/endpoints", query, &some); err != nil {
			return err
		}
		active := slices.ContainsFunc(some.Items, func(e client.Endpoint) bool { return listens(e, channels) })
		if active || some.Next == nil {
			return v.reply(http.StatusOK, map[string]bool{"active": active})
		}
		query.Set("cursor", *some.Next)
	}
}
