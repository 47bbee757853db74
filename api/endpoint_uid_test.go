package api_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
)

func TestEndpointUID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, _ := b.newKey("tenant", "acme")

	t.Run("StandsWhereverAnIdDoes", func(t *testing.T) {
		t.Parallel()
		created := b.requireObject(b.as(key, "POST", "/api/endpoints", `{"url":"https://example.com","uid":"Main_1.a-b"}`), 201)
		require.Equal(t, "Main_1.a-b", created["uid"])
		require.Equal(t, "acme", created["tenant_id"], "the key's")
		id := created["id"].(string)
		b.newEndpoint("globex", `,"uid":"Main_1.a-b"`)
		require.Equal(t, id, b.requireObject(b.as(key, "GET", "/api/endpoints/Main_1.a-b", ""), 200)["id"])
		require.Equal(t, id, b.requireObject(b.do("GET", "/api/endpoints/Main_1.a-b?tenant_id=acme", ""), 200)["id"])
		require.Equal(t, id, b.requireObject(b.as(key, "PATCH", "/api/endpoints/Main_1.a-b", `{"description":"d"}`), 200)["id"])
		b.requireFault(b.do("GET", "/api/endpoints/Main_1.a-b", ""), 422, "query.tenant_id", "required with an endpoint's uid")
		b.requireProblem(b.as(key, "GET", "/api/endpoints/main_1.a-b", ""), 404) // case counts

		event := b.requireObject(b.as(key, "POST", "/api/events", `{"type":"a","payload":1}`), 202)
		require.Equal(t, "acme", event["tenant_id"])
		path := "/api/deliveries/" + event["id"].(string) + "/Main_1.a-b"
		require.Equal(t, id, b.requireObject(b.as(key, "GET", path, ""), 200)["endpoint_id"])
		for _, r := range []response{
			b.as(key, "GET", path+"/attempts", ""), b.do("GET", path+"/attempts?tenant_id=acme", ""),
			b.do("GET", "/api/events/"+event["id"].(string)+"/attempts?endpoint_id=Main_1.a-b", ""),
		} {
			require.Empty(t, b.requireObject(r, 200)["items"])
		}
		require.Equal(t, "cancelled", b.requireObject(b.as(key, "POST", path+"/cancel", ""), 200)["state"])
		require.Equal(t, "pending", b.requireObject(b.do("POST", path+"/replay?tenant_id=acme", ""), 200)["state"])

		order := b.requireObject(b.as(key, "POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z","endpoint_id":"Main_1.a-b"}`), 202)
		require.Equal(t, id, order["endpoint_id"])
		for _, list := range []string{"/api/deliveries", "/api/operations"} {
			for _, r := range []response{
				b.as(key, "GET", list+"?endpoint_id=Main_1.a-b", ""), b.do("GET", list+"?tenant_id=acme&endpoint_id=Main_1.a-b", ""),
			} {
				items := b.requireObject(r, 200)["items"].([]any)
				require.NotEmpty(t, items, list)
				for _, item := range items {
					require.Equal(t, id, item.(object)["endpoint_id"], list)
				}
			}
			require.Empty(t, b.requireObject(b.as(key, "GET", list+"?endpoint_id=none", ""), 200)["items"])
			b.requireFault(b.do("GET", list+"?endpoint_id=none", ""), 422, "query.tenant_id", "required")
		}
		b.requireObject(b.as(key, "GET", "/api/attempts?endpoint_id=Main_1.a-b", ""), 200)
	})

	t.Run("IsUniqueAmongThoseThatAreNotDeleted", func(t *testing.T) {
		t.Parallel()
		first := b.newEndpoint("unique", `,"uid":"one"`).String()
		p := b.requireProblem(b.do("POST", "/api/endpoints", `{"tenant_id":"unique","url":"https://example.com","uid":"one"}`), 409)
		require.Equal(t, "endpoint_uid_taken", p.Code)
		require.Contains(t, p.Detail, first)
		require.Equal(t, "body.uid", p.Errors[0].Location)
		second := b.newEndpoint("unique", "").String()
		b.requireProblem(b.do("PATCH", "/api/endpoints/"+second, `{"uid":"one"}`), 409)
		require.Equal(t, 204, b.do("DELETE", "/api/endpoints/one?tenant_id=unique", "").status)
		require.Equal(t, "one", b.requireObject(b.do("PATCH", "/api/endpoints/"+second, `{"uid":"one"}`), 200)["uid"])
		require.Nil(t, b.requireObject(b.do("PATCH", "/api/endpoints/one?tenant_id=unique", `{"uid":null}`), 200)["uid"])
		b.requireProblem(b.do("GET", "/api/endpoints/one?tenant_id=unique", ""), 404)
	})

	t.Run("IsNoUUIDAndNoStepOfAPath", func(t *testing.T) {
		t.Parallel()
		id := uuid.NewString()
		for _, uid := range []string{
			"", ".", "..", "a b", "a/b", "é", "a\\u0000", strings.Repeat("x", 257), id, strings.ReplaceAll(id, "-", ""), strings.ToUpper(id),
		} {
			r := b.do("POST", "/api/endpoints", `{"tenant_id":"odd","url":"https://example.com","uid":"`+uid+`"}`)
			require.Equal(t, "body.uid", b.requireProblem(r, 422).Errors[0].Location, uid)
		}
		b.newEndpoint("odd", `,"uid":"`+strings.Repeat("x", 256)+`"`)
		b.newEndpoint("odd", `,"uid":"..."`)
	})
}

func TestATenantsKeyNeedNotSayItsTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, _ := b.newKey("tenant", "acme")
	publisher, _ := b.newKey("publish", "acme")
	r := b.as(publisher, "POST", "/api/events/batch", `{"events":[{"type":"a","payload":1},{"tenant_id":"acme","type":"a","payload":1}]}`)
	for _, result := range b.requireObject(r, 202)["results"].([]any) {
		require.Equal(t, "acme", result.(object)["tenant_id"])
	}
	require.Equal(t, 403, b.as(publisher, "POST", "/api/events", `{"tenant_id":"globex","type":"a","payload":1}`).status)
	require.Equal(t, 403, b.as(key, "POST", "/api/endpoints", `{"tenant_id":"globex","url":"https://example.com"}`).status)

	b.requireFault(b.do("POST", "/api/events", `{"type":"a","payload":1}`), 422, "body.tenant_id", "required")
	b.requireFault(b.do("POST", "/api/events/batch", `{"events":[{"type":"a","payload":1}]}`), 422, "body.events[0].tenant_id", "required")
	b.requireFault(b.do("POST", "/api/endpoints", `{"url":"https://example.com"}`), 422, "body.tenant_id", "required")
}

func TestURLsMayHaveToBeUnique(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.UniqueURLs = true })
	first := b.newEndpoint("acme", "")
	taken := func(r response) {
		t.Helper()
		p := b.requireProblem(r, 409)
		require.Equal(t, "endpoint_url_taken", p.Code)
		require.Contains(t, p.Detail, first.String())
		require.NotContains(t, p.Detail, "example.com")
	}
	taken(b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com/hook"}`))
	taken(b.do("PUT", "/api/endpoints/main?tenant_id=acme", `{"url":"https://example.com/hook"}`))
	b.newEndpoint("globex", "")
	second := b.requireObject(b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com/other"}`), 201)["id"].(string)
	taken(b.do("PATCH", "/api/endpoints/"+second, `{"url":"https://example.com/hook"}`))
	require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+first.String(), `{"url":"https://example.com/hook","description":"d"}`).status)

	var mu sync.Mutex
	made := 0
	together(8, func(int) {
		r, err := b.try("POST", "/api/endpoints", `{"tenant_id":"raced","url":"https://example.com/hook"}`)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && r.status == 201 {
			made++
		}
	})
	require.Equal(t, 1, made)
	require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.endpoints WHERE tenant_id = 'raced'"))
}
