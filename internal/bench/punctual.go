package bench

import (
	"math"
	"slices"
	"time"
)

const (
	// afterEnd is how long after the end of an attempt a fault may still keep it from being recorded, and afterDue how
	// long after an attempt was due a fault may meet it between its fetch and its request.
	afterEnd = time.Second
	afterDue = 2 * time.Second

	// pacerGone is how long a lane may stand still when the process that paces died or froze.
	pacerGone = 15 * time.Second
)

// lane is how fast an endpoint's requests may leave.
type lane struct {
	paced    bool          // it is not in the shared queues
	interval time.Duration // between two requests
	width    int           // requests at the same time
}

// chain is what the log has of one delivery.
type chain struct {
	endpoint string
	due      time.Time // of its first attempt
	runs     []run
}

// run is an attempt.
type run struct {
	at, end  time.Time // by the log
	received time.Time // by the receiver; zero: its request did not arrive
	known    bool      // the outcome is
}

// Kinds of waits, beside the endpoint's own.
const (
	waitUnknown = "after an unknown attempt"     // its worker died
	waitHeld    = "of those that a fault caught" // the run was with a process that was frozen or killed
)

// punctuality is how exactly attempts left: seconds later than they might have, by kind.
type punctuality struct {
	late map[string][]float64

	// By how many seconds the shortest wait was longer than its delay; below 0: one was too short. least is by the log,
	// whose times are good to some milliseconds, leastReceived by the receiver's one clock.
	least, leastReceived float64
}

// wait is from one attempt to the next whose outcome is known.
type wait struct {
	endpoint string
	kind     string // "" for the endpoint's own
	due      time.Time
	deaths   int // unknown attempts in between
	next     run
}

// judge compares attempts with their schedule.
func judge(chains []chain, schedule []time.Duration, lanes map[string]lane, faults []fault) punctuality {
	p := punctuality{late: map[string][]float64{}, least: math.Inf(1), leastReceived: math.Inf(1)}
	byEndpoint := map[string][]wait{}
	for _, c := range chains {
		for _, w := range c.waits(schedule, faults, &p) {
			byEndpoint[w.endpoint] = append(byEndpoint[w.endpoint], w)
		}
	}

	for endpoint, waits := range byEndpoint {
		allowed := lanes[endpoint].allowed(waits, faults)
		for i, w := range waits {
			p.add(endpoint, w, allowed[i], faults)
		}
	}
	return p
}

// add counts how late an attempt was that might have left at a time.
func (p *punctuality) add(endpoint string, w wait, allowed time.Time, faults []fault) {
	kind, from := w.kind, w.due
	switch {
	case kind == first:
		return
	case kind == "" && caught(faults, allowed, allowed.Add(afterDue)):
		kind = waitHeld
	case kind == "":
		kind, from = endpoint, allowed
	}
	p.late[kind] = append(p.late[kind], w.next.at.Sub(from).Seconds()/float64(max(w.deaths, 1)))
}

// first is the kind of the wait for a first attempt, of which the schedule says nothing.
const first = "first"

// waits returns a delivery's waits, and notes the shortest of those that no fault explains.
func (c chain) waits(schedule []time.Duration, faults []fault, p *punctuality) (list []wait) {
	w := wait{endpoint: c.endpoint, kind: first, due: c.due}
	failures, doubts := 0, 0
	for _, r := range c.runs {
		if !r.known {
			w.kind, w.deaths = waitUnknown, w.deaths+1
			continue
		}

		w.next = r
		list = append(list, w)

		w.kind, w.deaths, failures = "", 0, failures+1
		if caught(faults, r.at, r.end.Add(afterEnd)) {
			w.kind, doubts = waitHeld, doubts+1
		}
		w.due = r.end.Add(delayOf(schedule, failures))

		// A failure that came to be known late may not have used up its delay.
		if next := c.after(r); next != nil && w.kind == "" {
			p.shortest(r, *next, delayOf(schedule, failures-doubts))
		}
	}
	return list
}

// after returns the run that follows, if its outcome is known.
func (c chain) after(r run) *run {
	i := slices.Index(c.runs, r) + 1
	if i == len(c.runs) || !c.runs[i].known {
		return nil
	}
	return &c.runs[i]
}

// shortest notes how much longer than its delay a wait was that no fault explains.
func (p *punctuality) shortest(r, next run, delay time.Duration) {
	p.least = min(p.least, next.at.Sub(r.end.Add(delay)).Seconds())
	if !r.received.IsZero() && !next.received.IsZero() {
		p.leastReceived = min(p.leastReceived, next.received.Sub(r.received.Add(delay)).Seconds())
	}
}

// delayOf returns the delay after so many failures.
func delayOf(schedule []time.Duration, failures int) time.Duration {
	if len(schedule) == 0 || failures < 1 {
		return 0
	}
	return schedule[min(failures, len(schedule))-1]
}

// caught tells whether a fault began in a time.
func caught(faults []fault, from, to time.Time) bool {
	return slices.ContainsFunc(faults, func(f fault) bool { return !f.at.Before(from) && !f.at.After(to) })
}

// allowed returns for each wait when its attempt might have left at the earliest: when it was due, or when those before
// it let it. It puts waits into the order in which they were due.
func (l lane) allowed(waits []wait, faults []fault) []time.Time {
	slices.SortFunc(waits, func(a, b wait) int { return a.due.Compare(b.due) })
	times := make([]time.Time, len(waits))
	if !l.paced {
		for i, w := range waits {
			times[i] = w.due
		}
		return times
	}

	var last time.Time
	free := make([]time.Time, l.width)
	for i, w := range waits {
		at := w.due
		if next := last.Add(l.interval); next.After(at) {
			at = next
		}

		slices.SortFunc(free, time.Time.Compare)
		if free[0].After(at) {
			at = free[0]
		}

		// One that was about to leave waits, too.
		at = paced(at, at, faults)
		times[i] = paced(at, at.Add(afterDue), faults)

		if w.next.at.Before(at) {
			at = w.next.at
		}
		last, free[0] = at, at.Add(w.next.end.Sub(w.next.at))
	}
	return times
}

// paced returns the first moment from at on at which no process that paces has just died or frozen, of those that did
// before a time.
func paced(at, before time.Time, faults []fault) time.Time {
	for _, f := range faults { // in the order of their times
		if end := f.at.Add(pacerGone); f.pacer && !f.at.After(before) && end.After(at) {
			at, before = end, end
		}
	}
	return at
}

// of returns the waits of the endpoints of a kind, or of another kind, in order.
func (p punctuality) of(kinds ...string) (list []float64) {
	for _, kind := range kinds {
		list = append(list, p.late[kind]...)
	}
	slices.Sort(list)
	return list
}

// worst returns the last of a sorted list and its 99th percentile, 0 if there is none.
func worst(sorted []float64) (most, p99 float64) {
	if len(sorted) == 0 {
		return 0, 0
	}
	return sorted[len(sorted)-1], sorted[(len(sorted)*99+99)/100-1]
}
