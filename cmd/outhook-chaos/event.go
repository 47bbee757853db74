package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook"
)

// eventType is the type of every event.
const eventType = "order.placed"

// draw returns a generator that depends on its arguments alone: what is decided by it is the same in each run of a
// seed, whenever and by whomever it is asked.
func draw(seed, stream, n, m uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed<<8|stream, n<<16|m)) //nolint:gosec // it must be predictable
}

// Streams of draw.
const (
	streamFaults uint64 = iota
	streamFate
	streamAnswer
	streamClient
	streamOrder
)

// tenants are who the events are for. The third one's receivers are slow or dead, the fourth's have a rate limit.
func tenants() []string { return []string{"acme", "globex", "initech", "umbrella"} }

const (
	// slowShare says that one event in so many is for the tenant with the slow receivers: slow endpoints are paced by
	// design, and more would wait for their turn than for the faults to be over.
	slowShare = 30

	// limitedShare is that of the tenant with rate limits.
	limitedShare = 12

	// orderedTenant is the tenant whose endpoint gets its events in order, and orderedShare its share: few, since each may
	// hold up the others for its whole schedule.
	orderedTenant = "hooli"
	orderedShare  = 80

	// burstBase is where the numbers of events begin that come in bursts, and burstSpan how many a burst may take.
	burstBase = 1_000_000_000_000
	burstSpan = 1_000_000
)

// tenantOf returns event n's tenant. A burst is for one.
func tenantOf(n int64) string {
	switch {
	case n >= burstBase:
		return tenants()[n/burstSpan%2]
	case n%orderedShare == 33:
		return orderedTenant
	case n%slowShare == 0:
		return tenants()[2]
	case n%limitedShare == 5:
		return tenants()[3]
	}
	return tenants()[n%2]
}

// payload is event n's: its number in white space that must arrive as it is, and padding of up to 2 KiB.
func payload(n int64) string {
	return fmt.Sprintf("{ \"n\" :%d,\n\t\"note\": \"%s\" }", n, strings.Repeat("é", int(n*37%1000)))
}

const (
	// label is that which every third event has, and one endpoint wants.
	label = "third"

	// headerNumber is the header that such an event has with its number.
	headerNumber = "x-number"
)

// labelled tells whether event n has the label and the header. The trigger decides it in SQL.
func labelled(n int64) bool { return n%3 == 0 }

// delayOf returns how much later than its enqueue event n is to be delivered: one in fifty, those of bursts aside, is
// for later.
func delayOf(n int64) time.Duration {
	if n%50 != 7 || n >= burstBase {
		return 0
	}
	return time.Duration(1+n%20) * time.Second
}

// takenBack tells whether the client takes event n back as soon as it is committed: every second of those for later.
func takenBack(n int64) bool { return delayOf(n) > 0 && n%100 == 57 }

// event is event n as the Go package takes it.
func event(n int64) outhook.Event {
	e := outhook.Event{TenantID: tenantOf(n), Type: eventType, Payload: json.RawMessage(payload(n))}
	if labelled(n) {
		e.Labels = []string{"other", label}
		e.Headers = map[string]string{headerNumber: strconv.FormatInt(n, 10)}
	}
	if delay := delayOf(n); delay > 0 {
		e.DeliverAt = time.Now().Add(delay)
	}
	e.OrderingKey = orderingKey(n)
	return e
}

// number reads n out of a payload, or returns false if the payload is not exactly n's.
func number(body []byte) (int64, bool) {
	var n int64
	if _, err := fmt.Sscanf(string(body), "{ \"n\" :%d,", &n); err != nil {
		return 0, false
	}

	return n, payload(n) == string(body)
}

const (
	// keyedShare says that one event in so many has an ordering key, and keyEvents how many in a row have the same: few
	// enough for a line to end, whose events may each wait for their whole schedule.
	keyedShare = 9
	keyEvents  = 8
)

// orderingKey is event n's, "" for none.
func orderingKey(n int64) string {
	if n >= burstBase || n%keyedShare != 4 {
		return ""
	}
	return fmt.Sprintf("order-%d", n/(keyedShare*keyEvents))
}
