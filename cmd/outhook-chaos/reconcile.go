package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// reconcile compares the four ledgers and fills the report.
func (s *stack) reconcile(ctx context.Context, r *report, l *ledger, saboteur *saboteur, start time.Time) error {
	began := time.Now()
	t, err := readTables(ctx, s.direct)
	if err != nil {
		return err
	}

	a := s.newAudit(t, r, l, saboteur.operator)
	promises := r.promises()
	for _, p := range promises {
		a.breaches[p.name] = p
	}

	a.auditClaims()
	a.auditDeliveries()
	a.auditRequests(start)
	a.auditOrder()
	if err := a.auditPunctuality(s); err != nil {
		return err
	}
	a.auditFaults(saboteur)
	r.Recovery = a.recoveries(saboteur.marks, l)

	for _, n := range s.nodes {
		r.UnorderedExits += int(n.exits.Load())
	}
	r.ReconciledMS = time.Since(began).Milliseconds()

	r.Broken = []string{}
	for _, p := range promises {
		if *p.count > 0 {
			r.Broken = append(r.Broken, p.name+": "+p.example)
		}
	}

	return nil
}

// newAudit returns one that has found nothing yet.
func (s *stack) newAudit(t *tables, r *report, l *ledger, o *operator) *audit {
	a := &audit{
		tables: t, report: r, claims: l.claims, requests: s.receivers.entries(), byAttempt: map[attemptKey][]request{},
		endpoints: map[string][]*endpoint{}, byID: map[uuid.UUID]*endpoint{}, operator: o,
		numbers: map[uuid.UUID]int64{}, told: map[int64]time.Time{}, began: map[int64]time.Time{},
		back: map[int64]time.Time{}, holds: s.watch.holds,
		breaches: map[string]*promise{},
	}

	r.ByClient, r.DuplicatesByCause = map[string]int{}, map[string]int{}
	r.FrozenRequests = []int{}
	r.NoStatus, r.NoRequest = map[string]int{}, map[string]int{}
	r.Scheduled, r.LateByClass = map[class]int{}, map[class]int{}
	r.LateP50MS, r.LateP99MS, r.LateWorstMS = map[class]int64{}, map[class]int64{}, map[class]int64{}

	for _, e := range s.receivers.all() {
		a.byID[e.id] = e
		if !e.mortal {
			a.endpoints[e.tenant] = append(a.endpoints[e.tenant], e)
		}
	}
	for _, c := range a.claims {
		if c.verdict == committed {
			a.told[c.n] = c.at
		}
		if c.back {
			a.back[c.n] = c.at
		}
		if !c.began.IsZero() {
			a.began[c.n] = c.began
		}
	}
	for n, stored := range a.events {
		for _, event := range stored {
			a.numbers[event.id] = n
		}
	}
	for _, req := range a.requests {
		k := attemptKey{req.delivery, req.attempt}
		a.byAttempt[k] = append(a.byAttempt[k], req)
	}

	return a
}

// auditClaims compares what the clients were told with the tables: atomic, and nothing lost on the way in.
func (a *audit) auditClaims() {
	for _, c := range a.claims {
		stored := a.events[c.n]
		switch c.verdict {
		case committed:
			a.report.Accepted++
			a.report.ByClient[c.client]++
			if len(stored) == 0 {
				a.breach("lost", "event %d was accepted from the %s client and is not in the table", c.n, c.client)
			} else if c.back && !stored[0].back {
				a.breach("lost", "event %d was taken back by the %s client, and is not in the table", c.n, c.client)
			} else if c.eventID != uuid.Nil && c.eventID != stored[0].id {
				a.breach("doubled", "event %d is %s in the table, the client was told %s", c.n, stored[0].id, c.eventID)
			}

		case rolledBack:
			a.report.RolledBack++
			if len(stored) > 0 {
				a.breach("phantom", "event %d of the %s client was rolled back (%s) and is in the table as %s", c.n, c.client,
					cmp.Or(c.reason, "by its own will"), stored[0].id)
			}

		case inDoubt:
			a.report.InDoubt++
		case refused:
			a.breach("refused", "event %d of the %s client: %s", c.n, c.client, c.reason)
		}

		if len(stored) > 1 {
			a.breach("doubled", "event %d of the %s client is in the table %d times", c.n, c.client, len(stored))
		}
		if c.order && a.orders[c.n] != (len(stored) > 0) {
			a.breach("torn", "event %d of the %s client: order %t, event %t", c.n, c.client, a.orders[c.n], len(stored) > 0)
		}
	}
}

// auditDeliveries compares events, deliveries and the attempt log with the receivers' log.
func (a *audit) auditDeliveries() {
	r := a.report

	for n, stored := range a.events {
		for _, event := range stored {
			r.Committed++
			if event.back {
				a.auditWithdrawn(event)
				continue
			}
			for _, e := range a.endpoints[tenantOf(n)] {
				d := a.deliveries[deliveryKey{event.id, e.id}]
				if !e.wants(n) {
					if d != nil {
						a.breach("phantom", "event %s has a delivery for endpoint %s, which does not want it", event.id, e.id)
					}
					continue
				}
				if d == nil {
					a.breach("lost", "event %s has no delivery for endpoint %s", event.id, e.id)
					continue
				}
				a.auditDelivery(d)
			}
		}
	}

	r.Deliveries = len(a.deliveries)
	a.auditMortals()
	if a.liveJobs > 0 {
		r.Unsettled += a.liveJobs
		a.breaches["unsettled"].example = "a job is still live"
	}
}

// auditWithdrawn looks at an event that was taken back before it was due: nothing of it may have left, if that was
// committed in time.
func (a *audit) auditWithdrawn(event storedEvent) {
	a.report.Withdrawn++
	told, known := a.back[event.n]

	for _, d := range a.deliveriesOf(event.id) {
		a.auditLog(d)
		a.auditRows(d)
		switch {
		case d.state == "pending":
			a.breach("unsettled", "event %s was taken back, and is pending for endpoint %s", d.eventID, d.endpointID)
		case d.attemptCount > 0 && known && told.Before(event.dueAt):
			a.breach("sent though taken back", "event %s has %d attempts at endpoint %s",
				d.eventID, d.attemptCount, d.endpointID)
		}
	}
}

// auditMortals looks at the deliveries of endpoints that were deleted: what was pending is cancelled.
func (a *audit) auditMortals() {
	for _, d := range a.deliveries {
		if e := a.byID[d.endpointID]; e == nil || !e.mortal {
			continue
		}
		a.auditLog(d)
		a.auditRows(d)

		switch {
		case d.state == "pending":
			a.breach("unsettled", "event %s of the deleted endpoint %s is pending", d.eventID, d.endpointID)
		case d.state == "cancelled" && d.reason != "endpoint_deleted":
			a.breach("failed early", "event %s of the deleted endpoint %s was cancelled: %s", d.eventID, d.endpointID, d.reason)
		}
	}
}

// auditLog looks for holes, and returns the number of known failures, which use up the schedule, and of 2xx answers.
func (a *audit) auditLog(d *storedDelivery) (known, answered int) {
	for number := 1; number <= d.attemptCount; number++ {
		attempt := d.attempt(number)
		if attempt == nil {
			a.breach("holes", "attempt %d of %d of event %s, endpoint %s", number, d.attemptCount, d.eventID, d.endpointID)
			continue
		}
		if attempt.failed() {
			known++
		}
		if success(a.byAttempt[attemptKey{d.deliveryKey, number}]) {
			answered++
		}
	}

	if len(d.attempts) > d.attemptCount {
		a.breach("holes", "event %s, endpoint %s has %d rows and counts %d",
			d.eventID, d.endpointID, len(d.attempts), d.attemptCount)
	}
	return known, answered
}

func (a *audit) auditDelivery(d *storedDelivery) {
	r := a.report
	known, answered := a.auditLog(d)
	a.auditRows(d)

	if answered > 0 {
		r.Delivered++
		a.countDuplicates(d, answered-1)
	}

	replays, e := a.auditReplays(d, answered), a.byID[d.endpointID]
	tries := e.tries()
	if e.dead {
		tries *= 1 + replays
	}

	switch {
	case d.state == "pending":
		a.breach("unsettled", "event %s, endpoint %s is pending after %d attempts", d.eventID, d.endpointID, d.attemptCount)
	case d.state == "failed" && known >= tries:
		r.Exhausted++
		return
	case d.state != "succeeded":
		a.breach("failed early", "event %s, endpoint %s is %s (%s) after %d known failures",
			d.eventID, d.endpointID, d.state, d.reason, known)
	case answered == 0:
		a.breach("unfounded successes", "event %s, endpoint %s", d.eventID, d.endpointID)
	}

	if answered == 0 {
		a.breach("lost", "event %s never arrived at endpoint %s; it is %s after %d attempts",
			d.eventID, d.endpointID, d.state, d.attemptCount)
	}
}

// auditRows compares each row of the attempt log with the requests of its number.
func (a *audit) auditRows(d *storedDelivery) {
	for i := range d.attempts {
		attempt := &d.attempts[i]
		a.report.Attempts++

		requests, number := a.byAttempt[attemptKey{d.deliveryKey, attempt.number}], attempt.number
		switch {
		case attempt.statusCode == 0:
			a.report.NoStatus[attempt.outcome]++
			if len(requests) > 0 {
				break
			}
			a.report.NoRequest[attempt.outcome]++
			if !a.explained(d, attempt) {
				a.breach("rows without a request", "attempt %d of event %s, endpoint %s is %s (%s)",
					number, d.eventID, d.endpointID, attempt.outcome, attempt.trouble)
			}
		case len(requests) == 0:
			a.breach("rows without a request", "attempt %d of event %s has status %d", number, d.eventID, attempt.statusCode)
		case requests[0].status != attempt.statusCode:
			a.breach("rows with another status", "attempt %d of event %s has status %d, the receiver answered %d",
				number, d.eventID, attempt.statusCode, requests[0].status)
		}
	}
}

// explained tells whether a row may have no request: it did not get as far as that, a stop cut it off, or a run of that
// number was in the hands of somebody who could not work: it was taken for dead, or its time was over when it went on.
func (a *audit) explained(d *storedDelivery, attempt *storedAttempt) bool {
	switch attempt.outcome {
	case "blocked", "unreachable":
		return true
	case "timed_out":
		return !strings.Contains(attempt.trouble, "response") || a.held(d.deliveryKey, attempt.number) > 0
	case "unknown":
		return strings.HasPrefix(attempt.trouble, "stopped") ||
			strings.HasPrefix(attempt.trouble, troubleDied) && a.held(d.deliveryKey, attempt.number) > 0
	}
	return false
}

// countDuplicates says for each 2xx answer but one why the delivery was sent again all the same: the outcome in the
// attempt log of the answers that Outhook did not hear, or "raced" for one that it heard.
func (a *audit) countDuplicates(d *storedDelivery, n int) {
	if n == 0 {
		return
	}

	a.report.Duplicates += n
	heard := 0

	for i := range d.attempts {
		attempt := &d.attempts[i]
		if !success(a.byAttempt[attemptKey{d.deliveryKey, attempt.number}]) {
			continue
		}
		if attempt.outcome == "succeeded" {
			heard++
			continue
		}

		if n > 0 {
			a.report.DuplicatesByCause[attempt.outcome]++
			n--
		}
	}

	if n == 0 {
		return
	}

	replays := a.operator.replayed(d.deliveryKey)
	replayed := min(n, replays.ordered+replays.inDoubt)
	a.report.DuplicatesByCause["replayed"] += replayed

	if n > replayed {
		a.report.DuplicatesByCause["raced"] += n - replayed
		a.report.Raced += n - replayed
	}
}

// auditReplays returns how often the delivery was replayed, if the API said so: what had succeeded was to be answered
// well once more each time.
func (a *audit) auditReplays(d *storedDelivery, answered int) int {
	ordered := a.operator.replayed(d.deliveryKey).ordered
	a.report.Replays += ordered

	if !a.byID[d.endpointID].dead && answered < 1+ordered {
		a.breach("replays lost", "event %s, endpoint %s was replayed %d times and answered %d times",
			d.eventID, d.endpointID, ordered, answered)
	}

	return ordered
}

// auditRequests compares the receivers' log with the attempt log and with what was rolled back, and measures.
func (a *audit) auditRequests(start time.Time) {
	r := a.report
	r.Requests = len(a.requests)

	rolledBackEvents := map[int64]bool{}
	for _, c := range a.claims {
		rolledBackEvents[c.n] = c.verdict == rolledBack
	}

	for k, requests := range a.byAttempt {
		if len(requests) > 1 {
			a.breach("requests with one number", "attempt %d of event %s arrived %d times",
				k.number, k.delivery.eventID, len(requests))
		}
		if d := a.deliveries[k.delivery]; d == nil || d.attempt(k.number) == nil {
			a.breach("requests without a row", "attempt %d of event %s, endpoint %s",
				k.number, k.delivery.eventID, k.delivery.endpointID)
		}

		for _, req := range requests {
			if req.n == forged {
				a.breach("forged", "attempt %d of event %s", k.number, k.delivery.eventID)
			}
			if rolledBackEvents[req.n] {
				a.breach("phantom", "event %d was rolled back and was received", req.n)
			}
		}
	}

	a.measure(start)
}

// measure finds the longest time without a request, and the latencies.
func (a *audit) measure(start time.Time) {
	slices.SortFunc(a.requests, func(x, y request) int { return x.at.Compare(y.at) })

	last := start
	first := map[deliveryKey]time.Time{}

	for _, req := range a.requests {
		if stall := req.at.Sub(last).Milliseconds(); stall > a.report.LongestStallMS {
			a.report.LongestStallMS, a.report.StallAtMS = stall, last.Sub(start).Milliseconds()
		}
		last = req.at
		if _, ok := first[req.delivery]; !ok && success([]request{req}) {
			first[req.delivery] = req.at
		}
	}

	var latencies []int64
	for _, stored := range a.events {
		for _, event := range stored {
			if event.n >= burstBase {
				continue // a burst takes its time
			}
			for _, e := range a.endpoints[tenantOf(event.n)] {
				if at, ok := first[deliveryKey{event.id, e.id}]; ok && !e.disabled {
					latency := at.Sub(event.dueAt).Milliseconds()
					latencies = append(latencies, latency)
					if latency > 10_000 {
						a.report.LatencyOver10++
					}
				}
			}
		}
	}

	if slices.Sort(latencies); len(latencies) > 0 {
		a.report.LatencyP50MS = latencies[len(latencies)/2]
		a.report.LatencyP99MS = latencies[len(latencies)*99/100]
		a.report.LatencyWorstMS = latencies[len(latencies)-1]
	}
}

func (a *audit) auditFaults(s *saboteur) {
	for _, frozen := range s.frozen {
		n := 0
		for k := range a.byAttempt {
			if k.delivery == frozen.delivery && k.number >= frozen.attempt {
				n++
			}
		}
		a.report.FrozenRequests = append(a.report.FrozenRequests, n)
	}

	a.report.Faults, a.report.FaultCount = s.done, sum(s.done)
	a.report.CrashesAfterAnswer = len(s.trapped)

	for _, req := range s.trapped {
		d := a.deliveries[req.delivery]
		if d == nil {
			continue
		}
		if attempt := d.attempt(req.attempt); attempt != nil && attempt.outcome == "unknown" {
			a.report.Unrecorded++
		}
	}
}
