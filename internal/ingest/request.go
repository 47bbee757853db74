package ingest

import (
	"errors"
	"slices"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
)

// request is the events of one request, as columns.
type request struct {
	tenantIDs, types, payloads, keys []string
	traceparent                      string // of all of them; "" is none
	bytes                            int
}

func newRequest(events []outhook.Event, traceparent string) request {
	r := request{traceparent: traceparent}
	for _, e := range events {
		r.tenantIDs = append(r.tenantIDs, e.TenantID)
		r.types = append(r.types, e.Type)
		r.payloads = append(r.payloads, string(e.Payload))
		r.keys = append(r.keys, e.IdempotencyKey)
		r.bytes += len(e.TenantID) + len(e.Type) + len(e.Payload) + len(e.IdempotencyKey)
	}
	return r
}

func (r request) size() int { return r.bytes }

// mayConflict tells whether the answer to the request can be a ConflictError, by which its events are rolled back.
func (r request) mayConflict() bool {
	return len(r.keys) > 1 && slices.ContainsFunc(r.keys, func(key string) bool { return key != "" })
}

// columns joins the events of a group.
func columns(rs []request) (p db.EnqueueManyParams) {
	var traced bool
	for _, r := range rs {
		p.TenantIds = append(p.TenantIds, r.tenantIDs...)
		p.Types = append(p.Types, r.types...)
		p.Payloads = append(p.Payloads, r.payloads...)
		p.IdempotencyKeys = append(p.IdempotencyKeys, r.keys...)
		traced = traced || r.traceparent != ""
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

// perRequest cuts rows into those of each request. Returns a ConflictError, by which everything is rolled back, if
// one of several events of a request is in conflict. A single one stores nothing then, so its neighbours may be
// committed.
func perRequest(rs []request, rows []db.EnqueueManyRow) ([][]db.EnqueueManyRow, error) {
	answers := make([][]db.EnqueueManyRow, len(rs))
	for i, r := range rs {
		n := len(r.types)
		if len(rows) < n {
			return nil, errors.New("enqueue_many returned too few rows")
		}

		answers[i], rows = rows[:n:n], rows[n:]
		for j, row := range answers[i] {
			if row.Conflict && n > 1 {
				return nil, ConflictError(j)
			}
		}
	}
	return answers, nil
}
