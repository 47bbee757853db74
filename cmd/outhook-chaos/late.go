package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// auditPunctuality checks each attempt against its schedule, and that what was to get nothing got nothing.
func (a *audit) auditPunctuality(s *stack) error {
	p := &punctuality{
		audit: a, journal: s.journal, watch: s.watch, clocks: s.journal.of(subjectClocks),
		workers: s.role(roleWorker), troubles: map[string]spans{},
		shared: line{}, bursts: line{}, lanes: map[uuid.UUID]line{}, lateness: map[class][]time.Duration{},
		unpaced: join(s.watch.unpaced...),
	}
	for i, n := range p.workers {
		p.troubles[n.name] = s.journal.of(n.name, subjectDatabase, subjectMachine)
		if i == 0 {
			p.away = p.troubles[n.name]
		}
		p.away = p.away.both(p.troubles[n.name])
	}
	p.findHolders()

	all := map[deliveryKey][]*turn{}
	for _, stored := range a.events {
		for _, event := range stored {
			if event.orderingKey != "" || tenantOf(event.n) == orderedTenant {
				continue // it waits for those before it
			}
			for _, d := range a.deliveriesOf(event.id) {
				turns := p.turns(d, event.createdAt, event.dueAt)
				all[d.deliveryKey] = turns
				p.queue(d, turns)
			}
		}
	}
	p.queueHolds(all)

	for key, turns := range all {
		for _, t := range turns {
			p.check(key, t)
		}
	}
	p.checkEnds()
	p.summarise()

	if err := os.WriteFile(s.dir+"/late.log", []byte(p.log.String()), 0o600); err != nil {
		return fmt.Errorf("writing what was late: %w", err)
	}
	return nil
}

// deliveriesOf returns an event's.
func (a *audit) deliveriesOf(eventID uuid.UUID) (list []*storedDelivery) {
	for id := range a.byID {
		if d := a.deliveries[deliveryKey{eventID, id}]; d != nil {
			list = append(list, d)
		}
	}
	return list
}

// queue notes where the attempts of a delivery stood in line.
func (p *punctuality) queue(d *storedDelivery, turns []*turn) {
	e := p.byID[d.endpointID]
	if p.lanes[d.endpointID] == nil {
		p.lanes[d.endpointID] = line{}
	}

	for _, t := range turns {
		if !t.timed {
			continue
		}

		p.lanes[d.endpointID].serve(span{t.start, later(t.end, t.start.Add(e.every()))}, t.place)
		p.bursts.serve(span{t.start, t.start}, t.place)
		if p.numbers[d.eventID] < burstBase {
			p.shared.serve(span{t.start, t.start}, t.place)
		}
	}
}

// queueHolds notes which runs took their endpoint's place in a lane without getting on: they stand in line as what they
// were due for.
func (p *punctuality) queueHolds(all map[deliveryKey][]*turn) {
	for key, list := range p.holds {
		for _, h := range list {
			l := p.lanes[key.endpointID]
			if l == nil || h.number == 0 {
				continue
			}

			place := h.from
			for _, t := range all[key] {
				if t.number == h.number {
					place = earlier(place, t.place)
				}
			}
			for _, s := range p.helpless(h) {
				l.serve(s, place)
			}
		}
	}
}

// check checks one attempt.
func (p *punctuality) check(key deliveryKey, t *turn) {
	if t.free || !t.timed {
		return
	}

	if by := p.early(key, t); by > 0 {
		p.breach("early", "attempt %d of event %s, endpoint %s left %s before its time",
			t.number, key.eventID, key.endpointID, by)
		fmt.Fprintf(&p.log, "early by %s: %s\n", by, p.story(key, t))
	}
	if t.outcome != "unknown" || t.request != nil {
		p.checkLate(key, t)
	}
}

// early returns how much earlier an attempt left than the schedule allows, by the receivers' clock and by the log.
func (p *punctuality) early(key deliveryKey, t *turn) (by time.Duration) {
	switch {
	case t.base == nil && t.number == 1 && t.request != nil:
		return max(0, t.place.Add(-arrivalError).Sub(t.start)) // before its event was due
	case t.base == nil || p.held(key, t.base.number) >= takenForDead:
		return 0 // others did not know of its outcome
	}

	if t.request != nil && t.base.request != nil {
		by = t.base.start.Add(t.delay - arrivalError).Sub(t.start)
	}

	exact := !t.died() && len(p.clocks.during(span{t.start.Add(-time.Second), t.start.Add(time.Second)})) == 0 &&
		len(p.clocks.during(span{t.base.start.Add(-time.Second), t.base.end.Add(time.Second)})) == 0
	if exact {
		ended := t.base.startedAt.Add(t.base.duration)
		by = max(by, ended.Add(t.delay-clockError).Sub(t.startedAt))
	}
	return by
}

// checkLate checks that an attempt was not later than it may be.
func (p *punctuality) checkLate(key deliveryKey, t *turn) {
	waited := span{t.latest(), t.start}
	c, bound := classShared, lateBound+t.bound
	inLane := p.inLane(key.endpointID, waited)

	switch {
	case p.numbers[key.eventID] >= burstBase:
		c = classBurst
	case t.bound > 0:
		c = classUnknown
	case t.number == 1:
		c = classFirst
	case inLane:
		c = classLane
	}
	if inLane && p.pacerTrouble(waited) || p.paused(key.endpointID, waited) {
		bound += pacerBound
	}
	if inLane { // who paces next is at work as soon as any attempt is
		bound += lateBound * time.Duration(len(p.unpaced.during(waited)))
	}

	p.report.Scheduled[c]++
	late := waited.length()
	if late > bucket {
		late -= join(p.excuses(key, t, waited, inLane)...).length()
	}
	p.lateness[c] = append(p.lateness[c], max(0, late))

	if late > bound && c != classBurst {
		p.report.LateByClass[c]++
		p.breach("late", "attempt %d of event %s, endpoint %s (%s) left %s after its time, of which nothing excuses %s",
			t.number, key.eventID, key.endpointID, c, waited.length(), late)
		fmt.Fprintf(&p.log, "late (%s) by %s of %s: %s\n", c, late, waited.length(), p.story(key, t))
	}
}

// excuses returns the times in a wait at which the attempt could not be made, or was not its turn: no worker could
// work; the run was in the hands of one that could not, or had been given back for a moment; the endpoint or the
// delivery was held up by a person; or others were served that were due earlier.
func (p *punctuality) excuses(key deliveryKey, t *turn, waited span, inLane bool) []span {
	list := slices.Concat(p.away.during(waited),
		p.journal.of(key.String(), key.endpointID.String()).during(waited))

	turnOf := t.latest()
	for _, h := range p.holds[key] {
		switch {
		case !h.overlaps(waited):
		case h.number == 0:
			list = append(list, spans{h.span}.during(waited)...)
			turnOf = later(turnOf, h.to)
		case h.number <= t.number && !p.deliveries[key].died(h.number):
			// It made this attempt, or the one before it, whose outcome it could not tell.
			list = append(list, p.helpless(h).during(waited)...)
			turnOf = later(turnOf, h.to)
		}
	}

	l := p.shared
	switch {
	case inLane:
		l = p.lanes[key.endpointID]
		list = append(list, p.shut(key.endpointID, waited)...)
		list = append(list, p.unpaced.during(waited)...)
	case p.numbers[key.eventID] >= burstBase || p.paused(key.endpointID, waited):
		l = p.bursts
	}
	return append(list, l.before(waited, turnOf.Add(queueError))...)
}

// paused tells whether an endpoint was paused in a time: many that have waited for it stand in their tenant's line of
// bursts then, once the process that paces has brought them there.
func (p *punctuality) paused(id uuid.UUID, waited span) bool {
	return len(p.journal.of(id.String()).during(waited)) > 0
}

// inLane tells whether an endpoint had a lane in a time, or so shortly before that what waited there may not have been
// moved yet.
func (p *punctuality) inLane(id uuid.UUID, s span) bool {
	if p.byID[id].limit > 0 {
		return true
	}
	s = span{s.from.Add(-pacerBound), s.to.Add(2 * watchEvery)}
	return slices.ContainsFunc(p.watch.lanes[id], func(l laneState) bool {
		return l.lane != "" && l.at.After(s.from) && l.at.Before(s.to)
	})
}

// shut returns the times at which an endpoint that asked for less got nothing.
func (p *punctuality) shut(id uuid.UUID, s span) (list []span) {
	for _, l := range p.watch.lanes[id] {
		if l.shut && l.at.After(s.from.Add(-watchEvery)) && l.at.Before(s.to) {
			list = append(list, spans{{l.at.Add(-watchEvery), l.at.Add(watchEvery)}}.during(s)...)
		}
	}
	return list
}

// pacerTrouble tells whether the process that paces may have been in trouble.
func (p *punctuality) pacerTrouble(s span) bool {
	s.from = s.from.Add(-pacerBound)
	return slices.ContainsFunc(p.workers, func(n *node) bool { return len(p.troubles[n.name].during(s)) > 0 })
}

// checkEnds looks for requests to endpoints that were to get nothing any more.
func (p *punctuality) checkEnds() {
	for _, req := range p.requests {
		for _, off := range req.endpoint.off {
			ended := span{off.from.Add(endBound), off.to}
			if !ended.overlaps(span{req.at, req.at.Add(1)}) || len(p.troubles[req.worker].during(span{off.from, req.at})) > 0 {
				continue
			}
			p.breach("requests after the end", "event %s arrived at endpoint %s %s after it was stopped",
				req.delivery.eventID, req.delivery.endpointID, req.at.Sub(off.from))
		}
	}
}

func (p *punctuality) summarise() {
	for c, list := range p.lateness {
		slices.Sort(list)
		p.report.LateP50MS[c] = list[len(list)/2].Milliseconds()
		p.report.LateP99MS[c] = list[len(list)*99/100].Milliseconds()
		p.report.LateWorstMS[c] = list[len(list)-1].Milliseconds()
	}
}

// story tells for people what is known of an attempt.
func (p *punctuality) story(key deliveryKey, t *turn) string {
	const clock = "15:04:05.000"
	var text strings.Builder
	fmt.Fprintf(&text, "event %s (%d) endpoint %s attempt %d due %s left %s\n", key.eventID, p.numbers[key.eventID],
		key.endpointID, t.number, t.due.Format(clock), t.start.Format(clock))

	for _, a := range p.deliveries[key].attempts {
		fmt.Fprintf(&text, "    %d %s +%s %s %d %s\n", a.number, a.startedAt.Local().Format(clock), a.duration, a.outcome,
			a.statusCode, a.trouble)
	}
	for _, h := range p.holds[key] {
		fmt.Fprintf(&text, "    held as %d by %s from %s to %s\n",
			h.number, h.holder, h.from.Format(clock), h.to.Format(clock))
	}
	for _, n := range p.workers {
		for _, s := range p.troubles[n.name].during(span{t.due, t.start}) {
			fmt.Fprintf(&text, "    %s in trouble from %s to %s\n", n.name, s.from.Format(clock), s.to.Format(clock))
		}
	}
	return text.String()
}
