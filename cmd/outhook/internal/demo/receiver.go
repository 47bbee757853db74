package demo

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/outhook/outhook/internal/signature"
)

const (
	// maxBody is more than the largest payload that Outhook sends (262,144 bytes).
	maxBody = 1 << 20

	// tolerance is how far a webhook's timestamp may be off: what the Standard Webhooks libraries allow.
	tolerance = 5 * time.Minute
)

// receiver is everybody's: one listener on loopback, with a path for each endpoint.
type receiver struct {
	address string
	secrets []signature.Secret
	server  *http.Server
	stop    context.CancelFunc
	answers map[string]answer // by path

	first http.Handler // of the first invoice.paid
	once  sync.Once
	seen  chan struct{} // closed once that was answered

	mu     sync.Mutex
	opened map[string]bool // paths that answer quickly from now on
}

func newReceiver(ctx context.Context, cfg Config) (*receiver, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the demo: %w", err)
	}

	r := &receiver{
		address: listener.Addr().String(), secrets: []signature.Secret{cfg.Secret}, answers: map[string]answer{},
		first: cfg.First, seen: make(chan struct{}), opened: map[string]bool{},
	}
	for _, e := range cast() {
		r.answers[e.path()] = e.answer
	}

	// Requests end with close, and not with ctx: what the workers have under way when all is to stop gets its answer.
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	r.server = &http.Server{
		Handler: r, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	go func() { _ = r.server.Serve(listener) }() // returns when it is closed
	return r, nil
}

func (r *receiver) close() {
	r.stop()
	_ = r.server.Close()
}

// open makes a path answer quickly.
func (r *receiver) open(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened[path] = true
}

// ServeHTTP receives a webhook.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	if err := signature.Verify(r.secrets, req.Header, body, time.Now(), tolerance); err != nil {
		http.Error(w, "the signature is not valid", http.StatusUnauthorized)
		return
	}

	if r.first != nil && req.Header.Get("outhook-event-type") == "invoice.paid" {
		shown := false
		r.once.Do(func() {
			shown = true
			req.Body = io.NopCloser(bytes.NewReader(body))
			r.first.ServeHTTP(w, req)
			close(r.seen)
		})
		if shown {
			return
		}
	}

	if answer := r.answerOf(req.URL.Path); answer != nil {
		answer(w, req)
		return
	}
	http.NotFound(w, req)
}

func (r *receiver) answerOf(path string) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opened[path] {
		return quick
	}
	return r.answers[path]
}

// wait waits for as long as an answer takes, between two durations.
func wait(r *http.Request, least, most time.Duration) {
	//nolint:gosec // nobody gains by guessing it
	took := least + time.Duration(rand.Int64N(int64(most-least)))
	select {
	case <-time.After(took):
	case <-r.Context().Done():
	}
}

// quick takes what it gets.
func quick(w http.ResponseWriter, r *http.Request) {
	wait(r, 8*time.Millisecond, 70*time.Millisecond)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"received":true}` + "\n"))
}

// slow takes its time, of which an endpoint of 2.5 s grants a tenth of the requests too little.
func slow(w http.ResponseWriter, r *http.Request) {
	wait(r, 1100*time.Millisecond, 2650*time.Millisecond)
	w.WriteHeader(http.StatusAccepted)
}

// stumbling fails at the first attempt of one event in five.
func stumbling(w http.ResponseWriter, r *http.Request) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(r.Header.Get(signature.HeaderID)))
	if hash.Sum32()%5 == 0 && r.Header.Get("outhook-attempt") == "1" {
		wait(r, 20*time.Millisecond, 200*time.Millisecond)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"error":"deadlock detected"}` + "\n"))
		return
	}
	quick(w, r)
}

// broken takes nothing.
func broken(w http.ResponseWriter, r *http.Request) {
	wait(r, 10*time.Millisecond, 90*time.Millisecond)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write([]byte(`{"error":"column \"segment\" of relation \"contacts\" does not exist"}` + "\n"))
}

// gone wants nothing any more.
func gone(w http.ResponseWriter, r *http.Request) {
	wait(r, 5*time.Millisecond, 40*time.Millisecond)
	http.Error(w, "gone", http.StatusGone)
}
