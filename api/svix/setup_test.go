package svix_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

const (
	adminKey = "an-admin-key-of-32-bytes-or-more"
	calls    = "/svix/api/v1"
)

// bundle is an API that answers Svix's calls, on a database of its own.
type bundle struct {
	t    *testing.T
	pool *pgxpool.Pool
	base string
	api  *api.Server
}

func setup(t *testing.T, changes ...func(*api.Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: dbtest.New(t)}
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	cfg := api.DefaultConfig()
	cfg.Pool, cfg.Keyring, cfg.Svix, cfg.Access.APIKey = b.pool, keyring, true, adminKey
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	cfg.Checks.URL, cfg.Checks.Schema = checkURL, func(context.Context) error { return nil }
	for _, change := range changes {
		change(&cfg)
	}
	b.api, err = api.New(cfg)
	require.NoError(t, err)

	server := httptest.NewUnstartedServer(b.api)
	api.ConfigureServer(server.Config)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, b.api.Close(context.WithoutCancel(t.Context())))
	})
	b.base = server.URL
	return b
}

// checkURL stands for the egress client's: what it refuses is that package's matter.
func checkURL(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return errors.New("invalid URL: it must start with https://")
	}
	return nil
}

type object = map[string]any

// answer is an answer that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do makes a call with the admin key. Headers are name and value in turn; an empty value removes one.
func (b *bundle) do(method, path, body string, headers ...string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(body))
	require.NoError(b.t, err)
	req.Header.Set("Authorization", "Bearer "+adminKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(b.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	return answer{res.StatusCode, res.Header, string(data)}
}

// call is do below the calls' path; it wants a status and decodes the answer.
func (b *bundle) call(method, path, body string, status int, headers ...string) object {
	b.t.Helper()
	a := b.do(method, calls+path, body, headers...)
	require.Equal(b.t, status, a.status, "%s %s: %s", method, path, a.body)
	var o object
	if a.body != "" {
		require.Equal(b.t, "application/json", a.header.Get("Content-Type"))
		require.NoError(b.t, json.Unmarshal([]byte(a.body), &o), a.body)
	}
	return o
}

// as is a header that makes a call with another key.
func (b *bundle) as(scope, tenant string) []string {
	b.t.Helper()
	body := object{"name": "test", "scope": scope}
	if tenant != "" {
		body["tenant_id"] = tenant
	}
	data, err := json.Marshal(body)
	require.NoError(b.t, err)
	a := b.do("POST", "/api/keys", string(data))
	require.Equal(b.t, 201, a.status, a.body)
	var key struct{ Key string }
	require.NoError(b.t, json.Unmarshal([]byte(a.body), &key))
	return []string{"Authorization", "Bearer " + key.Key}
}

func (b *bundle) count(query string, args ...any) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), query, args...).Scan(&n))
	return n
}

func (b *bundle) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), query, args...)
	require.NoError(b.t, err)
}
