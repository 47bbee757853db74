package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/outhook/outhook/internal/signature"
)

const (
	// defaultListenAddress is where listen receives; the commands that dev prints use it.
	defaultListenAddress = "127.0.0.1:9000"

	// listenTolerance is how far a webhook's timestamp may be off: what the Standard Webhooks libraries allow.
	listenTolerance = 5 * time.Minute

	// maxListenBytes is more than the largest payload that Outhook sends (262,144 bytes).
	maxListenBytes = 1 << 20
)

type listenCmd struct {
	Address   string        `default:"127.0.0.1:9000" help:"The address to receive on."`
	Secret    string        `env:"OUTHOOK_LISTEN_SECRET" secret:"" help:"The endpoint's secret, whsec_...; without it signatures are not checked."`
	Status    int           `default:"204" help:"The status to answer with."`
	FailFirst int           `help:"Answer the first N requests of each event with 500."`
	Delay     time.Duration `help:"How long to wait before the answer."`
}

// Run receives and prints webhooks until ctx ends.
func (l *listenCmd) Run(c *command) error {
	receiver, err := newReceiver(l, c)
	if err != nil {
		return err
	}

	listener, err := (&net.ListenConfig{}).Listen(c.ctx, "tcp", l.Address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w (choose another with --address)", l.Address, err)
	}

	server := &http.Server{
		Handler: receiver, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return c.ctx },
	}

	stopped := context.AfterFunc(c.ctx, func() { _ = server.Close() })
	defer stopped()

	c.printf("receiving on http://%s/\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("receiving: %w", err)
	}
	return nil
}

// receiver answers webhooks as the flags say and prints each.
type receiver struct {
	*listenCmd

	command *command
	secrets []signature.Secret

	mu   sync.Mutex
	seen map[string]int // requests by webhook-id, for --fail-first
}

func newReceiver(l *listenCmd, c *command) (*receiver, error) {
	if l.Status < 200 || l.Status > 599 {
		return nil, errors.New("--status must be 200 to 599")
	}

	r := &receiver{listenCmd: l, command: c, seen: make(map[string]int)}
	if l.Secret == "" {
		return r, nil
	}

	secret, err := signature.ParseSecret(l.Secret)
	if err != nil {
		return nil, fmt.Errorf("--secret: %w", err)
	}
	r.secrets = []signature.Secret{secret}
	return r, nil
}

// ServeHTTP receives one webhook.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxListenBytes))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}

	verdict, status := r.judge(req, body)

	select {
	case <-time.After(r.Delay):
	case <-req.Context().Done():
	}

	w.WriteHeader(status)
	r.print(req, body, verdict, status)
}

// judge returns what to say of the signature and the status to answer with.
func (r *receiver) judge(req *http.Request, body []byte) (verdict string, status int) {
	verdict = "signature not checked (no --secret)"
	if r.secrets != nil {
		verdict = "signature valid"
		if err := signature.Verify(r.secrets, req.Header, body, time.Now(), listenTolerance); err != nil {
			return "SIGNATURE INVALID: " + err.Error(), http.StatusUnauthorized
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	id := req.Header.Get(signature.HeaderID)
	r.seen[id]++
	if r.seen[id] <= r.FailFirst {
		return verdict, http.StatusInternalServerError
	}

	return verdict, r.Status
}

// print writes one webhook in one go, so that concurrent ones do not mix.
func (r *receiver) print(req *http.Request, body []byte, verdict string, status int) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s  attempt %s  %s  answered %d  %s\n", time.Now().Format(time.TimeOnly),
		printable(req.Header.Get("outhook-event-type")), printable(req.Header.Get("outhook-attempt")),
		printable(req.Header.Get(signature.HeaderID)), status, verdict)
	for line := range strings.SplitSeq(string(body), "\n") {
		fmt.Fprintf(&b, "  %s\n", printable(strings.ReplaceAll(line, "\t", "    ")))
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	r.command.printf("%s", b.String())
}
