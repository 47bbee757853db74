package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/outhook/outhook"
)

const (
	// orderedLines is how many endpoints get their events in order at the same time, and orderedOne how many events the
	// one gets that is measured alone.
	orderedLines = 1000
	orderedOne   = 1000

	// leastOrdered is how many events a second an ordered endpoint must get that answers in briefAnswer, and
	// leastOrderedShare what part of the rate without order 1,000 of them together.
	leastOrdered      = 100
	leastOrderedShare = 0.5
)

// inOrder measures one endpoint that gets its events in order, and then many beside many that do not.
func (p *play) inOrder(ctx context.Context) error {
	const ordered = `,"ordered":"skip"`
	if err := p.endpoint(ctx, "one", behaveBrief, "one", ordered); err != nil {
		return err
	}
	if err := p.startWorkers(ctx, p.cfg.Workers); err != nil {
		return err
	}

	one := make([]string, orderedOne)
	for i := range one {
		one[i] = "one"
	}
	rate, most, err := p.orderedPart(ctx, "one", one)
	if err != nil {
		return err
	}
	p.r.atLeast("one ordered endpoint: events/s", rate, leastOrdered)
	p.r.atMost("one ordered endpoint: requests at once", most, 1)

	rates := map[string]float64{}
	for _, group := range []string{"free", "ordered"} {
		more, tenants := "", names(group, orderedLines)
		if group == "ordered" {
			more = ordered
		}
		if err := p.endpointsAt(ctx, tenants, behaveBrief+"/"+group, more); err != nil {
			return err
		}

		var events []string
		for range max(p.cfg.Count/orderedLines, 1) {
			events = append(events, tenants...)
		}
		if rates[group], _, err = p.orderedPart(ctx, group, events); err != nil {
			return err
		}
		p.r.figure("1000 "+group+" endpoints: events/s", rates[group])
	}
	p.r.atLeast("1000 ordered endpoints, part of the rate of free ones", rates["ordered"]/rates["free"], leastOrderedShare)
	return nil
}

// orderedPart enqueues an event for each of the tenants, which may repeat, and waits until a group has got them. It
// returns how many a second that were, and how many requests were under way at once.
func (p *play) orderedPart(ctx context.Context, group string, tenants []string) (rate, most float64, err error) {
	if err := p.receiver.reset(ctx); err != nil {
		return 0, 0, err
	}
	for part := range chunks(tenants, callEvents) {
		events := make([]outhook.Event, len(part))
		for i, tenant := range part {
			events[i] = outhook.Event{TenantID: tenant, Type: eventType, Payload: payload(time.Now(), p.cfg.PayloadBytes)}
		}
		if err := p.enqueueCall(ctx, events); err != nil {
			return 0, 0, err
		}
	}

	counts, err := p.receiver.awaitGroup(ctx, group, int64(len(tenants)))
	if err != nil {
		return 0, 0, err
	}
	got := counts[group]
	if got.Count < int64(len(tenants)) {
		return 0, 0, fmt.Errorf("%d of %d deliveries to %s endpoints did not arrive",
			int64(len(tenants))-got.Count, len(tenants), group)
	}
	return float64(got.Count-1) / got.seconds(), float64(got.MaxAtOnce), p.awaitSettled(ctx)
}
