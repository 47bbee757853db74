package health

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
)

// Health of an endpoint, as endpoint_health.state and the API have it.
const (
	Healthy  = "healthy"
	Failing  = "failing"
	Disabled = "disabled" // the endpoint's status, whatever its attempts were like
)

// seen is what one process saw of one endpoint since it last told the database: the last success, and the failures
// after it. An attempt's time is when its outcome was known.
type seen struct {
	successAt      time.Time
	failures       int32
	firstFailureAt time.Time
	lastFailureAt  time.Time
	statusCode     int32  // of the last failure
	class          string // of the last failure's error, "" if an answer came
}

// success takes in a success. Failures that were known later than it stay.
func (s *seen) success(at time.Time) {
	if !at.After(s.successAt) {
		return
	}

	s.successAt = at
	switch {
	case s.failures == 0 || at.Before(s.firstFailureAt):
	case at.Before(s.lastFailureAt):
		s.failures, s.firstFailureAt = 1, s.lastFailureAt
	default:
		s.failures = 0
	}
}

// failure takes in a failure. One that was known before the last success counts for nothing.
func (s *seen) failure(at time.Time, statusCode int32, class string) {
	if !at.After(s.successAt) {
		return
	}

	if s.failures == 0 {
		s.firstFailureAt, s.lastFailureAt = at, time.Time{}
	}
	s.failures++

	if at.Before(s.firstFailureAt) {
		s.firstFailureAt = at
	}
	if at.After(s.lastFailureAt) {
		s.lastFailureAt, s.statusCode, s.class = at, statusCode, class
	}
}

// merge adds what a process saw to what the database has. Processes tell what they saw in any order, so counts may be
// off by what two of them saw in the same seconds; a success always ends the failures before it.
func merge(h db.LockEndpointHealthRow, s seen) db.LockEndpointHealthRow {
	if s.successAt.After(timeOf(h.LastSuccessAt)) {
		h.LastSuccessAt = &s.successAt
		switch {
		case h.FailingSince == nil || h.FailingSince.After(s.successAt):
		case timeOf(h.LastFailureAt).After(s.successAt):
			h.ConsecutiveFailures, h.FailingSince = 1, h.LastFailureAt
		default:
			h.ConsecutiveFailures, h.FailingSince = 0, nil
		}
	}

	lastSuccessAt := timeOf(h.LastSuccessAt)
	if s.failures == 0 || !s.lastFailureAt.After(lastSuccessAt) {
		return h
	}

	first, n := s.firstFailureAt, s.failures
	if !first.After(lastSuccessAt) {
		first, n = s.lastFailureAt, 1
	}

	h.ConsecutiveFailures += n
	if h.FailingSince == nil || first.Before(*h.FailingSince) {
		h.FailingSince = &first
	}
	if s.lastFailureAt.After(timeOf(h.LastFailureAt)) {
		h.LastFailureAt, h.LastStatusCode, h.LastError = &s.lastFailureAt, orNull(s.statusCode), orNull(s.class)
	}

	return h
}

func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// tracked is an endpoint that this process has attempted lately.
type tracked struct {
	seen
	fresh   bool      // something was seen since toldAt
	toldAt  time.Time // zero: never
	healthy bool      // as of toldAt
}

// Tracker adds up what this process sees. It holds the endpoints of the last half minute.
type Tracker struct {
	mu        sync.Mutex
	endpoints map[uuid.UUID]*tracked
}

// Observation is the known outcome of one attempt.
type Observation struct {
	EndpointID uuid.UUID
	At         time.Time // when the outcome was known
	Succeeded  bool
	StatusCode int32
	Class      string // of the error, "" if an answer came
}

// Observe takes in attempts that were recorded.
func (t *Tracker) Observe(list []Observation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.endpoints == nil {
		t.endpoints = make(map[uuid.UUID]*tracked)
	}

	for _, o := range list {
		e := t.endpoints[o.EndpointID]
		if e == nil {
			e = &tracked{}
			t.endpoints[o.EndpointID] = e
		}

		e.fresh = true
		if o.Succeeded {
			e.success(o.At)
			continue
		}
		e.failure(o.At, o.StatusCode, o.Class)
	}
}

// take returns what is to be told now, up to limit endpoints, and forgets it. Successes of an endpoint that was healthy
// wait until patience has passed since the last time: nothing but last_success_at depends on them.
func (t *Tracker) take(now time.Time, patience time.Duration, limit int) map[uuid.UUID]seen {
	t.mu.Lock()
	defer t.mu.Unlock()

	due := make(map[uuid.UUID]seen)
	for id, e := range t.endpoints {
		quiet := e.healthy && e.failures == 0 && now.Sub(e.toldAt) < patience
		switch {
		case e.fresh && !quiet && len(due) < limit:
			due[id] = e.seen
			e.seen, e.fresh, e.toldAt, e.healthy = seen{}, false, now, false
		case !e.fresh && now.Sub(e.toldAt) >= patience:
			delete(t.endpoints, id)
		}
	}

	return due
}

// told notes which of the endpoints are healthy.
func (t *Tracker) told(ids []uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()

	for _, id := range ids {
		if e := t.endpoints[id]; e != nil {
			e.healthy = true
		}
	}
}

// putBack takes back what could not be told.
func (t *Tracker) putBack(due map[uuid.UUID]seen) {
	t.mu.Lock()
	defer t.mu.Unlock()

	for id, old := range due {
		e := t.endpoints[id]
		if e == nil {
			e = &tracked{}
			t.endpoints[id] = e
		}

		e.fresh = true
		e.seen = old.then(e.seen)
	}
}

// then returns what was seen in two spans of time, the second of which came later.
func (s seen) then(later seen) seen {
	if !later.successAt.IsZero() {
		s.success(later.successAt)
	}

	if later.failures == 0 {
		return s
	}

	s.failure(later.firstFailureAt, later.statusCode, later.class)
	s.failure(later.lastFailureAt, later.statusCode, later.class)
	s.failures += later.failures - 2
	return s
}
