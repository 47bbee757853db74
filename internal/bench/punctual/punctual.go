// Package punctual judges how exactly the attempts of a log left, on a day on which processes were killed and frozen.
package punctual

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

// Lane is how fast an endpoint's requests may leave.
type Lane struct {
	Paced    bool          // it is not in the shared queues
	Interval time.Duration // between two requests
	Width    int           // requests at the same time
}

// Fault is a worker process that was killed (Freeze is false) or stood still.
type Fault struct {
	At     time.Time
	Freeze bool
	Pacer  bool // it was the one that paces, or nobody knows which one was
}

// Chain is what the log has of one delivery.
type Chain struct {
	Endpoint string
	Due      time.Time // of its first attempt
	Runs     []Run
}

// Run is an attempt.
type Run struct {
	At, End  time.Time // by the log
	Received time.Time // by the receiver; zero: its request did not arrive
	Known    bool      // the outcome is
}

// Kinds of waits, beside the endpoint's own.
const (
	WaitUnknown = "after an unknown attempt"     // its worker died
	WaitHeld    = "of those that a fault caught" // the run was with a process that was frozen or killed
)

// Result is how exactly attempts left: seconds later than they might have, by kind.
type Result struct {
	Late map[string][]float64

	// By how many seconds the shortest wait was longer than its delay; below 0: one was too short. Least is by the log,
	// whose times are good to some milliseconds, LeastReceived by the receiver's one clock.
	Least, LeastReceived float64
}

// wait is from one attempt to the next whose outcome is known.
type wait struct {
	endpoint string
	kind     string // "" for the endpoint's own
	due      time.Time
	deaths   int // unknown attempts in between
	next     Run
}

// Judge compares attempts with their schedule.
func Judge(chains []Chain, schedule []time.Duration, lanes map[string]Lane, faults []Fault) Result {
	p := Result{Late: map[string][]float64{}, Least: math.Inf(1), LeastReceived: math.Inf(1)}
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
func (p *Result) add(endpoint string, w wait, allowed time.Time, faults []Fault) {
	kind, from := w.kind, w.due
	switch {
	case kind == first:
		return
	case kind == "" && caught(faults, allowed, allowed.Add(afterDue)):
		kind = WaitHeld
	case kind == "":
		kind, from = endpoint, allowed
	}
	p.Late[kind] = append(p.Late[kind], w.next.At.Sub(from).Seconds()/float64(max(w.deaths, 1)))
}

// first is the kind of the wait for a first attempt, of which the schedule says nothing.
const first = "first"

// waits returns a delivery's waits, and notes the shortest of those that no fault explains.
func (c Chain) waits(schedule []time.Duration, faults []Fault, p *Result) (list []wait) {
	w := wait{endpoint: c.Endpoint, kind: first, due: c.Due}
	failures, doubts := 0, 0
	for _, r := range c.Runs {
		if !r.Known {
			w.kind, w.deaths = WaitUnknown, w.deaths+1
			continue
		}

		w.next = r
		list = append(list, w)

		w.kind, w.deaths, failures = "", 0, failures+1
		if caught(faults, r.At, r.End.Add(afterEnd)) {
			w.kind, doubts = WaitHeld, doubts+1
		}
		w.due = r.End.Add(delayOf(schedule, failures))

		// A failure that came to be known late may not have used up its delay.
		if next := c.after(r); next != nil && w.kind == "" {
			p.shortest(r, *next, delayOf(schedule, failures-doubts))
		}
	}
	return list
}

// after returns the run that follows, if its outcome is known.
func (c Chain) after(r Run) *Run {
	i := slices.Index(c.Runs, r) + 1
	if i == len(c.Runs) || !c.Runs[i].Known {
		return nil
	}
	return &c.Runs[i]
}

// shortest notes how much longer than its delay a wait was that no fault explains.
func (p *Result) shortest(r, next Run, delay time.Duration) {
	p.Least = min(p.Least, next.At.Sub(r.End.Add(delay)).Seconds())
	if !r.Received.IsZero() && !next.Received.IsZero() {
		p.LeastReceived = min(p.LeastReceived, next.Received.Sub(r.Received.Add(delay)).Seconds())
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
func caught(faults []Fault, from, to time.Time) bool {
	return slices.ContainsFunc(faults, func(f Fault) bool { return !f.At.Before(from) && !f.At.After(to) })
}

// allowed returns for each wait when its attempt might have left at the earliest: when it was due, or when those before
// it let it. It puts waits into the order in which they were due.
func (l Lane) allowed(waits []wait, faults []Fault) []time.Time {
	slices.SortFunc(waits, func(a, b wait) int { return a.due.Compare(b.due) })
	times := make([]time.Time, len(waits))
	if !l.Paced {
		for i, w := range waits {
			times[i] = w.due
		}
		return times
	}

	var last time.Time
	free := make([]time.Time, l.Width)
	for i, w := range waits {
		at := w.due
		if next := last.Add(l.Interval); next.After(at) {
			at = next
		}

		slices.SortFunc(free, time.Time.Compare)
		if free[0].After(at) {
			at = free[0]
		}

		// One that was about to leave waits, too.
		at = paced(at, at, faults)
		times[i] = paced(at, at.Add(afterDue), faults)

		if w.next.At.Before(at) {
			at = w.next.At
		}
		last, free[0] = at, at.Add(w.next.End.Sub(w.next.At))
	}
	return times
}

// paced returns the first moment from at on at which no process that paces has just died or frozen, of those that did
// before a time.
func paced(at, before time.Time, faults []Fault) time.Time {
	for _, f := range faults { // in the order of their times
		if end := f.At.Add(pacerGone); f.Pacer && !f.At.After(before) && end.After(at) {
			at, before = end, end
		}
	}
	return at
}

// Of returns the waits of the endpoints of a kind, or of another kind, in order.
func (p Result) Of(kinds ...string) (list []float64) {
	for _, kind := range kinds {
		list = append(list, p.Late[kind]...)
	}
	slices.Sort(list)
	return list
}

// Worst returns the last of a sorted list and its 99th percentile, 0 if there is none.
func Worst(sorted []float64) (most, p99 float64) {
	if len(sorted) == 0 {
		return 0, 0
	}
	return sorted[len(sorted)-1], sorted[(len(sorted)*99+99)/100-1]
}
