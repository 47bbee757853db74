package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
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
	endpoint *endpoint
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

// receivers serve all endpoints and log each request.
type receivers struct {
	seed    uint64
	server  *http.Server
	address string

	// afterAnswer, if set, is called once: with a request that was answered with success a moment ago.
	afterAnswer atomic.Pointer[func(request)]

	calm atomic.Bool // answer at once and well

	mu        sync.Mutex
	endpoints []*endpoint // by index
	log       []*request
}

func newReceivers(ctx context.Context, o options) (*receivers, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the receivers: %w", err)
	}

	r := &receivers{seed: o.Seed, address: listener.Addr().String()}
	for _, e := range newEndpoints(o.Rate) {
		r.add(e)
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}

	go func() {
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // without receivers nothing of the run means anything
		}
	}()
	return r, nil
}

// all returns the endpoints so far.
func (r *receivers) all() []*endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.endpoints)
}

// add adds an endpoint that is yet to be created.
func (r *receivers) add(e *endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.index = len(r.endpoints)
	r.endpoints = append(r.endpoints, e)
}

func (r *receivers) url(e *endpoint) string { return fmt.Sprintf("http://%s/%d", r.address, e.index) }

// ServeHTTP logs a request and answers as drawn for it.
func (r *receivers) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	index, err := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/"))
	endpoints := r.all()
	if err != nil || index < 0 || index >= len(endpoints) {
		http.NotFound(w, req)
		return
	}

	e := endpoints[index]
	attempt, _ := strconv.Atoi(req.Header.Get(headerAttempt)) // 0 has no row, which the reconciliation finds
	_, worker, _ := strings.Cut(req.UserAgent(), "/")
	eventID, _ := uuid.Parse(req.Header.Get(signature.HeaderID)) // nil has no row either

	entry := &request{
		delivery: deliveryKey{eventID, e.id}, n: cut, attempt: attempt, worker: worker, at: time.Now(), endpoint: e,
	}
	r.mu.Lock()
	r.log = append(r.log, entry)
	r.mu.Unlock()

	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return // it was cut on its way
	}

	n, ok := number(body)
	if !ok || !r.signed(e, req.Header, body) || !e.carries(n, req.Header) {
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
		list[i].delivery.endpointID = entry.endpoint.id // it may have come before we were told the id
	}
	return list
}
