package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/filter"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/health"
)

// eventTypePattern is the name of a type, or a prefix of names and .*.
var eventTypePattern = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*(\.\*)?$`)

// tenantID applies the rule of events to an endpoint's tenant. Endpoints of the operator tenant get operational events.
func tenantID(value json.RawMessage, at string, f *problem.Faults) string {
	before := len(*f)
	id := strictjson.Text(value, at, f)
	if len(*f) > before || id == health.OperatorTenant {
		return id
	}

	if fault := tenantFault(id); fault != "" {
		f.Add(at, fault)
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

	secret, err := signature.ParseSecret(strictjson.Text(value, e.at+".secret", &e.faults))
	if err != nil {
		e.faults.Add(e.at+".secret", err.Error()) // says how to make one, and repeats nothing
		return
	}
	e.secret, e.secretGiven = secret, true
}

func (e *endpointEdit) setURL(value json.RawMessage) {
	before := len(e.faults)
	e.row.URL = strictjson.Text(value, e.at+".url", &e.faults)
	if len(e.faults) > before {
		return
	}

	if err := e.cfg.Checks.URL(e.row.URL); err != nil {
		e.faults.Add(e.at+".url", err.Error())
	}
}

func (e *endpointEdit) setDescription(value json.RawMessage) {
	e.row.Description = e.optional("description", value, maxDescription)
}

// optional reads a text of so many characters at most; null is the empty one.
func (e *memberReader) optional(name string, value json.RawMessage, most int) string {
	if strictjson.IsNull(value) {
		return ""
	}

	text := strictjson.Text(value, e.at+"."+name, &e.faults)
	if utf8.RuneCountInString(text) > most {
		e.faults.Add(e.at+"."+name, fmt.Sprintf("is longer than %d characters", most))
	}
	return text
}

func (e *endpointEdit) setEventTypes(value json.RawMessage) {
	at := e.at + ".event_types"
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

// labelPattern is that of an event's labels.
var labelPattern = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

func (e *endpointEdit) setLabels(value json.RawMessage) {
	at := e.at + ".labels"
	e.row.Labels = []string{}
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	list := strictjson.Texts(value, at, &e.faults)
	if len(e.faults) > before {
		return
	}
	if len(list) > maxLabels {
		e.faults.Add(at, fmt.Sprintf("has more than %d entries", maxLabels))
		return
	}

	for i, label := range list {
		switch {
		case !labelPattern.MatchString(label):
			e.faults.Add(strictjson.ElementLocation(at, i),
				"must be a name of letters, digits and _ . : -, at most 64 bytes")
		case slices.Contains(list[:i], label):
			e.faults.Add(strictjson.ElementLocation(at, i), "is given twice")
		}
	}
	e.row.Labels = list
}

// oneOf reads a text that is one of some; null is the first of them.
func (e *memberReader) oneOf(name string, value json.RawMessage, texts ...string) string {
	if strictjson.IsNull(value) {
		return texts[0]
	}
	text := strictjson.Text(value, e.at+"."+name, &e.faults)
	if !slices.Contains(texts, text) {
		e.faults.Add(e.at+"."+name, "must be "+strings.TrimPrefix(strings.Join(texts, " or "), " or "))
	}
	return text
}

func (e *endpointEdit) setTimeout(value json.RawMessage) {
	e.row.TimeoutMS = defaultTimeout
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	e.row.TimeoutMS = strictjson.Integer(value, e.at+".timeout_ms", &e.faults)
	if len(e.faults) == before && (e.row.TimeoutMS < minTimeoutMS || e.row.TimeoutMS > maxTimeoutMS) {
		e.faults.Add(e.at+".timeout_ms", fmt.Sprintf("must be %d to %d", minTimeoutMS, maxTimeoutMS))
	}
}

// setFilter reads a filter, and keeps it beside what Postgres evaluates.
func (e *endpointEdit) setFilter(value json.RawMessage) {
	e.row.Filter, e.row.FilterPath = nil, nil
	if strictjson.IsNull(value) {
		return
	}

	f, err := filter.Parse(value)
	if broken, ok := errors.AsType[*filter.Error](err); ok {
		at := e.at + ".filter"
		for _, name := range broken.At {
			at = strictjson.MemberLocation(at, name)
		}
		e.faults.Add(at, broken.Message)
		return
	}

	// White space makes no other filter.
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		e.faults.Add(e.at+".filter", "is not valid JSON") // not for what was parsed
		return
	}
	path := f.Path()
	e.row.Filter, e.row.FilterPath = compact.Bytes(), &path
}
