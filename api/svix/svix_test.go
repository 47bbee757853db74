package svix_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/base62"
)

// Without the setting there are no such calls.
func TestOffUnlessItIsOn(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Svix = false })
	require.Equal(t, http.StatusNotFound, b.do("GET", calls+"/app", "").status)
}

// Errors have Svix's forms, wherever they come from.
func TestErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Access.RateLimit = 1_000_000 })
	b.call("POST", "/app", `{"name":"ACME","uid":"acme"}`, 201)
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		{"GET", "/app", "", []string{"Authorization", ""}, 401, "authentication_failed"},
		{"GET", "/app", "", []string{"Authorization", "Bearer wrong"}, 401, "authentication_failed"},
		{"GET", "/nothing", "", []string{"Authorization", "Bearer wrong"}, 401, "authentication_failed"},
		{"GET", "/nothing", "", nil, 404, "not_found"},
		{"PATCH", "/app", "{}", nil, 404, "not_found"},
		{"GET", "/app/other", "", nil, 404, "not_found"},
		{"POST", "/app", `{"name":"ACME","uid":"acme"}`, nil, 409, "conflict"},
		{"POST", "/app", `{"name":`, nil, 400, "generic_error"},
		{"POST", "/app", `{}`, []string{"Content-Type", "text/plain"}, 400, "generic_error"},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{"a":"` + strings.Repeat("x", 300_000) + `"}}`, nil, 413, "payload_too_large"},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{"a":"` + strings.Repeat("x", 600_000) + `"}}`, nil, 413, "payload_too_large"},
		{"GET", "/app", "", b.as("publish", ""), 403, "insufficient access"},
		{"GET", "/app?limit=" + strings.Repeat("1", 9000), "", nil, 400, "generic_error"},
	} {
		o := b.call(c.method, c.path, c.body, c.status, c.headers...)
		require.Equal(t, c.code, o["code"], "%s %s", c.method, c.path)
		require.NotEmpty(t, o["detail"])
	}

	for _, c := range []struct {
		method, path, body string
		loc                []any
	}{
		{"GET", "/app?limit=0", "", []any{"query", "limit"}},
		{"GET", "/app?order=up", "", []any{"query", "order"}},
		{"GET", "/app?exclude_apps_with_no_endpoints=true", "", []any{"query", "exclude_apps_with_no_endpoints"}},
		{"POST", "/app", `{"name":5}`, []any{"body", "name"}},
		{"POST", "/app", `[]`, []any{"body"}},
		{"POST", "/app/acme/endpoint", `{"url":5}`, []any{"body", "url"}},
		{"POST", "/app/acme/endpoint", `{"url":"https://example.com","eventTypes":["a","b c"]}`, []any{"body", "eventTypes", 1.0}},
		{"POST", "/app/acme/endpoint", `{"url":"https://example.com","channels":["a b"]}`, []any{"body", "channels"}},
		{"POST", "/app/acme/endpoint", `{"url":"https://example.com","channels":"a"}`, []any{"body", "channels"}},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{},"tags":["` + strings.Repeat("a", 61) + `"]}`, []any{"body", "tags"}},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{},"tags":["1","2","3","4","5","6"]}`, []any{"body", "tags"}},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{},"channels":["tag:a"]}`, []any{"body", "channels"}},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{},"channels":["1","2","3","4","5","6"]}`, []any{"body", "channels"}},
		{"POST", "/app/acme/msg/precheck/active", `{"eventType":"a","channels":[""]}`, []any{"body", "channels"}},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{},"deliverAt":"2126-01-02T15:04:05Z"}`, []any{"body", "deliverAt"}},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{},"deliverAt":"tomorrow"}`, []any{"body", "deliverAt"}},
		{"POST", "/app/acme/msg", `{"eventType":"a","payload":{},"deliverAt":17}`, []any{"body", "deliverAt"}},
		{"POST", "/app/acme/msg", `{"payload":{}}`, []any{"body", "eventType"}},
		{"GET", "/app/acme/msg?channel=a,b", "", []any{"query", "channel"}},
		{"GET", "/app/acme/msg?before=yesterday", "", []any{"query", "before"}},
		{"GET", "/app/acme/msg?with_content=maybe", "", []any{"query", "with_content"}},
	} {
		o := b.call(c.method, c.path, c.body, 422)
		item := o["detail"].([]any)[0].(object)
		require.Equal(t, c.loc, item["loc"], "%s %s: %v", c.method, c.path, o)
		require.NotEmpty(t, item["msg"])
		require.Equal(t, "value_error", item["type"])
	}
}

// What an SDK of any age sends is taken: slashes at the end, other names, members that are unknown.
func TestOldAndNewSDKs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call("POST", "/app/", `{"name":"ACME","uid":"acme","rateLimit":null,"new":{"a":1}}`, 201)
	e := b.call("POST", "/app/acme/endpoint/", `{"url":"https://example.com/a","version":1,"filterTypes":["a.b"],"rateLimit":5,"new":1}`, 201)
	require.Equal(t, []any{"a.b"}, e["eventTypes"])
	require.Equal(t, []any{"a.b"}, e["filterTypes"])
	require.EqualValues(t, 5, e["throttleRate"])
	require.EqualValues(t, 5, e["rateLimit"])
	require.EqualValues(t, 1, e["version"])
	changed := b.call("PATCH", "/app/acme/endpoint/"+e["id"].(string), `{"secret":"whsec_x"}`, 422)
	require.Equal(t, []any{"body", "secret"}, changed["detail"].([]any)[0].(object)["loc"])
	m := b.call("POST", "/app/acme/msg/", `{"eventType":"a.b","data":{"n":1},"channels":[],"tags":null}`, 202)
	require.Equal(t, object{"n": 1.0}, m["payload"])
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.deliveries`))
	require.Empty(t, b.call("GET", "/health/", "", 204))

	// The SDK for Go sends an empty body without a length and a type.
	for body, status := range map[string]int{"": 404, "{}": 400} {
		url := b.base + calls + "/app/acme/msg/" + m["id"].(string) + "/endpoint/none/resend"
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, io.NopCloser(strings.NewReader(body)))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+adminKey)
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, status, res.StatusCode)
	}

	// Ids as Outhook writes them.
	raw, ok := base62.Decode(strings.TrimPrefix(m["id"].(string), "msg_"), 16)
	require.True(t, ok)
	require.Equal(t, m["id"], b.call("GET", "/app/acme/msg/"+uuid.UUID(raw).String(), "", 200)["id"])
}

// The bytes of a payload are those of the request, whichever way they come.
func TestPayloadsAreKeptByteForByte(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call("POST", "/app", `{"name":"ACME","uid":"acme"}`, 201)
	const payload = `{ "b" : 1.0, "a":"\u00e9<é>",  "b":1e400,"n":12345678901234567890 }`
	require.Contains(t, b.do("POST", calls+"/app/acme/msg", `{"eventType":"a","payload":`+payload+`}`).body, `"payload":`+payload)
	raw := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(payload)
	sent := b.do("POST", calls+"/app/acme/msg", `{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"`+raw+`"}}`)
	require.Equal(t, 202, sent.status, sent.body)
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.events WHERE payload::text = $1`, payload))

	for _, params := range []string{
		`{"rawPayload":" {}"}`, `{"rawPayload":"x"}`, `{}`, `{"rawPayload":"{}","other":1}`,
		`{"rawPayload":"{}","headers":{"content-type":"text/plain"}}`, `{"rawPayload":"{}","headers":{"x-a":"b"}}`,
	} {
		b.call("POST", "/app/acme/msg", `{"eventType":"a","payload":{},"transformationsParams":`+params+`}`, 422)
	}
	b.call("POST", "/app/acme/msg", `{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"[1]","headers":{"Content-Type":"application/json; charset=utf-8"}}}`, 202)
}

// A message for later says when, wherever it is shown, and its delivery waits for it.
func TestMessagesForLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call("POST", "/app", `{"name":"ACME","uid":"acme"}`, 201)
	endpoint := b.call("POST", "/app/acme/endpoint", `{"url":"https://example.com"}`, 201)["id"].(string)
	at := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")
	later := func(o object) {
		t.Helper()
		got, err := time.Parse(time.RFC3339Nano, fmt.Sprint(o["deliverAt"]))
		require.NoError(t, err, o)
		require.Equal(t, at, got.UTC().Format("2006-01-02T15:04:05.000Z"))
	}

	body := `{"eventType":"a","payload":{},"eventId":"trial-17","deliverAt":"` + at + `"}`
	first := b.call("POST", "/app/acme/msg", body, 202, "idempotency-key", "auto_1")
	later(first)
	again := b.call("POST", "/app/acme/msg", body, 202, "idempotency-key", "auto_1", "svix-retry-count", "1")
	require.Equal(t, first, again)
	later(b.call("GET", "/app/acme/msg/trial-17?with_content=false", "", 200))
	later(b.call("GET", "/app/acme/msg/"+first["id"].(string), "", 200))
	for _, with := range []string{"true", "false"} {
		later(b.call("GET", "/app/acme/msg?with_content="+with, "", 200)["data"].([]any)[0].(object))
	}
	attempted := b.call("GET", "/app/acme/endpoint/"+endpoint+"/msg", "", 200)["data"].([]any)[0].(object)
	later(attempted)
	require.Equal(t, "pending", attempted["statusText"])
	require.Equal(t, attempted["deliverAt"], attempted["nextAttempt"])

	// Its eventId takes it back.
	require.Equal(t, 1, b.count(`SELECT cancelled FROM outhook.cancel_event('acme', 'trial-17')`))
	require.Equal(t, "conflict", b.call("POST", "/app/acme/msg/trial-17/endpoint/"+endpoint+"/resend", "", 409)["code"])
	for _, none := range []string{"null", `"2020-01-01T00:00:00Z"`} {
		o := b.call("POST", "/app/acme/msg", `{"eventType":"a","payload":{},"deliverAt":`+none+`}`, 202)
		require.NotContains(t, b.call("GET", "/app/acme/msg/"+o["id"].(string), "", 200), "deliverAt")
	}
}

// A repeated POST is answered like the first, and makes nothing twice.
func TestRepeatedCalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call("POST", "/app", `{"name":"ACME","uid":"acme"}`, 201)
	event := b.call("POST", "/app/acme/msg", `{"eventType":"a","payload":{}}`, 202)["id"].(string)
	endpoint := b.call("POST", "/app/acme/endpoint", `{"url":"https://example.com"}`, 201)["id"].(string)
	state := func() string {
		return fmt.Sprint(b.count(`SELECT count(*) FROM outhook.tenants`), b.count(`SELECT count(*) FROM outhook.endpoints`),
			b.count(`SELECT count(*) FROM outhook.events`), b.count(`SELECT count(*) FROM outhook.endpoint_secrets`),
			b.count(`SELECT count(*) FROM outhook.operations`), b.count(`SELECT count(*) FROM outhook.deliveries`))
	}
	for path, body := range map[string]string{
		"/app": `{"name":"Without a uid"}`, "/app?get_if_exists=false": `{"name":"B","uid":"b"}`,
		"/app/acme/endpoint": `{"url":"https://example.com/2"}`, "/app/acme/msg": `{"eventType":"b","payload":{}}`,
		"/app/acme/endpoint/" + endpoint + "/secret/rotate": `{}`,
		"/app/acme/endpoint/" + endpoint + "/recover":       `{"since":"2026-01-02T03:04:05Z"}`,
		"/app/acme/endpoint/" + endpoint + "/bulk-replay":   `{"since":"2026-01-02T03:04:05Z"}`,
	} {
		key := []string{"idempotency-key", "auto_" + uuid.NewString()}
		first := b.do("POST", calls+path, body, key...)
		require.Less(t, first.status, 300, "%s: %s", path, first.body)
		before := state()
		again := b.do("POST", calls+path, body, key...)
		require.Equal(t, first.status, again.status, "%s: %s", path, again.body)
		require.Equal(t, first.body, again.body, path)
		require.Equal(t, before, state(), path)
	}

	// A message with an eventId is a conflict, unless the SDK sends it again.
	const named = `{"eventType":"a","payload":{},"eventId":"e-1"}`
	first := b.call("POST", "/app/acme/msg", named, 202, "idempotency-key", "auto_1")
	require.Equal(t, "e-1", first["eventId"])
	require.Equal(t, "conflict", b.call("POST", "/app/acme/msg", named, 409, "idempotency-key", "auto_2")["code"])
	require.Equal(t, first["id"], b.call("POST", "/app/acme/msg", named, 202, "idempotency-key", "auto_1", "svix-retry-count", "1")["id"])
	require.Equal(t, first["id"], b.call("POST", "/app/acme/msg", named, 202, "idempotency-key", "mine")["id"])
	b.call("POST", "/app/acme/msg", `{"eventType":"a","payload":{"n":1},"eventId":"e-1"}`, 409, "idempotency-key", "mine")
	require.Equal(t, first["id"], b.call("GET", "/app/acme/msg/e-1", "", 200)["id"])
	require.NotEqual(t, event, first["id"])
}

// Svix's keys belong to a URL.
func TestOneKeyForTwoCalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("k", 400)
	b.call("POST", "/app", `{"name":"ACME","uid":"acme"}`, 201, "idempotency-key", long)
	b.call("POST", "/app/acme/endpoint", `{"url":"https://example.com"}`, 201, "idempotency-key", long)
	b.call("POST", "/app/acme/msg", `{"eventType":"a","payload":{}}`, 202, "idempotency-key", long)
	b.call("POST", "/app/acme/msg", `{"eventType":"b","payload":{}}`, 409, "idempotency-key", long)
}

// A key that may only publish sends to a uid, without looking; and any key to what another has found.
func TestKeysThatPublish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.call("POST", "/app", `{"name":"ACME","uid":"acme"}`, 201)["id"].(string)
	const message = `{"eventType":"a","payload":{}}`
	b.call("POST", "/app/"+id+"/msg", message, 202)
	publish := b.as("publish", "")
	b.call("POST", "/app/acme/msg", message, 202, publish...)
	require.Equal(t, "insufficient access", b.call("POST", "/app/"+id+"/msg", message, 403, publish...)["code"])
	b.call("POST", "/app/acme/msg", message, 202, b.as("tenant", "acme")...)
	b.call("POST", "/app/acme/msg", message, 404, b.as("tenant", "globex")...)
	b.call("POST", "/app/"+id+"/msg", message, 404, b.as("tenant", "globex")...)
	b.call("POST", "/app/acme/msg", message, 403, b.as("read", "acme")...)
	b.call("DELETE", "/app/acme", "", 204)
	b.call("POST", "/app/acme/msg", message, 404)
}

// An entry of the audit trail has the caller's key and the call's id.
func TestCallsAreAudited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call("POST", "/app", `{"name":"ACME","uid":"acme"}`, 201)
	a := b.do("POST", calls+"/app/acme/endpoint", `{"url":"https://example.com"}`, b.as("tenant", "acme")...)
	require.Equal(t, 201, a.status)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'create-endpoint' AND actor = 'test'
		AND request_id = $1 AND source_address IS NOT NULL`, a.header.Get("X-Request-Id")))
}

// Operational webhooks are the endpoints of the operator's tenant, with Svix's names of types.
func TestOperationalWebhooks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const all = "/operational-webhook/endpoint"
	e := b.call("POST", all, `{"url":"https://example.com/ops","uid":"ops","filterTypes":["endpoint.disabled","message.attempt.exhausted"]}`, 201)
	require.Equal(t, []any{"endpoint.disabled", "message.attempt.exhausted"}, e["filterTypes"])
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.endpoints WHERE tenant_id = 'outhook.operator'
		AND event_types = '{outhook.endpoint.disabled,outhook.delivery.failed}'`))
	require.Equal(t, e, b.call("GET", all+"/ops", "", 200))
	require.Equal(t, []any{e}, b.call("GET", all, "", 200)["data"])

	put := b.call("PUT", all+"/ops", `{"url":"https://example.com/ops","disabled":true}`, 200)
	require.Equal(t, []any{true, nil, e["id"]}, []any{put["disabled"], put["filterTypes"], put["id"]})
	b.call("PUT", all+"/ops/headers", `{"headers":{"x-one":"1"}}`, 204)
	require.Equal(t, object{"x-one": "1"}, b.call("GET", all+"/ops/headers", "", 200)["headers"])
	key := b.call("GET", all+"/ops/secret", "", 200)["key"]
	b.call("POST", all+"/ops/secret/rotate", `{}`, 204)
	require.NotEqual(t, key, b.call("GET", all+"/ops/secret", "", 200)["key"])

	refused := b.call("POST", all, `{"url":"https://example.com/ops","filterTypes":["endpoint.created"]}`, 422)
	require.Equal(t, []any{"body", "filterTypes"}, refused["detail"].([]any)[0].(object)["loc"])
	b.call("DELETE", all+"/ops", "", 204)
	b.call("GET", all+"/ops", "", 404)
	b.call("GET", all, "", 200, b.as("tenant", "acme")...)
}

// What the catalogue refuses of a message is told in Svix's shape, and what Svix's SDKs say of a type leaves the rest of its document.
func TestEventTypesAndMessages(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.KnownTypes = true })
	require.Equal(t, 200, b.do("POST", "/api/catalog", `{"document":{"openapi":"3.1.0","info":{"title":"Ours","version":"1"},"webhooks":{"invoicePaid":{
		"x-outhook-type":"invoice.paid","post":{"operationId":"onPaid","description":"Old","tags":["Money"],"requestBody":{"content":{"application/json":{
		"schema":{"$ref":"#/components/schemas/Invoice"},"example":{"id":"1"}}}}}}},
		"components":{"schemas":{"Invoice":{"type":"object","required":["id"],"properties":{"id":{"type":"string"}}}}}}}`).status)
	require.Equal(t, 200, b.do("PATCH", "/api/event-types/invoice.paid", `{"enforce":"reject"}`).status)

	b.call("PATCH", "/event-type/invoice.paid", `{"description":"New","deprecated":true}`, 200)
	require.JSONEq(t, `{"document":{"openapi":"3.1.0","info":{"title":"Ours","version":"1"},"webhooks":{"invoicePaid":{
		"x-outhook-type":"invoice.paid","post":{"operationId":"onPaid","tags":["Money"],"requestBody":{"content":{"application/json":{
		"schema":{"$ref":"#/components/schemas/Invoice"},"example":{"id":"1"}}}},"deprecated":true},"description":"New"}},
		"components":{"schemas":{"Invoice":{"type":"object","required":["id"],"properties":{"id":{"type":"string"}}}}}}}`, b.do("GET", "/api/catalog", "").body)
	typ := b.call("GET", "/event-type/invoice.paid", "", 200)
	require.Equal(t, []any{"New", "Money", true, false}, []any{typ["description"], typ["groupName"], typ["deprecated"], typ["archived"]})
	changed := b.call("PATCH", "/event-type/invoice.paid", `{"schemas":{"2":{"type":"object","required":["id"],"properties":{"id":{"$ref":"#/$defs/x"}},"$defs":{"x":{"type":"integer"}}}}}`, 200)
	require.Contains(t, changed["schemas"], "2")

	b.call("POST", "/app", `{"name":"ACME","uid":"acme"}`, 201)
	for body, loc := range map[string][]any{
		`{"eventType":"invoice.paid","payload":{"id":"1"}}`: {"body", "payload"},
		`{"eventType":"invoice.void","payload":{"id":1}}`:   {"body", "eventType"},
	} {
		o := b.call("POST", "/app/acme/msg", body, 422)
		require.Equal(t, loc, o["detail"].([]any)[0].(object)["loc"], "%v", o)
	}
	b.call("POST", "/app/acme/msg", `{"eventType":"invoice.paid","payload":{"id":1}}`, 202)
}
