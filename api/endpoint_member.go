package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/health"
)

// eventTypePattern is the name of a type, or a prefix of names and .*.
var eventTypePattern = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*(\.\*)?$`)

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
