package main

import (
	"bytes"

	"github.com/google/uuid"
)

// lineKey names what an endpoint gets in order. orderingKey is "" for what an ordered endpoint gets without one.
type lineKey struct {
	endpointID  uuid.UUID
	orderingKey string
}

// auditOrder looks, in the receivers' log, which is sorted, for events that came again after another one of their line,
// and for events that came after a later one with the same key; those for later take the place of their time. What a
// person has ordered again comes out of order, and so may the request of a worker that was frozen, or taken for dead,
// in the middle of it.
func (a *audit) auditOrder() {
	events := map[uuid.UUID]storedEvent{}
	for _, stored := range a.events {
		for _, event := range stored {
			events[event.id] = event
		}
	}

	last, latest, came := map[lineKey]uuid.UUID{}, map[lineKey]uuid.UUID{}, map[deliveryKey]bool{}
	for _, req := range a.requests {
		e, event := a.byID[req.delivery.endpointID], events[req.delivery.eventID]
		if e == nil || e.dead || e.disabled || e.mortal || event.orderingKey == "" && !e.ordered {
			continue
		}
		if a.operator.replayed(req.delivery) != (replayCount{}) || a.held(req.delivery, req.attempt) > 0 {
			continue
		}

		a.report.InOrder++
		line := lineKey{req.delivery.endpointID, event.orderingKey}
		keyed := event.orderingKey != "" && !event.dueAt.After(event.createdAt)
		again := came[req.delivery] && last[line] != event.id
		if before := latest[line]; again || keyed && bytes.Compare(event.id[:], before[:]) < 0 {
			a.breach("out of order", "attempt %d of event %s arrived at endpoint %s after event %s, with the key %q",
				req.attempt, event.id, req.delivery.endpointID, last[line], line.orderingKey)
			continue
		}

		last[line], came[req.delivery] = event.id, true
		if keyed {
			latest[line] = event.id
		}
	}
}
