package api_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
)

// cancellable sends a request that ends with ctx, and returns its status or 0.
func (b *testBundle) cancellable(ctx context.Context, method, path string) int {
	req, err := http.NewRequestWithContext(ctx, method, b.server.URL+path, nil)
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := b.server.Client().Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.UI = http.NotFoundHandler() })
	got := strings.Join(b.api.Routes(), "\n") + "\n"
	golden := filepath.Join("testdata", "routes.golden")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run the test with -update if this is meant")
}

func TestEveryAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("HasARequestID", func(t *testing.T) {
		t.Parallel()
		for given, kept := range map[string]bool{
			"trace-1/a:b=c": true, "": false, "with space": false, "<script>": false, strings.Repeat("x", 129): false,
		} {
			for _, path := range []string{"/livez", "/nothing", "/api/events"} {
				r := b.do("GET", path, "", "X-Request-Id", given)
				got := r.header.Get("X-Request-Id")
				if kept {
					require.Equal(t, given, got)
					continue
				}
				require.NotEqual(t, given, got)
				require.NoError(t, uuid.Validate(got))
			}
		}
	})

	t.Run("HasSecurityHeaders", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/livez", "/docs", "/openapi.json", "/nothing", "/api/events", "/api/nothing"} {
			h := b.do("GET", path, "").header
			require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
			require.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
			require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", path)
			if strings.HasPrefix(path, "/api") {
				require.Equal(t, "no-store", h.Get("Cache-Control"), path)
			}
		}
	})

	t.Run("IsJSONWhateverIsAccepted", func(t *testing.T) {
		t.Parallel()
		for _, accept := range []string{"text/html", "json", "application/problem+json", "*/*;q=0", "application/cbor"} {
			require.Equal(t, "application/json", b.do("GET", "/api/events", "", "Accept", accept).header.Get("Content-Type"))
			b.requireProblem(b.do("GET", "/api/events?limit=0", "", "Accept", accept), 422)
		}
	})

	t.Run("NamesAllowedMethods", func(t *testing.T) {
		t.Parallel()
		r := b.do("PUT", "/api/events", "")
		b.requireProblem(r, 405)
		require.Contains(t, r.header.Get("Allow"), "POST")
		require.Contains(t, r.header.Get("Allow"), "GET")
		require.Contains(t, r.header.Get("Allow"), "HEAD")
		b.requireProblem(b.do("POST", "/docs", ""), 405)
		head := b.do("HEAD", "/nothing", "")
		require.Equal(t, 404, head.status)
		require.Empty(t, head.body)
	})

	t.Run("IsLoggedWithoutItsQuery", func(t *testing.T) {
		t.Parallel()
		b.do("GET", "/api/events?type=s3cret", "", "X-Request-Id", "logged-request")
		require.Contains(t, b.log.String(), "logged-request")
		require.NotContains(t, b.log.String(), "s3cret")
		require.Equal(t, 1, b.log.count("logged-request"))
	})
}

func TestPanic(t *testing.T) {
	t.Parallel()
	auth := []string{"Authorization", "Basic " + basic(adminKey)}
	setup := func(t *testing.T, h http.HandlerFunc) *testBundle {
		t.Helper()
		return setup(t, func(cfg *api.Config) { cfg.UI = h })
	}

	t.Run("Is500AndOneLogLineWithoutInput", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(_ http.ResponseWriter, r *http.Request) { panic(r.URL.Path) })
		r := b.do("GET", "/riverui/s3cret", "", auth...)
		require.Equal(t, "internal error", b.requireProblem(r, 500).Detail)
		require.Equal(t, 1, b.log.count("panic in a request"))
		require.Equal(t, 1, b.log.count("request_test.go"), "the stack")
		require.NotContains(t, b.log.String(), "s3cret")
	})

	t.Run("OfTheRuntimeSaysWhy", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(_ http.ResponseWriter, r *http.Request) {
			_ = make([]int, 1)[len(r.URL.Path)]
		})
		b.requireProblem(b.do("GET", "/riverui/nil", "", auth...), 500)
		require.Contains(t, b.log.String(), "index out of range")
	})

	t.Run("BreaksOffAnAnswerThatHadBegun", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("half an"))
			panic("late")
		})
		_, err := b.try("GET", "/riverui/late", "", auth...)
		require.Error(t, err)
	})
}

// A filter that is dropped in silence shows more than was asked for.
func TestAQueryIsReadAsAWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.requireFault(b.do("GET", "/api/events?tenant_id=acme&tenant_id=other", ""), 422, "query.tenant_id", "more than once")
	b.requireFault(b.do("GET", "/api/events?tenant_id=%zz", ""), 422, "query", "can't be read")
	b.requireFault(b.do("GET", "/api/events?tenant_id=a;type=b", ""), 422, "query", "can't be read")
	require.Equal(t, 200, b.do("GET", "/api/events?tenant_id=acme&type=a.b&limit=1", "").status)
	require.Equal(t, 200, b.do("GET", "/api/attempts?outcome=succeeded,unknown", "").status)
}
