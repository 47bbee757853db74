package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/internal/signature"
)

const (
	// orderLimit is how long an operator goes on with one order until the API has carried it out. A recover is refused
	// while the endpoint's last one runs, which waits for room in its lane: with more load than the machine can take,
	// until the load is over and what waits there is delivered.
	orderLimit = 20 * time.Minute

	// overlap is how long an old secret goes on signing after a rotation.
	overlap = 5 * time.Second

	// lateSignature is how long after its secret's end a signature may still arrive: a worker that was paused for as long
	// as freezeLength between signing and sending, and room.
	lateSignature = freezeLength + time.Minute
)

// operator gives the orders of a person, through the API and in the middle of everything.
type operator struct {
	clients   *clients
	receivers *receivers
	journal   *journal
	direct    *pgxpool.Pool
	start     time.Time // of the run

	mu      sync.Mutex
	replays map[deliveryKey]*replayCount
}

// replayCount is what the operator knows about the replays of one delivery.
type replayCount struct{ ordered, inDoubt int }

// errNoVerdict is the error of an order of which nobody knows whether it was carried out.
var errNoVerdict = errors.New("the API gave no verdict")

// order sends one request to any API, once. Statuses of 5xx and connections that broke give no verdict.
func (o *operator) order(ctx context.Context, rng *rand.Rand, method, path, body string, into any,
) (status int, err error) {
	node := o.clients.nodes[rng.IntN(len(o.clients.nodes))]
	address := node.address.Load()
	if address == nil {
		return 0, errNoVerdict
	}

	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	status, err = o.clients.request(ctx, method, *address, path, body, into)
	if status == 0 || status >= http.StatusInternalServerError || (err != nil && status < http.StatusMultipleChoices) {
		return status, errNoVerdict
	}
	return status, nil
}

// insist repeats an order that may be repeated until it is carried out.
func (o *operator) insist(ctx context.Context, rng *rand.Rand, method, path, body string) error {
	return o.insistOn(ctx, rng, method, path, body, http.StatusOK, http.StatusAccepted)
}

// insistOn is insist for an order that may be answered otherwise. One that collides with another is repeated.
func (o *operator) insistOn(
	ctx context.Context, rng *rand.Rand, method, path, body string, fine ...int,
) error {
	ctx = context.WithoutCancel(ctx) // an endpoint must not stay paused

	for end := time.Now().Add(orderLimit); time.Now().Before(end); wait(ctx, 200*time.Millisecond) {
		var answer any
		status, err := o.order(ctx, rng, method, path, body, &answer)

		switch {
		case slices.Contains(fine, status):
			return nil
		case err != nil, status == http.StatusConflict:
		default:
			return fmt.Errorf("%s %s: the API answered %d: %v", method, path, status, answer)
		}
	}

	return fmt.Errorf("%s %s: not carried out within %s", method, path, orderLimit)
}

// pause pauses an endpoint for a time. enabled is when it was enabled again.
func (o *operator) pause(ctx context.Context, rng *rand.Rand, e *endpoint, length time.Duration,
) (enabled time.Time, err error) {
	ordered := time.Now()
	if err := o.change(ctx, rng, e, "paused"); err != nil {
		return enabled, err
	}

	wait(ctx, length)
	err = o.change(ctx, rng, e, "enabled")
	o.stopped(e, ordered)
	return time.Now(), err
}

// replay orders one of an endpoint's settled deliveries to be delivered again. acted is false if there is none, or if
// it is pending again already.
func (o *operator) replay(ctx context.Context, rng *rand.Rand, e *endpoint,
) (key deliveryKey, ordered time.Time, acted bool, err error) {
	state := "succeeded"
	if e.dead {
		state = "failed"
	}

	var page struct {
		Items []struct {
			EventID uuid.UUID `json:"event_id"`
		} `json:"items"`
	}
	path := "/api/deliveries?endpoint_id=" + e.id.String() + "&state=" + state
	status, err := o.order(ctx, rng, http.MethodGet, path, "", &page)
	if err != nil || status != http.StatusOK || len(page.Items) == 0 {
		return key, ordered, false, nil
	}

	key = deliveryKey{page.Items[rng.IntN(len(page.Items))].EventID, e.id}
	var answer map[string]any
	asked := time.Now()
	path = fmt.Sprintf("/api/deliveries/%s/%s/replay", key.eventID, key.endpointID)
	status, err = o.order(ctx, rng, http.MethodPost, path, "", &answer)
	o.journal.note(replaysOf(key), asked, time.Now().Add(clientTimeout)) // one in doubt may be under way still

	o.mu.Lock()
	defer o.mu.Unlock()
	if o.replays[key] == nil {
		o.replays[key] = &replayCount{}
	}

	switch {
	case err != nil:
		o.replays[key].inDoubt++
		return key, ordered, false, nil
	case status == http.StatusOK:
		o.replays[key].ordered++
		return key, time.Now(), true, nil
	case status == http.StatusConflict:
		return key, ordered, false, nil
	}

	return key, ordered, false, fmt.Errorf("replaying: the API answered %d: %v", status, answer)
}

// replaysOf is the journal's subject for the times at which a delivery may be replayed.
func replaysOf(key deliveryKey) string { return "replays of " + key.String() }

// rotate gives an endpoint a new secret, which its receiver knows from before the order on. The old one must not sign
// long after its overlap.
func (o *operator) rotate(ctx context.Context, rng *rand.Rand, e *endpoint) error {
	secret := signature.NewSecret()
	before := o.receivers.learn(e, secret)

	// A conflict says that the secret is live already: the answer to the order was lost.
	err := o.insistOn(ctx, rng, http.MethodPost, "/api/endpoints/"+e.id.String()+"/rotate-secret",
		fmt.Sprintf(`{"secret": %q, "overlap_seconds": %d, "force": true}`, secret.Reveal(), int(overlap.Seconds())),
		http.StatusOK, http.StatusConflict)
	if err != nil {
		return err
	}

	o.receivers.retire(e, before, time.Now().Add(overlap+lateSignature))
	return nil
}

// replayed returns how often a delivery was replayed, and how often it may have been besides.
func (o *operator) replayed(key deliveryKey) replayCount {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.replays[key]; c != nil {
		return *c
	}
	return replayCount{}
}
