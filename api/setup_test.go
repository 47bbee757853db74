package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

const adminKey = "an-admin-key-of-32-bytes-or-more"

// testBundle is an API on a database of its own.
type testBundle struct {
	t       *testing.T
	pool    *pgxpool.Pool
	keyring *signature.Keyring
	api     *api.Server
	server  *httptest.Server
	log     *logBuffer
}

func setup(t *testing.T, changes ...func(*api.Config)) *testBundle {
	t.Helper()
	return setupOn(t, dbtest.New(t), changes...)
}

func setupOn(t *testing.T, pool *pgxpool.Pool, changes ...func(*api.Config)) *testBundle {
	t.Helper()
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	b := &testBundle{t: t, pool: pool, keyring: keyring, log: &logBuffer{}}
	cfg := api.DefaultConfig()
	cfg.Pool, cfg.Keyring, cfg.Checks.URL, cfg.Checks.Schema = pool, keyring, checkURL, healthy
	cfg.Access.APIKey, cfg.Version, cfg.Logger = adminKey, "test", jsonLogger(b.log)
	for _, change := range changes {
		change(&cfg)
	}
	b.api, err = api.New(cfg)
	require.NoError(t, err)
	b.server = httptest.NewUnstartedServer(b.api)
	api.ConfigureServer(b.server.Config)
	b.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	b.server.Start()
	t.Cleanup(func() {
		b.server.Close()
		require.NoError(t, b.api.Close(context.WithoutCancel(t.Context())))
	})
	return b
}

// checkURL stands for the egress client's: what it refuses is that package's matter.
func checkURL(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return errors.New("invalid URL: it must start with https://")
	}
	return nil
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func jsonLogger(l *logBuffer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// count returns how many lines hold text.
func (l *logBuffer) count(text string) (n int) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// response is an answer that was read.
type response struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request with the admin key. Headers are name and value in turn and may replace what it sends by itself; an
// empty value removes one.
func (b *testBundle) do(method, path, body string, headers ...string) response {
	b.t.Helper()
	r, err := b.try(method, path, body, headers...)
	require.NoError(b.t, err)
	return r
}

// try is for goroutines: it does not fail the test.
func (b *testBundle) try(method, path, body string, headers ...string) (response, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, reader)
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	client := *b.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	r := response{res.StatusCode, res.Header, data}
	return r, errors.Join(err, b.undocumented(req, r))
}

// undocumented returns an error if a problem's code is not one that the document gives its operation, or if it has
// Retry-After where the document says that it has none, or the other way round.
func (b *testBundle) undocumented(req *http.Request, r response) error {
	if r.status < 400 || req.Method == http.MethodHead || r.header.Get("Content-Type") != "application/problem+json" {
		return nil
	}
	var p problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		return err
	}
	if p.Code == "" || !strings.HasSuffix(p.Type, "#"+p.Code) {
		return fmt.Errorf("a problem of type %q with the code %q", p.Type, p.Code)
	}
	op := operationOf(b.api.OpenAPI(), req)
	if op == nil {
		return nil
	}
	documented := op.Responses[strconv.Itoa(r.status)]
	if documented == nil || !strings.Contains(documented.Description, "`"+p.Code+"`") {
		return fmt.Errorf("%s answers %d %s, which is not documented", op.OperationID, r.status, p.Code)
	}
	promised := documented.Headers["Retry-After"]
	if promised != nil && strings.Contains(promised.Description, "Only with") && !strings.Contains(promised.Description, "`"+p.Code+"`") {
		promised = nil
	}
	if (promised != nil) != (r.header.Get("Retry-After") != "") {
		return fmt.Errorf("%s answers %d %s with Retry-After %q, and the document says another thing", op.OperationID, r.status, p.Code,
			r.header.Get("Retry-After"))
	}
	return nil
}

// operationOf returns the operation that a request is for, nil if none is.
func operationOf(doc *huma.OpenAPI, req *http.Request) *huma.Operation {
	parts := strings.Split(req.URL.EscapedPath(), "/")
	var best *huma.Operation
	for path, item := range doc.Paths {
		op := map[string]*huma.Operation{
			"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete,
		}[req.Method]
		if op == nil || !matches(strings.Split(path, "/"), parts) {
			continue
		}
		if best == nil || strings.Count(path, "{") < strings.Count(best.Path, "{") {
			best = op
		}
	}
	return best
}

func matches(pattern, parts []string) bool {
	return slices.EqualFunc(pattern, parts, func(p, part string) bool { return p == part || strings.HasPrefix(p, "{") })
}

// problem is an answer that is an error.
type problem struct {
	Type   string
	Code   string
	Title  string
	Status int
	Detail string
	Errors []struct{ Location, Message string }
}

func (b *testBundle) requireProblem(r response, status int) problem {
	b.t.Helper()
	require.Equal(b.t, status, r.status, "%s", r.body)
	require.Equal(b.t, "application/problem+json", r.header.Get("Content-Type"))
	p := decode[problem](b.t, r)
	require.Equal(b.t, status, p.Status)
	require.Equal(b.t, http.StatusText(status), p.Title)
	require.NotEmpty(b.t, p.Detail)
	return p
}

// requireFault checks a problem that names one place.
func (b *testBundle) requireFault(r response, status int, location, message string) {
	b.t.Helper()
	p := b.requireProblem(r, status)
	require.Len(b.t, p.Errors, 1, "%s", r.body)
	require.Equal(b.t, location, p.Errors[0].Location)
	require.Contains(b.t, p.Errors[0].Message, message)
}

func decode[T any](t *testing.T, r response) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.body, &v), "%s", r.body)
	return v
}

// object is any JSON object.
type object = map[string]any

func (b *testBundle) requireObject(r response, status int) object {
	b.t.Helper()
	require.Equal(b.t, status, r.status, "%s", r.body)
	require.Equal(b.t, "application/json", r.header.Get("Content-Type"))
	return decode[object](b.t, r)
}

// count returns the number that a query returns.
func (b *testBundle) count(query string, args ...any) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), query, args...).Scan(&n))
	return n
}

func (b *testBundle) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), query, args...)
	require.NoError(b.t, err)
}

// newEndpoint creates an endpoint and returns its id.
func (b *testBundle) newEndpoint(tenant, members string) uuid.UUID {
	b.t.Helper()
	r := b.do("POST", "/api/endpoints", `{"tenant_id":"`+tenant+`","url":"https://example.com/hook"`+members+`}`)
	return uuid.MustParse(b.requireObject(r, 201)["id"].(string))
}

// newEvent enqueues an event and returns its id.
func (b *testBundle) newEvent(tenant, eventType string) uuid.UUID {
	b.t.Helper()
	r := b.do("POST", "/api/events", `{"tenant_id":"`+tenant+`","type":"`+eventType+`","payload":{}}`)
	return uuid.MustParse(b.requireObject(r, 202)["id"].(string))
}

// newKey creates a key with a scope, bound to a tenant or ("") to none, and returns its text and its id.
func (b *testBundle) newKey(scope, tenant string) (text string, id uuid.UUID) {
	b.t.Helper()
	body := `{"name":"` + scope + ` of ` + tenant + `","scope":"` + scope + `"`
	if tenant != "" {
		body += `,"tenant_id":"` + tenant + `"`
	}
	answer := b.requireObject(b.do("POST", "/api/keys", body+"}"), 201)
	return answer["key"].(string), uuid.MustParse(answer["id"].(string))
}

// as sends a request with another key than the admin's; "": with none.
func (b *testBundle) as(key, method, path, body string, headers ...string) response {
	b.t.Helper()
	value := ""
	if key != "" {
		value = "Bearer " + key
	}
	return b.do(method, path, body, append([]string{"Authorization", value}, headers...)...)
}
