package main

import (
	"slices"
	"time"
)

const (
	// unknownBound is how long the next attempt may take after one of which nothing is known, since its worker died.
	unknownBound = 120 * time.Second

	// handOver is what the next attempt waits for after one that a stop has cut off, so that the worker that stops does
	// not take it itself.
	handOver = time.Second

	// resetFor is how long after an endpoint was enabled again, or a recover of it is over, its deliveries may still be
	// cancelled and ordered anew.
	resetFor = time.Minute
)

// turn is one attempt of a delivery, and when it was to be made.
type turn struct {
	*storedAttempt

	request *request // nil: none is logged
	timed   bool     // start is known
	start   time.Time
	end     time.Time // the latest at which it can have ended

	due    time.Time     // by its schedule; that of the event for the first
	place  time.Time     // where it stood in line
	spread time.Duration // how much later it may have been due, by its jitter
	bound  time.Duration // how much later than that it may be, since runs before it died
	base   *turn         // the known failure whose delay it waited for, nil: none
	delay  time.Duration // the least that the schedule says, after base
	free   bool          // a person has ordered it, or may have, not before it was due; nobody knows when
}

// latest is when it was due at the latest.
func (t *turn) latest() time.Time { return t.due.Add(t.spread) }

// turns returns the attempts of a delivery, in order. created and due are its event's, which may be for later.
func (p *punctuality) turns(d *storedDelivery, created, due time.Time) []*turn {
	e, list := p.byID[d.endpointID], make([]*turn, len(d.attempts))
	resets := join(slices.Concat(p.journal.of(replaysOf(d.deliveryKey)), e.resets(), p.recoversOf(e, created))...)
	least, most := 0, 0 // known failures since the delivery was ordered: if each order that may have come did, if none did

	for i := range d.attempts {
		t := p.newTurn(d, &d.attempts[i])
		list[i] = t
		if i == 0 {
			p.first(t, d, due, resets)
			continue
		}

		before := list[i-1]
		if before.failed() {
			most++
			if p.held(d.deliveryKey, before.number) < takenForDead {
				least++ // else others went on without it, and an attempt of which nothing is known does not count
			}
		}
		if reset := resets.during(span{before.start, t.start}); len(reset) > 0 {
			t.free, t.due, t.place, least = true, reset[0].from, reset[0].from, 0
			continue
		}
		if before.outcome == "succeeded" || most > len(e.delays()) {
			t.free, t.due, t.place, least, most = true, t.start, t.start, 0, 0
			continue
		}
		p.schedule(t, before, e, max(least, 1), max(most, 1))
	}
	return list
}

// first says when a first attempt was due: when its client knew that the event is committed, at the latest. It stands
// in line by the beginning of the transaction, though, which is long before that for one of many events.
func (p *punctuality) first(t *turn, d *storedDelivery, due time.Time, resets spans) {
	told, ok := p.told[p.numbers[d.eventID]]
	t.due, t.place, t.free = later(due, told), due, !ok
	if began, known := p.began[p.numbers[d.eventID]]; known {
		t.place = began
	}
	if reset := resets.during(span{due, t.start}); len(reset) > 0 {
		t.due, t.free = later(due, reset[0].from), true
		t.place = t.due
	}
}

// resets are the times at which deliveries of an endpoint may be cancelled and ordered anew.
func (e *endpoint) resets() []span {
	list := slices.Clone(e.off)
	for i := range list {
		list[i].to = list[i].to.Add(resetFor)
	}
	return list
}

// recoversOf returns the times at which an event of a time may have been recovered: it must have been there before the
// endpoint was enabled again.
func (p *punctuality) recoversOf(e *endpoint, created time.Time) (list []span) {
	for _, s := range p.recovers[e.id] {
		s.to = s.to.Add(resetFor)
		if slices.ContainsFunc(e.off, func(off span) bool {
			return off.from.Before(s.to) && created.Before(off.to.Add(backAfter))
		}) {
			list = append(list, s)
		}
	}
	return list
}

func (p *punctuality) newTurn(d *storedDelivery, attempt *storedAttempt) *turn {
	t := &turn{storedAttempt: attempt, timed: !attempt.died(), start: attempt.startedAt}
	if requests := p.byAttempt[attemptKey{d.deliveryKey, attempt.number}]; len(requests) > 0 {
		// The receiver's clock is ours and right, and nothing can arrive before it was sent.
		t.request, t.timed, t.start = &requests[0], true, requests[0].at
	}
	t.end = t.start.Add(attempt.duration)
	return t
}

// schedule says when an attempt was due by the one before it.
func (p *punctuality) schedule(t, before *turn, e *endpoint, least, most int) {
	delays := e.delays()

	switch {
	case before.failed():
		t.base, t.delay = before, delays[least-1]
		t.due = before.end.Add(delays[most-1])
		t.spread = e.jitter.Longest(delays[most-1]) - delays[most-1]
	case !before.died():
		t.base, t.delay = before.base, before.delay
		t.due = before.end.Add(handOver)
	case before.timed:
		t.base, t.delay = before.base, before.delay
		t.due, t.bound = before.start, unknownBound
	default:
		t.base, t.delay, t.free = before.base, before.delay, before.free
		t.due, t.spread, t.bound = before.due, before.spread, before.bound+unknownBound
	}
	t.place = t.due
}
