// Package clienttest_test generates clients of the API as users do, from the documents of a running server, and lets them
// make the calls of the quick start.
package clienttest_test

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

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
)

const adminKey = "an-admin-key-of-the-client-tests"

func TestMain(m *testing.M) { dbtest.Main(m) }

// bundle is an API with workers, and a receiver for them.
type bundle struct {
	url      string
	receiver string
	handler  http.Handler
}

func setup(t *testing.T) *bundle {
	t.Helper()
	pool := dbtest.New(t)
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	client, err := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	t.Cleanup(client.Close)

	workers := jobs.DefaultConfig()
	workers.Pool, workers.Deliver.Keyring, workers.Deliver.Egress, workers.Deliver.Version = pool, keyring, client, "test"
	worker, err := jobs.New(workers)
	require.NoError(t, err)
	require.NoError(t, worker.Start(t.Context()))

	cfg := api.DefaultConfig()
	cfg.Pool, cfg.Keyring, cfg.Access.APIKey, cfg.Version = pool, keyring, adminKey, "test"
	cfg.Checks.URL, cfg.Checks.Schema = client.CheckURL, func(context.Context) error { return nil }
	server, err := api.New(cfg)
	require.NoError(t, err)
	listener := httptest.NewUnstartedServer(server)
	api.ConfigureServer(listener.Config)
	listener.Start()

	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		listener.Close()
		require.NoError(t, server.Close(ctx))
		require.NoError(t, worker.Stop(ctx))
		receiver.Close()
	})
	return &bundle{url: listener.URL, receiver: receiver.URL + "/", handler: server}
}

// workspace returns a folder with the files of testdata/name and one of the API's documents.
func (b *bundle) workspace(t *testing.T, name, document string) (dir string, data []byte) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))))
	answer := httptest.NewRecorder()
	b.handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+document, nil))
	require.Equal(t, http.StatusOK, answer.Code)
	require.NoError(t, os.WriteFile(filepath.Join(dir, document), answer.Body.Bytes(), 0o600))
	return dir, answer.Body.Bytes()
}

// run runs a command in a folder and returns what it prints. The program that makes calls does it as a tenant of its own.
func (b *bundle) run(t *testing.T, dir, tenant, command string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, args...)
	cmd.Dir = dir
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OUTHOOK_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, "OUTHOOK_URL="+b.url, "OUTHOOK_API_KEY="+adminKey, "TENANT="+tenant, "RECEIVER="+b.receiver,
		"CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	dbtest.RequireTool(t, "Go module proxy", err == nil || !strings.Contains(string(out), "dial tcp"))
	require.NoError(t, err, "%s %v: %s", command, args, out)
	return string(out)
}
