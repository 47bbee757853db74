package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/signature"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// find returns the first line with a message.
func (l *lines) find(t *testing.T, message string) map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.Lines(l.text.String()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line), text)
		if line["msg"] == message {
			return line
		}
	}
	require.FailNow(t, "no such line", "%s\n%s", message, l.text.String())
	return nil
}

// stoppable is a server that a test stops itself.
type stoppable struct {
	*server.Server

	base string
	stop context.CancelFunc
	done chan error
	log  *lines
}

func startStoppable(t *testing.T, cfg server.Config) *stoppable {
	t.Helper()
	p := &stoppable{done: make(chan error, 1), log: &lines{}}
	cfg.Logger = slog.New(slog.NewJSONHandler(p.log, nil))
	srv, err := server.New(cfg)
	require.NoError(t, err)
	p.Server = srv

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p.stop = cancel
	t.Cleanup(cancel)
	ready := make(chan string, 1)
	go func() { p.done <- srv.Run(ctx, func(addr net.Addr) { ready <- "http://" + addr.String() }) }()
	select {
	case p.base = <-ready:
	case err := <-p.done:
		require.FailNow(t, "the server ended", "%v", err)
	case <-time.After(time.Minute):
		require.FailNow(t, "the server is not ready in time")
	}
	return p
}

// ask returns the status and the answer of a GET request, 0 without one.
func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(text)
}

// hold is a receiver that answers once it may.
func hold(t *testing.T) (url string, arrived chan string, answer func()) {
	t.Helper()
	arrived, free := make(chan string, 100), make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- r.Header.Get("webhook-id")
		<-free
	}))
	answer = sync.OnceFunc(func() { close(free) })
	t.Cleanup(receiver.Close)
	t.Cleanup(answer)
	return receiver.URL, arrived, answer
}

// A stop is said first, and what is under way is finished: an API takes requests for a while, a worker takes nothing more.
func TestAStopIsSaidFirst(t *testing.T) {
	t.Parallel()
	url, arrived, answer := hold(t)
	cfg := config(t)
	cfg.Egress.Allow, cfg.Egress.Ports, cfg.Egress.HTTPSOnly = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil, false
	cfg.ShutdownDelay = 10 * time.Second
	cfg.Roles = server.Roles{API: true}
	api := startStoppable(t, cfg)
	cfg.Roles = server.Roles{Worker: true}
	worker := startStoppable(t, cfg)
	require.NotEmpty(t, worker.log.find(t, "starting")["queues"])
	require.NotEmpty(t, worker.log.find(t, "serving")["client_id"])

	publish := func() string {
		code, event := call(t, "POST", api.base+"/api/events", `{"tenant_id":"acme","type":"invoice.paid","payload":1}`)
		require.Equal(t, http.StatusAccepted, code, event)
		return event["id"].(string)
	}
	code, endpoint := call(t, "POST", api.base+"/api/endpoints", `{"tenant_id":"acme","url":"`+url+`"}`)
	require.Equal(t, http.StatusCreated, code, endpoint)
	first := publish()
	require.Equal(t, first, <-arrived)

	worker.stop()
	api.stop()
	for _, p := range []*stoppable{worker, api} {
		require.Eventually(t, func() bool {
			code, text := ask(t, p.base+"/readyz")
			return code == http.StatusServiceUnavailable && strings.Contains(text, `"process":"stopping"`)
		}, 10*time.Second, time.Millisecond)
		code, _ := ask(t, p.base+"/livez")
		require.Equal(t, http.StatusOK, code)
	}
	require.InDelta(t, 1, worker.log.find(t, "stopping")["runs_under_way"], 0)

	second := publish() // during the delay
	code, _ = ask(t, worker.base+"/livez")
	require.Equal(t, http.StatusOK, code, "for as long as it has a run")
	answer()
	require.NoError(t, <-worker.done)
	require.NotNil(t, worker.log.find(t, "stopped")["duration_ms"])
	code, _ = ask(t, worker.base+"/livez")
	require.Zero(t, code)

	_, event := call(t, "GET", api.base+"/api/events/"+first, "")
	require.Contains(t, string(text(t, event)), `"state":"succeeded"`)
	_, event = call(t, "GET", api.base+"/api/events/"+second, "")
	require.Contains(t, string(text(t, event)), `"state":"pending"`)
	require.NoError(t, <-api.done)
	require.Empty(t, arrived)
}

func text(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

func TestReload(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Roles.Worker = false
	p := startStoppable(t, cfg)
	t.Cleanup(func() {
		p.stop()
		require.NoError(t, <-p.done)
	})
	before := cfg.Keyring.KeyID()
	create := func() int {
		code, _ := call(t, "POST", p.base+"/api/endpoints", `{"tenant_id":"acme","url":"https://example.com/"}`)
		return code
	}
	require.Equal(t, http.StatusCreated, create())

	fresh, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	require.ErrorIs(t, p.Reload(t.Context(), fresh, ""), server.ErrNoAPIKey)
	require.Equal(t, before, cfg.Keyring.KeyID(), "nothing changes")
	require.Equal(t, http.StatusCreated, create())

	require.NoError(t, p.Reload(t.Context(), cfg.Keyring, "another-key-for-tests"))
	require.Equal(t, http.StatusUnauthorized, create())
	require.NoError(t, p.Reload(t.Context(), cfg.Keyring, "an-admin-key-for-tests"))
	require.Equal(t, http.StatusCreated, create())
}
