package server_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/retry"
)

// nodeDir holds the scripts in JavaScript; npm ci installs their libraries.
const nodeDir = "../../../../jobs/testdata/node"

// svixKey is the token of the SDKs.
const svixKey = "an-admin-key-for-tests"

// startSvix runs a whole server that answers Svix's calls, and returns its address, and that of a receiver for its
// endpoints: what is posted to /fail there is refused, and all else answered with its body.
func startSvix(t *testing.T) (base, receiver string) {
	t.Helper()
	cfg := config(t)
	cfg.API.Svix = true
	cfg.Egress.Allow, cfg.Egress.Ports, cfg.Egress.HTTPSOnly = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil, false
	cfg.Jobs.Deliver.Schedule = retry.Schedule{time.Hour}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /fail", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("no"))
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return start(t, cfg) + "/svix", s.URL
}

// sdkDir holds what calls Svix's SDK for Go, a module of its own.
const sdkDir = "../../../../api/svix/testdata/sdk"

// Svix's SDK for Go works as it is.
func TestSvixGo(t *testing.T) {
	t.Parallel()
	base, receiver := startSvix(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // it is compiled first, and waits for replays
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", ".")
	cmd.Dir = sdkDir
	cmd.Env = append(os.Environ(), "GOWORK=off", "SVIX_TEST_URL="+base, "SVIX_TEST_KEY="+svixKey, "SVIX_TEST_RECEIVER="+receiver)
	out, err := cmd.CombinedOutput()
	dbtest.RequireTool(t, "Go module proxy", err == nil || !strings.Contains(string(out), "dial tcp"))
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "no tests to run")
}

// Svix's SDKs of JavaScript work as they are.
func TestSvixJavaScript(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	_, missing := os.Stat(filepath.Join(nodeDir, "node_modules", "svix2"))
	dbtest.RequireTool(t, "Node, or npm ci in jobs/testdata/node,", err == nil && missing == nil)
	for _, sdk := range []string{"svix", "svix2"} {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			base, receiver := startSvix(t)
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // three replays take 15 s each at least
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "svix.mjs", sdk, base, svixKey, receiver)
			cmd.Dir = nodeDir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "all calls work")
		})
	}
}
