package public_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/public"
	"github.com/outhook/outhook/internal/catalog"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

const adminKey = "an-admin-key-of-32-bytes-or-more"

// serve starts an API on a database; shown: with the public pages.
func serve(t *testing.T, pool *pgxpool.Pool, shown bool) *httptest.Server {
	t.Helper()
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	cfg := api.DefaultConfig()
	cfg.Pool, cfg.Keyring, cfg.Access.APIKey = pool, keyring, adminKey
	cfg.Checks.URL, cfg.Checks.Schema = func(string) error { return nil }, func(context.Context) error { return nil }
	if shown {
		cfg.Catalog, err = public.New(pool, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
	}
	a, err := api.New(cfg)
	require.NoError(t, err)
	server := httptest.NewServer(a)
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, a.Close(context.WithoutCancel(t.Context())))
	})
	return server
}

func push(t *testing.T, server *httptest.Server, document string) {
	t.Helper()
	c, err := client.New(server.URL, adminKey)
	require.NoError(t, err)
	_, err = c.PushCatalog(t.Context(), client.NewCatalog{}, client.PushCatalogParams{},
		client.WithBody([]byte(`{"allow_breaking":true,"document":`+document+`}`)))
	require.NoError(t, err)
}

// answer is what of an answer is looked at, beside its body.
type answer struct {
	StatusCode int
	Header     http.Header
}

func get(t *testing.T, server *httptest.Server, path string, headers ...string) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := server.Client().Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, res.Header}, string(body)
}

func document(t *testing.T, name string) json.RawMessage {
	t.Helper()
	text, err := os.ReadFile("../../internal/catalog/testdata/" + name)
	require.NoError(t, err)
	doc, err := catalog.FromYAML(text)
	require.NoError(t, err)
	return doc
}

// What is public is shown to whoever asks, as pages and as documents; what is flagged, hidden or archived is not.
func TestPublicCatalog(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	editor := serve(t, pool, false)
	push(t, editor, string(document(t, "svix.yaml")))
	first := document(t, "stripe.json")
	push(t, editor, string(first))
	push(t, editor, strings.Replace(string(first), `"email": {"type": ["string", "null"]},`, "", 1))
	server := serve(t, pool, true)

	res, body := get(t, server, "/catalog")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
		res.Header.Get("Content-Security-Policy"))
	require.Equal(t, []string{"nosniff", "no-referrer", "no-cache", "DENY"}, []string{
		res.Header.Get("X-Content-Type-Options"), res.Header.Get("Referrer-Policy"), res.Header.Get("Cache-Control"), res.Header.Get("X-Frame-Options"),
	})
	for _, text := range []string{"<title>Payments events</title>", "invoice.paid", "Invoices", "customer.created", "deprecated", "subscription.created"} {
		require.Contains(t, body, text)
	}
	for _, text := range []string{"benefit_grant.revoked", "subscription.canceled", "Outhook", "<script"} {
		require.NotContains(t, body, text)
	}
	style := body[strings.Index(body, `href="/assets/`)+6:]
	res, _ = get(t, server, style[:strings.Index(style, `"`)])
	require.Equal(t, http.StatusOK, res.StatusCode, "its assets are there without a console")

	_, body = get(t, server, "/catalog/invoice.paid")
	for _, text := range []string{"data.object.amount_paid", "Occurs whenever", "1.0e3", "/catalog/invoice.paid/1.schema.json"} {
		require.Contains(t, body, text)
	}
	require.NotContains(t, body, "Outhook")
	for _, path := range []string{
		"/catalog/benefit_grant.revoked", "/catalog/subscription.canceled", "/catalog/no.type", "/catalog/invoice.paid/3.schema.json",
		"/catalog/benefit_grant.revoked/1.schema.json", "/catalog/invoice.paid/0.schema.json", "/catalog/invoice.paid/x", "/catalog/a/b/c",
		"/catalog/%00", "/catalog/invoice.paid/99999999999.schema.json",
	} {
		res, _ := get(t, server, path)
		require.Equal(t, http.StatusNotFound, res.StatusCode, path)
	}

	// The documents are for tools: what was pushed, without what is not public.
	res, body = get(t, server, "/catalog/openapi.json")
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	c, err := catalog.Parse([]byte(body), "body")
	require.NoError(t, err)
	require.Len(t, c.Types, 3)
	require.NotContains(t, body, "benefit_grant")
	res, body = get(t, server, "/catalog/openapi.json", "If-None-Match", res.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, res.StatusCode)
	require.Empty(t, body)
	_, now := get(t, server, "/catalog/customer.created/2.schema.json")
	_, before := get(t, server, "/catalog/customer.created/1.schema.json")
	require.NotContains(t, now, `"email"`)
	require.Contains(t, before, `"email"`)
	_, err = catalog.Compile(json.RawMessage(before))
	require.NoError(t, err)

	// The same as text, for machines that read.
	res, body = get(t, server, "/catalog.md")
	require.Equal(t, "text/markdown; charset=utf-8", res.Header.Get("Content-Type"))
	for _, text := range []string{
		"# Payments events\n", "\n## Invoices\n", "\n### `invoice.paid`\n", "- `data.object.amount_paid`: ", "\n```json\n{", "1.0e3",
		"(/catalog/customer.created/2.schema.json)",
	} {
		require.Contains(t, body, text)
	}
	require.NotContains(t, body, "benefit_grant")
	res, index := get(t, server, "/llms.txt")
	require.Equal(t, "text/plain; charset=utf-8", res.Header.Get("Content-Type"))
	require.Contains(t, index, "- [invoice.paid](/catalog/invoice.paid/2.schema.json): ")
	require.NotContains(t, index, "benefit_grant")
	res, body = get(t, server, "/llms.txt", "If-None-Match", res.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, res.StatusCode)
	require.Empty(t, body)

	for _, path := range []string{
		"/catalog", "/catalog.md", "/llms.txt", "/catalog/invoice.paid", "/catalog/openapi.json", "/catalog/invoice.paid/1.schema.json",
	} {
		res, _ := get(t, editor, path)
		require.Equal(t, http.StatusNotFound, res.StatusCode, "off, unless it is wanted: %s", path)
	}
}

// An empty catalogue is a page and a document, and one whose database is away says so.
func TestPublicCatalogWithNothing(t *testing.T) {
	t.Parallel()
	server := serve(t, dbtest.New(t), true)
	_, body := get(t, server, "/catalog")
	require.Contains(t, body, "Nothing is described yet")
	_, body = get(t, server, "/catalog/openapi.json")
	require.JSONEq(t, `{"openapi":"3.1.0","info":{"title":"Webhooks","version":"1"},"webhooks":{}}`, body)

	_, body = get(t, server, "/catalog.md")
	require.Equal(t, "# Webhooks\n\nEvents are sent as HTTP requests; what follows is of their bodies.\n", body)

	pool := dbtest.New(t)
	h, err := public.New(pool, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	pool.Close()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/catalog", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "5", w.Header().Get("Retry-After"))
}

// What is in a title, a member's name or an example does not end what it stands in.
func TestPublicCatalogAsTextStaysWhole(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	document := strings.ReplaceAll(`{"openapi":"3.1.0","info":{"title":"a\n# b","version":"1"},"webhooks":{"x.y":{"post":{
		"summary":"one\n- two","requestBody":{"content":{"application/json":{
			"schema":{"type":"object","properties":{"a^b":{"type":"string","description":"three\n# four"}}},
			"example":{"a^b":"^^^"}}}}}}}}`, "^", "`")
	push(t, serve(t, pool, false), document)
	_, body := get(t, serve(t, pool, true), "/catalog.md")
	for _, text := range []string{"# a # b\n", "\none - two\n", "- `` a`b ``: ", ". three # four\n", "\n``````json\n{"} {
		require.Contains(t, body, text)
	}
}
