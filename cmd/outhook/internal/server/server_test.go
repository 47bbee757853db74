package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/migrations"
)

// config returns the defaults with a database, keys and addresses of the test's own.
func config(t *testing.T) server.Config {
	t.Helper()
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)

	cfg := server.DefaultConfig()
	cfg.Database.URL, cfg.Keyring, cfg.API.Access.APIKey = dbtest.NewURL(t), keyring, "an-admin-key-for-tests"
	cfg.Listen, cfg.Telemetry.MetricsListen = "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

// start runs a server until the test ends, which must be in order, and returns its address.
func start(t *testing.T, cfg server.Config) string {
	t.Helper()
	srv, err := server.New(cfg)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- srv.Run(ctx, func(addr net.Addr) { ready <- addr }) }()

	select {
	case addr := <-ready:
		t.Cleanup(func() {
			cancel()
			require.NoError(t, <-done)
		})
		return "http://" + addr.String()
	case err := <-done:
		cancel()
		require.FailNow(t, "the server ended", "%v", err)
	case <-time.After(time.Minute):
		cancel()
		require.FailNow(t, "the server is not ready in time")
	}
	return ""
}

// status returns the status of a GET request.
func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		roles server.Roles
		api   int // the status of a request without a key
	}{
		"Both":   {server.Roles{API: true, Worker: true}, http.StatusUnauthorized},
		"API":    {server.Roles{API: true}, http.StatusUnauthorized},
		"Worker": {server.Roles{Worker: true}, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Roles = test.roles
			base := start(t, cfg)
			require.Equal(t, http.StatusOK, status(t, base+"/livez"))
			require.Equal(t, test.api, status(t, base+"/api/events"))
			require.Eventually(t, func() bool { return status(t, base+"/readyz") == http.StatusOK }, time.Minute, 50*time.Millisecond)
		})
	}
}

func TestRunSaysWhatStopsTheStart(t *testing.T) {
	t.Parallel()
	field := func(want server.Field) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			found, ok := errors.AsType[*server.FieldError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, want, found.Field)
			require.ErrorContains(t, err, string(want)+": ")
		}
	}
	is := func(want error) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			require.ErrorIs(t, err, want)
			require.NotContains(t, err.Error(), "hunter2")
		}
	}

	for name, test := range map[string]struct {
		change func(*testing.T, *server.Config)
		check  func(*testing.T, error)
	}{
		"NoDatabase":  {func(_ *testing.T, c *server.Config) { c.Database.URL = "" }, is(server.ErrNoDatabase)},
		"DatabaseURL": {func(_ *testing.T, c *server.Config) { c.Database.URL = "postgres://u:hunter2@[bad" }, is(server.ErrDatabaseURL)},
		"NoAPIKey":    {func(_ *testing.T, c *server.Config) { c.API.Access.APIKey = "" }, is(server.ErrNoAPIKey)},
		"NoSchema":    {func(t *testing.T, c *server.Config) { t.Helper(); c.Database.URL = dbtest.Empty(t) }, is(migrations.ErrSchemaTooOld)},
		"Retention":   {func(_ *testing.T, c *server.Config) { c.Jobs.Retention.Keep = ledger.Day }, field(server.FieldRetention)},
		"Listen":      {func(_ *testing.T, c *server.Config) { c.Listen = "127.0.0.1:-1" }, field(server.FieldListen)},
		"MetricsListen": {
			func(_ *testing.T, c *server.Config) { c.Telemetry.MetricsListen = "127.0.0.1:-1" },
			field(server.FieldMetricsListen),
		},
		"OwnerURL": {
			func(_ *testing.T, c *server.Config) { c.Database.OwnerURL = "postgres://u:hunter2@[bad" },
			func(t *testing.T, err error) {
				t.Helper()
				field(server.FieldOwnerURL)(t, err)
				is(server.ErrDatabaseURL)(t, err)
			},
		},
		"Spans": {
			func(_ *testing.T, c *server.Config) { c.Telemetry.Spans = "http/json" },
			func(t *testing.T, err error) { t.Helper(); require.ErrorContains(t, err, `"http/json"`) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			test.change(t, &cfg)
			srv, err := server.New(cfg)
			require.NoError(t, err)
			test.check(t, srv.Run(t.Context(), func(net.Addr) { require.Fail(t, "it serves") }))
		})
	}
}

func TestNewWantsWhatHasNoDefault(t *testing.T) {
	t.Parallel()
	_, err := server.New(server.DefaultConfig())
	require.ErrorContains(t, err, "Config.Keyring")

	cfg := server.DefaultConfig()
	cfg.Keyring, err = signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	cfg.Roles = server.Roles{}
	_, err = server.New(cfg)
	require.ErrorContains(t, err, "Config.Roles")
}

// The default address gives way to another process of the same machine. Tests beside this one may hold it and let it go
// at any time, so the first server may get it: then the second can't.
func TestTheDefaultMetricsAddressGivesWay(t *testing.T) {
	t.Parallel()
	var notices []server.Notice
	for range 2 {
		cfg := config(t)
		cfg.Roles.Worker = false
		cfg.Telemetry.MetricsListen = server.DefaultConfig().Telemetry.MetricsListen
		cfg.Notify = func(_ context.Context, n server.Notice) { notices = append(notices, n) } // before it is ready
		start(t, cfg)
	}
	require.Contains(t, notices, server.MetricsAddressTaken)
}

// Not parallel: OpenTelemetry is configured by the environment.
func TestSpansAreExportedWithEitherProtocol(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	for _, protocol := range []server.Protocol{server.HTTPProtobuf, server.GRPC} {
		cfg := config(t)
		cfg.Roles.Worker = false
		cfg.Telemetry.Spans = protocol
		require.Equal(t, http.StatusOK, status(t, start(t, cfg)+"/livez"))
	}
}

// call sends a request of the admin's and returns the status and the answer.
func call(t *testing.T, method, url, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer an-admin-key-for-tests")
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()

	var answer map[string]any
	require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
	return res.StatusCode, answer
}

// A delivery to an API of Outhook would multiply. A process knows what it listens on itself; of all others their API says
// what it is.
func TestEndpointsThatLeadBack(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Egress.Allow, cfg.Egress.Ports, cfg.Egress.HTTPSOnly = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil, false
	own := start(t, cfg)
	cfg.Roles.Worker = false
	other := start(t, cfg)
	create := func(url string) (int, map[string]any) {
		return call(t, "POST", own+"/api/endpoints", `{"tenant_id":"acme","url":"`+url+`/api/events"}`)
	}

	code, answer := create(own)
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Contains(t, fmt.Sprint(answer), "Outhook itself listens on")

	code, answer = create(other)
	require.Equal(t, http.StatusCreated, code)
	endpoint := own + "/api/endpoints/" + answer["id"].(string)
	code, answer = call(t, "POST", own+"/api/events", `{"tenant_id":"acme","type":"invoice.paid","payload":1}`)
	require.Equal(t, http.StatusAccepted, code)

	var last map[string]any
	event := own + "/api/events/" + answer["id"].(string)
	require.Eventually(t, func() bool {
		_, last = call(t, "GET", endpoint, "")
		return last["status"] == "disabled"
	}, time.Minute, 50*time.Millisecond, "%v", &last)
	require.Contains(t, last["status_reason"], "loop")
	_, answer = call(t, "GET", event, "")
	require.Contains(t, fmt.Sprint(answer), "reason:loop")
	require.Contains(t, fmt.Sprint(answer), "attempt_count:1")
}
