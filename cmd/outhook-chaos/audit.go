package main

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// attemptKey names a request by its delivery and number.
type attemptKey struct {
	delivery deliveryKey
	number   int
}

// audit holds the four ledgers: what the clients were told, the tables, the receivers' log, and in the tables the
// attempt log.
type audit struct {
	*tables

	report    *report
	claims    []claim
	requests  []request
	byAttempt map[attemptKey][]request
	endpoints map[string][]*endpoint // of a tenant; not those that are deleted
	byID      map[uuid.UUID]*endpoint
	numbers   map[uuid.UUID]int64 // of the events
	told      map[int64]time.Time // by an event's number, when its client knew that it is committed
	back      map[int64]time.Time // when its client knew that it is taken back
	began     map[int64]time.Time // … and when its transaction began, if it came in a burst
	holds     map[deliveryKey][]hold
	operator  *operator
	breaches  map[string]*promise
}

func (a *audit) breach(name, format string, args ...any) { a.breaches[name].breach(format, args...) }

// held returns how long the watch has seen a run in somebody's hands.
func (a *audit) held(key deliveryKey, number int) (total time.Duration) {
	for _, h := range a.holds[key] {
		if h.number == number {
			total += h.length()
		}
	}
	return total
}

func success(requests []request) bool {
	return slices.ContainsFunc(requests, func(r request) bool { return r.status >= 200 && r.status < 300 })
}
