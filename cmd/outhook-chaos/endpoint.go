package main

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
)

// endpoint is one receiver and its row in Outhook.
type endpoint struct {
	index    int
	id       uuid.UUID
	tenant   string
	slow     bool   // hangs, answers late, or asks for less
	dead     bool   // always answers 500: its deliveries are to fail
	limit    int    // requests a second; 0: no limit
	schedule string // its own; "": that of the processes
	mortal   bool   // it is deleted while everything runs
	choosy   bool   // it wants the events with the label only
	clouds   bool   // it gets CloudEvents
	ordered  bool   // it gets its events one after the other

	jitter retry.Jitter // how much longer its delays may become

	fault   sync.Mutex    // held while an operator acts on it
	secrets []knownSecret // guarded by receivers.mu

	// What the operator has ordered, guarded by fault.
	disabled bool   // at some time
	off      []span // from the answer to an order to stop until the order to go on
}

// newEndpoints returns two for each tenant: of eight, one is slow, one dead, one has a jitter, one wants a label, one
// gets CloudEvents, and two have a rate limit, which is what about rate events a second need and half of that besides.
// One more gets the events of a tenant of its own in order.
func newEndpoints(rate int) []*endpoint {
	var list []*endpoint
	for i := range 2 * len(tenants()) {
		list = append(list, newEndpoint(tenants()[i%len(tenants())]))
	}

	list[1].jitter = 0.5
	list[4].clouds, list[5].choosy = true, true
	list[2].slow = true
	list[6].dead, list[6].schedule = true, deadSchedule
	for _, e := range []*endpoint{list[3], list[7]} {
		e.limit = max(2, rate*3/2/limitedShare)
	}

	last := newEndpoint(orderedTenant)
	last.ordered = true
	return append(list, last)
}

func newEndpoint(tenant string) *endpoint {
	return &endpoint{tenant: tenant, secrets: []knownSecret{{secret: signature.NewSecret()}}}
}

// newMortal returns one that is to be deleted under its backlog: it is slow.
func newMortal() *endpoint {
	e := newEndpoint(tenants()[3])
	e.slow, e.mortal = true, true
	return e
}

// body is what creates it.
func (e *endpoint) body(url string) string {
	var text strings.Builder
	fmt.Fprintf(&text, `{"tenant_id": %q, "url": %q, "secret": %q, "timeout_ms": %d`,
		e.tenant, url, e.secrets[0].secret.Reveal(), endpointTimeout.Milliseconds())

	if e.schedule != "" {
		fmt.Fprintf(&text, `, "retry_schedule": ["%s"]`, strings.ReplaceAll(e.schedule, ",", `", "`))
	}
	if e.jitter > 0 {
		fmt.Fprintf(&text, `, "retry_jitter": %v`, e.jitter)
	}
	if e.choosy {
		fmt.Fprintf(&text, `, "labels": [%q]`, label)
	}
	if e.clouds {
		text.WriteString(`, "format": "cloudevents"`)
	}
	if e.ordered {
		text.WriteString(`, "ordered": "skip"`)
	}
	if e.limit > 0 {
		fmt.Fprintf(&text, `, "rate_limit": {"requests": %d, "per": "second", "burst": 1}`, e.limit)
	}

	return text.String() + "}"
}

// wants tells whether it is to get event n of its tenant.
func (e *endpoint) wants(n int64) bool { return !e.choosy || labelled(n) }

// carries tells whether a request has the headers that event n's and this endpoint's should have, and no others.
func (e *endpoint) carries(n int64, header http.Header) bool {
	number, id := "", ""
	if labelled(n) {
		number = strconv.FormatInt(n, 10)
	}
	if e.clouds {
		id = header.Get(signature.HeaderID)
	}
	return header.Get(headerNumber) == number && header.Get("ce-id") == id
}

// delays returns the delays of the schedule that it goes by.
func (e *endpoint) delays() retry.Schedule {
	s, _ := retry.Parse(cmp.Or(e.schedule, schedule)) // ours
	return s
}

// tries returns how many attempts that allows.
func (e *endpoint) tries() int { return len(e.delays()) + 1 }

// every is the least time between two of its requests by its rate limit.
func (e *endpoint) every() time.Duration {
	if e.limit == 0 {
		return 0
	}
	return time.Second / time.Duration(e.limit)
}
