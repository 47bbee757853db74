package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/signature"
)

// headerAttempt holds the attempt's number.
const headerAttempt = "outhook-attempt"

// request is one line of the receivers' log.
type request struct {
	delivery deliveryKey
	n        int64 // the event's number, or cut, or forged
	attempt  int
	worker   string // who sent it
	at       time.Time
	status   int // what was answered; 0 if nothing was
}

const (
	cut    = -1 // the body never came whole
	forged = -2 // the body is not as it was published, or not signed as it should be
)

// deliveryKey names a delivery.
type deliveryKey struct{ eventID, endpointID uuid.UUID }

// String names it among the targets of faults.
func (k deliveryKey) String() string { return k.eventID.String() + "/" + k.endpointID.String() }

// endpoint is one receiver and its row in Outhook.
type endpoint struct {
	index  int
	id     uuid.UUID
	tenant string
	slow   bool // hangs, answers late, or asks for less
	dead   bool // always answers 500: its deliveries are to fail

	fault   sync.Mutex    // held while an operator acts on it
	secrets []knownSecret // guarded by receivers.mu
}

// endpoints are two for each tenant; the last is dead.
func newEndpoints() []*endpoint {
	var list []*endpoint
	for i := range 2 * len(tenants()) {
		list = append(list, &endpoint{
			index: i, tenant: tenants()[i%len(tenants())], slow: i%len(tenants()) == 2, dead: i == 2*len(tenants())-1,
			secrets: []knownSecret{{secret: signature.NewSecret()}},
		})
	}
	return list
}

// receivers serve all endpoints and log each request.
type receivers struct {
	seed      uint64
	endpoints []*endpoint
	server    *http.Server
	address   string

	// afterAnswer, if set, is called once: with a request that was answered with success a moment ago.
	afterAnswer atomic.Pointer[func(request)]

	calm atomic.Bool // answer at once and well

	mu  sync.Mutex
	log []*request
}

func newReceivers(ctx context.Context, seed uint64) (*receivers, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the receivers: %w", err)
	}

	r := &receivers{seed: seed, endpoints: newEndpoints(), address: listener.Addr().String()}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}

	go func() {
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // without receivers nothing of the run means anything
		}
	}()
	return r, nil
}

func (r *receivers) url(e *endpoint) string { return fmt.Sprintf("http://%s/%d", r.address, e.index) }

// ServeHTTP logs a request and answers as drawn for it.
func (r *receivers) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	index, err := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/"))
	if err != nil || index < 0 || index >= len(r.endpoints) {
		http.NotFound(w, req)
		return
	}

	e := r.endpoints[index]
	attempt, _ := strconv.Atoi(req.Header.Get(headerAttempt)) // 0 has no row, which the reconciliation finds
	_, worker, _ := strings.Cut(req.UserAgent(), "/")
	eventID, _ := uuid.Parse(req.Header.Get(signature.HeaderID)) // nil has no row either

	entry := &request{
		delivery: deliveryKey{eventID, e.id}, n: cut, attempt: attempt, worker: worker, at: time.Now(),
	}
	r.mu.Lock()
	r.log = append(r.log, entry)
	r.mu.Unlock()

	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return // it was cut on its way
	}

	n, ok := number(body)
	if !ok || !r.signed(e, req.Header, body) {
		n = forged
	}

	r.note(func() { entry.n = n })
	r.answer(w, req, e, entry)
}

// note changes an entry of the log.
func (r *receivers) note(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// entries returns a copy of the log so far.
func (r *receivers) entries() []request {
	r.mu.Lock()
	defer r.mu.Unlock()

	list := make([]request, len(r.log))
	for i, entry := range r.log {
		list[i] = *entry
	}
	return list
}
