package svix

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/problem"
)

type endpointOut struct {
	ID          string            `json:"id"`
	UID         *string           `json:"uid"`
	URL         string            `json:"url"`
	Description string            `json:"description"`
	Disabled    bool              `json:"disabled"`
	EventTypes  []string          `json:"eventTypes"`
	FilterTypes []string          `json:"filterTypes"` // of old SDKs
	Channels    []string          `json:"channels"`
	Rate        *int              `json:"throttleRate"`
	RateLimit   *int              `json:"rateLimit"` // of old SDKs
	Version     int               `json:"version"`
	Metadata    map[string]string `json:"metadata"`
	CreatedAt   time.Time         `json:"createdAt"`
	UpdatedAt   time.Time         `json:"updatedAt"`
}

func newEndpoint(e client.Endpoint) (endpointOut, error) {
	out := endpointOut{
		ID: svixID(endpointPrefix, e.ID), UID: e.UID, URL: e.URL, Description: e.Description,
		Disabled: e.Status == statusDisabled, Version: 1, Metadata: e.Metadata,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}

	if out.Metadata == nil { // of one that is deleted
		out.Metadata = map[string]string{}
	}
	if len(e.Labels) > 0 {
		out.Channels = e.Labels
	}
	if types := shownTypes(e); len(types) > 0 {
		out.EventTypes, out.FilterTypes = types, types
	}
	if r := e.RateLimit; r.Requests > 0 && r.Per == "second" {
		out.Rate, out.RateLimit = &r.Requests, &r.Requests
	}
	return out, nil
}

// Statuses of an endpoint. Svix has no pause: to it, a paused one is there.
const (
	statusEnabled  = "enabled"
	statusDisabled = "disabled"
)

// endpointPath is an endpoint of a tenant in the API.
func endpointPath(e client.Endpoint, below string) string { return "/api/endpoints/" + e.ID + below }

// endpoint returns the endpoint that the path names, by its id or its uid, of the application that it names.
func (v *visit) endpoint() (e client.Endpoint, err error) {
	t, err := v.application()
	if err != nil {
		return e, err
	}
	return v.endpointOf(t)
}

func (v *visit) endpointOf(t client.Tenant) (e client.Endpoint, err error) {
	name, query := v.PathValue("endpoint"), url.Values{"tenant_id": {t.TenantID}}
	if id, ok := parseID(endpointPrefix, name); ok {
		err = v.get("/api/endpoints/"+id.String(), query, &e)
		if !isNotFound(err) || name == id.String() {
			return e, err
		}
	}

	// An id may be the uid of one that was copied from another server.
	err = v.get("/api/endpoints/"+url.PathEscape(name), query, &e)
	if p, ok := refusal(err); ok && p.Code == problem.InvalidRequest { // it can't be a uid
		return e, errNotFound()
	}
	return e, err
}

func createEndpoint(v *visit) error {
	t, err := v.application()
	if err != nil {
		return err
	}
	in, err := v.decodeEndpoint()
	if err != nil {
		return err
	}
	in.setMetadata(nil)
	return v.makeEndpoint(t, in)
}

func (v *visit) makeEndpoint(t client.Tenant, in *endpointIn) error {
	in.members["tenant_id"] = t.TenantID
	status := in.members["status"]
	delete(in.members, "status") // which a new one has not
	var e client.Endpoint
	o := order{method: http.MethodPost, path: "/api/endpoints", body: in.members, key: v.key()}
	if err := v.ask(o, &e); err != nil {
		return err
	}

	if status == statusDisabled {
		o = order{method: http.MethodPatch, path: endpointPath(e, ""), body: map[string]any{"status": status}}
		e = client.Endpoint{}
		if err := v.ask(o, &e); err != nil {
			return err
		}
	}
	return v.replyEndpoint(http.StatusCreated, e)
}

func (v *visit) replyEndpoint(status int, e client.Endpoint) error {
	out, err := newEndpoint(e)
	if err != nil {
		return err
	}
	return v.reply(status, out)
}

func listEndpoints(v *visit) error {
	t, err := v.application()
	if err != nil {
		return err
	}
	l := oneID(endpointPrefix, "/api/endpoints", url.Values{"tenant_id": {t.TenantID}},
		func(e client.Endpoint) string { return e.ID })
	if err := l.order(v, "descending"); err != nil {
		return err
	}
	return page(v, l, newEndpoint)
}

func getEndpoint(v *visit) error {
	e, err := v.endpoint()
	if err != nil {
		return err
	}
	return v.replyEndpoint(http.StatusOK, e)
}

// putEndpoint changes an endpoint, but for what Svix keeps too: its secret and its headers, and what only Outhook has.
// One that is not there is made, if the path has a uid.
func putEndpoint(v *visit) error {
	t, err := v.application()
	if err != nil {
		return err
	}
	in, err := v.decodeEndpoint()
	if err != nil {
		return err
	}

	name := v.PathValue("endpoint")
	e, err := v.endpointOf(t)
	_, isID := parseID(endpointPrefix, name)
	switch {
	case isNotFound(err) && !isID:
		in.setDefault("uid", name)
		in.setMetadata(nil)
		return v.makeEndpoint(t, in)
	case err != nil:
		return err
	}

	delete(in.members, "secret")
	delete(in.members, "headers")
	delete(in.members, "secret_headers")
	in.setDefault("description", "")
	in.setDefault("status", statusEnabled)
	in.setDefault("event_types", nil)
	in.setDefault("labels", nil)
	in.setDefault("rate_limit", nil)
	if in.metadata == nil {
		in.metadata = map[string]string{}
	}
	in.setMetadata(e.Metadata)
	return v.changeEndpoint(e, in)
}

func patchEndpoint(v *visit) error {
	e, err := v.endpoint()
	if err != nil {
		return err
	}
	in, err := v.decodeEndpoint()
	if err != nil {
		return err
	}

	if _, given := in.members["secret"]; given {
		return problem.Invalid("body.secret", "can't be changed here: rotate it")
	}
	delete(in.members, "headers") // which have calls of their own, and are no member in Svix
	delete(in.members, "secret_headers")
	in.setMetadata(e.Metadata)
	return v.changeEndpoint(e, in)
}

func (v *visit) changeEndpoint(e client.Endpoint, in *endpointIn) error {
	if status, ok := in.members["status"]; ok && status == statusEnabled && e.Status != statusDisabled {
		delete(in.members, "status") // a paused one stays so
	}
	var changed client.Endpoint
	o := order{method: http.MethodPatch, path: endpointPath(e, ""), body: in.members}
	if err := v.ask(o, &changed); err != nil {
		return err
	}
	return v.replyEndpoint(http.StatusOK, changed)
}

func deleteEndpoint(v *visit) error {
	e, err := v.endpoint()
	if err != nil {
		return err
	}
	if err := v.ask(order{method: http.MethodDelete, path: endpointPath(e, "")}, nil); err != nil {
		return err
	}
	return v.done()
}

// endpointIn is an endpoint as it is given, in the members of the API. What is wrong with their values is the API's to
// say.
type endpointIn struct {
	members  map[string]any
	metadata map[string]string // nil: not given
	typesAt  string            // what event_types is called
}

func (in *endpointIn) setDefault(member string, value any) {
	if _, ok := in.members[member]; !ok {
		in.members[member] = value
	}
}

// setMetadata replaces what there is before, if metadata is given.
func (in *endpointIn) setMetadata(before map[string]string) {
	if in.metadata != nil {
		in.members["metadata"] = replacing(before, in.metadata)
	}
}

func (v *visit) decodeEndpoint() (*endpointIn, error) {
	var given map[string]json.RawMessage
	if err := v.decode(&given); err != nil {
		return nil, err
	}

	in := &endpointIn{members: map[string]any{}}
	var f problem.Faults
	for name, value := range given {
		in.set(name, value, &f)
	}
	if v.operator {
		in.setOperationalTypes(&f)
	}
	return in, f.Problem(problem.InvalidRequest)
}

// set translates a member. Those that are unknown are left out, as Svix does: SDKs send newer ones.
func (in *endpointIn) set(name string, value json.RawMessage, f *problem.Faults) {
	null := !isGiven(value)

	switch name {
	case "url", "description", "uid":
		in.members[name] = value
	case "disabled":
		switch string(value) {
		case "true":
			in.members["status"] = statusDisabled
		case "false", "null":
			in.members["status"] = statusEnabled
		default:
			f.Add("body.disabled", "must be true or false")
		}
	case "eventTypes", "filterTypes":
		in.members["event_types"], in.typesAt = value, "body."+name
		if string(value) == "[]" {
			f.Add("body."+name, "must not be empty: leave it out for all types")
		}
	case "throttleRate", "rateLimit":
		in.members["rate_limit"] = nil
		if !null {
			in.members["rate_limit"] = map[string]any{"requests": value}
		}
	case "channels":
		in.members["labels"] = labelsIn(value, "body.channels", "", f)
	case "secret":
		if !null {
			in.members["secret"] = secretOf(value)
		}
	case "metadata":
		if json.Unmarshal(value, &in.metadata) != nil {
			f.Add("body.metadata", "must be an object of strings")
		}
	case "headers":
		var headers map[string]string
		if json.Unmarshal(value, &headers) != nil {
			f.Add("body.headers", "must be an object of strings")
		}
		in.members["headers"], in.members["secret_headers"] = split(headers)
	}
}
