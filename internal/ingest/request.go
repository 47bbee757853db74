package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
)

// request is the events of one request, as columns.
type request struct {
	tenantIDs, types, payloads, keys []string
	labels, headers                  []string // nil, as deliverAts, if no event has anything of these
	deliverAts                       []time.Time
	orders                           []string // their ordering keys; nil if no event has one
	traceparent                      string   // of all of them; "" is none
	bytes                            int
	nested                           bool // a payload is long to look through
}

func newRequest(events []outhook.Event, traceparent string) request {
	r := request{traceparent: traceparent}
	for _, e := range events {
		r.tenantIDs = append(r.tenantIDs, e.TenantID)
		r.types = append(r.types, e.Type)
		r.payloads = append(r.payloads, string(e.Payload))
		r.keys = append(r.keys, e.IdempotencyKey)
		r.nested = r.nested || isNested(e.Payload)
		r.bytes += len(e.TenantID) + len(e.Type) + len(e.Payload) + len(e.IdempotencyKey)
	}

	if slices.ContainsFunc(events, hasMore) {
		for i, e := range events {
			r.labels = append(r.labels, labelText(e.Labels))
			r.headers = append(r.headers, headerText(e.Headers))
			r.deliverAts = append(r.deliverAts, e.DeliverAt)
			r.bytes += len(r.labels[i]) + len(r.headers[i])
		}
	}
	if slices.ContainsFunc(events, func(e outhook.Event) bool { return e.OrderingKey != "" }) {
		for _, e := range events {
			r.orders = append(r.orders, e.OrderingKey)
			r.bytes += len(e.OrderingKey)
		}
	}
	return r
}

func hasMore(e outhook.Event) bool { return len(e.Labels)+len(e.Headers) > 0 || !e.DeliverAt.IsZero() }

// labelText is the text form of a text[] of labels, which are known to be names; "" without any.
func labelText(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return `{"` + strings.Join(labels, `","`) + `"}`
}

// headerText is the JSON object of an event's headers, "" without any.
func headerText(headers map[string]string) string {
	if len(headers) == 0 {
		return ""
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(headers); err != nil {
		return "" // not for a map of strings
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// isNested tells whether the database looks through a payload for how deep it nests (parse_payloads.sql): that takes
// ten times as long as all else.
func isNested(payload []byte) bool {
	return len(payload) > 1024 && bytes.Count(payload, []byte{'['})+bytes.Count(payload, []byte{'{'}) > 512
}

// size is what a request takes of the 8 MiB of a group: its bytes, and at least what an event takes of which a group
// may have 500, each with two deliveries.
func (r request) size() int { return max(r.bytes, len(r.types)*(8<<20)/500) }

// turn is whose turn a request takes: that of the tenant of its first event, and nearly always of all of them.
func (r request) turn() string { return r.tenantIDs[0] }

// mayConflict tells whether the answer to the request can be a ConflictError, by which its events are rolled back.
func (r request) mayConflict() bool {
	return len(r.keys) > 1 && slices.ContainsFunc(r.keys, func(key string) bool { return key != "" })
}

// columns joins the events of a group. What no event of it has is NULL, which costs nothing.
func columns(rs []request) (p db.EnqueueManyParams) {
	var traced, more, inOrder bool
	for _, r := range rs {
		p.TenantIds = append(p.TenantIds, r.tenantIDs...)
		p.Types = append(p.Types, r.types...)
		p.Payloads = append(p.Payloads, r.payloads...)
		p.IdempotencyKeys = append(p.IdempotencyKeys, r.keys...)
		traced = traced || r.traceparent != ""
		more = more || r.labels != nil
		inOrder = inOrder || r.orders != nil
	}

	if more {
		for _, r := range rs {
			if r.labels == nil {
				r.labels, r.headers = make([]string, len(r.types)), make([]string, len(r.types))
				r.deliverAts = make([]time.Time, len(r.types))
			}
			p.Labels, p.Headers = append(p.Labels, r.labels...), append(p.Headers, r.headers...)
			p.DeliverAts = append(p.DeliverAts, r.deliverAts...)
		}
	}
	if inOrder {
		for _, r := range rs {
			if r.orders == nil {
				r.orders = make([]string, len(r.types))
			}
			p.OrderingKeys = append(p.OrderingKeys, r.orders...)
		}
	}
	if traced {
		p.Traceparents = make([]string, 0, len(p.TenantIds))
		for _, r := range rs {
			for range r.tenantIDs {
				p.Traceparents = append(p.Traceparents, r.traceparent)
			}
		}
	}
	return p
}

// perRequest cuts rows into those of each request. Returns a conflictsError, by which everything is rolled back, if
// one of several events of a request is in conflict. A single one stores nothing then, so its neighbours may be
// committed.
func perRequest(rs []request, rows []db.EnqueueManyRow) ([][]db.EnqueueManyRow, error) {
	answers := make([][]db.EnqueueManyRow, len(rs))
	var conflicts *conflictsError
	for i, r := range rs {
		n := len(r.types)
		if len(rows) < n {
			return nil, errors.New("enqueue_many returned too few rows")
		}

		answers[i], rows = rows[:n:n], rows[n:]
		at := slices.IndexFunc(answers[i], func(row db.EnqueueManyRow) bool { return row.Conflict })
		if at < 0 || n == 1 {
			continue
		}
		if conflicts == nil {
			conflicts = &conflictsError{first: ConflictError(at)}
		}
		conflicts.requests = append(conflicts.requests, i)
	}

	if conflicts != nil {
		return nil, conflicts
	}
	return answers, nil
}
