package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// A filter is stored as it is written, shown, replaced as a whole, taken away by null, and noted in the endpoint's history.
func TestFilterOfAnEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.requireObject(b.do("POST", "/api/endpoints", `{"tenant_id":"acme","uid":"main","url":"https://example.com","filter":{ "data" : {"amount": {"$gte": 1e3}}}}`), 201)
	path, id := "/api/endpoints/"+made["id"].(string), uuid.MustParse(made["id"].(string))
	amount := object{"data": object{"amount": object{"$gte": 1000.0}}}
	require.Equal(t, amount, made["filter"])
	require.Contains(t, string(b.do("GET", path, "").body), `"filter":{"data":{"amount":{"$gte":1e3}}}`, "a number keeps its digits")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.endpoints WHERE filter_path::text = 'exists ($."data"."amount"?(@ >= 1000))'`))

	require.Equal(t, amount, b.requireObject(b.do("PATCH", path, `{"description":"d"}`), 200)["filter"])
	gold := object{"$or": []any{object{"type": "a"}, object{"data": object{"plan": "gold"}}}}
	require.Equal(t, gold, b.requireObject(b.do("PATCH", path, `{"filter":{"$or":[{"type":"a"},{"data":{"plan":"gold"}}]}}`), 200)["filter"])
	put := func(members string) object {
		return b.requireObject(b.do("PUT", "/api/endpoints/main?tenant_id=acme", `{"url":"https://example.com"`+members+`}`), 200)
	}
	require.Equal(t, []any{"description"}, put(`,"filter":{"$or" : [{"type":"a"},{"data":{"plan":"gold"}}]}`)["changed"], "white space is no change")
	require.Equal(t, gold, put(`,"filter":{"$or":[{"type":"a"},{"data":{"plan":"gold"}}]}`)["filter"])
	gone := put("")
	require.Equal(t, []any{"filter"}, gone["changed"])
	require.Nil(t, gone["filter"])
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.endpoints WHERE filter IS NULL AND filter_path IS NULL`))

	history := b.revisions(adminKey, id)
	require.Len(t, history, 3)
	require.Equal(t, []any{amount, gold, nil}, []any{history[0]["filter"], history[1]["filter"], history[2]["filter"]})
	require.Equal(t, []any{"filter"}, history[2]["changed"])

	items := b.requireObject(b.do("POST", "/api/endpoints/batch", `{"endpoints":[{"tenant_id":"acme","url":"https://example.com","filter":{"data":1}}]}`), 201)["endpoints"].([]any)
	require.Equal(t, object{"data": 1.0}, items[0].(object)["filter"])
	b.requireFault(b.do("POST", "/api/endpoints/batch", `{"endpoints":[{"tenant_id":"acme","url":"https://example.com","filter":{"data":{"a":[]}}}]}`),
		422, "body.endpoints[0].filter.data.a", "has no value")
}

// Events of REST go by filters, too.
func TestFiltersDecideAboutEventsOfTheAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.newEndpoint("acme", `,"filter":{"data":{"amount":{"$gte":1000}}}`)
	count := func(payload string) any {
		return b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":`+payload+`}`), 202)["delivery_count"]
	}
	require.InDelta(t, 1, count(`{"amount":1000}`), 0)
	require.InDelta(t, 0, count(`{"amount":999}`), 0)
	require.InDelta(t, 0, count(`"\u0000"`), 0)
	results := b.requireObject(b.do("POST", "/api/events/batch", `{"events":[{"tenant_id":"acme","type":"a","payload":{"amount":1},"idempotency_key":"k"},
		{"tenant_id":"acme","type":"b","payload":{"amount":2000}}]}`), 202)["results"].([]any)
	require.Equal(t, []any{0.0, 1.0}, []any{results[0].(object)["delivery_count"], results[1].(object)["delivery_count"]})
}

// Labels and headers of events come with REST as well, are shown and searched for, and endpoints choose by them.
func TestLabelsOfEventsAndEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	eu := b.newEndpoint("acme", `,"labels":["eu","us"]`)
	b.newEndpoint("acme", "")
	shown := b.requireObject(b.do("GET", "/api/endpoints/"+eu.String(), ""), 200)
	require.Equal(t, []any{"eu", "us"}, shown["labels"])

	post := func(members string) object {
		return b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1`+members+`}`), 202)
	}
	plain := post("")
	require.InDelta(t, 1, plain["delivery_count"], 0)
	require.InDelta(t, 1, post(`,"labels":["asia"],"headers":null`)["delivery_count"], 0)
	made := post(`,"labels":["asia","eu"],"headers":{"x-source":"billing <1>"}`)
	require.InDelta(t, 2, made["delivery_count"], 0)
	full := b.requireObject(b.do("GET", "/api/events/"+made["id"].(string), ""), 200)
	require.Equal(t, []any{[]any{"asia", "eu"}, object{"x-source": "billing <1>"}}, []any{full["labels"], full["headers"]})
	full = b.requireObject(b.do("GET", "/api/events/"+plain["id"].(string), ""), 200)
	require.Equal(t, []any{[]any{}, object{}}, []any{full["labels"], full["headers"]})

	results := b.requireObject(b.do("POST", "/api/events/batch", `{"events":[{"tenant_id":"acme","type":"a","payload":1,"labels":["us"],"headers":{"x-a":"b"}},
		{"tenant_id":"acme","type":"a","payload":1}]}`), 202)["results"].([]any)
	require.Equal(t, []any{2.0, 1.0}, []any{results[0].(object)["delivery_count"], results[1].(object)["delivery_count"]})

	for label, want := range map[string]int{"eu": 1, "asia": 2, "us": 1, "none": 0} {
		items := b.requireObject(b.do("GET", "/api/events?label="+label, ""), 200)["items"].([]any)
		require.Len(t, items, want, label)
		for _, item := range items {
			require.Contains(t, item.(object)["labels"], label)
		}
	}

	for body, location := range map[string]string{
		`"labels":"eu"`: "body.labels", `"labels":["s3 cret"]`: "body.labels", `"headers":["a"]`: "body.headers",
		`"headers":{"x-a":1}`: "body.headers.x-a", `"headers":{"x-a":null}`: "body.headers.x-a", `"headers":{"host":"a"}`: "body.headers",
		`"headers":{"x-a":"` + strings.Repeat("a", 2048) + `"}`: "body.headers",
	} {
		b.requireFault(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1,`+body+`}`), 422, location, "")
	}

	// The event's headers go with its payload.
	require.Equal(t, 204, b.do("DELETE", "/api/events/"+made["id"].(string)+"/payload?force=true", "").status)
	full = b.requireObject(b.do("GET", "/api/events/"+made["id"].(string), ""), 200)
	require.Equal(t, []any{[]any{"asia", "eu"}, object{}}, []any{full["labels"], full["headers"]})
}

func TestPreviewOfAFilter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	preview := func(body string) object {
		t.Helper()
		return b.requireObject(b.do("POST", "/api/endpoints/preview-filter", body), 200)
	}
	require.Equal(t, object{"wanted": 0.0, "events": 0.0, "unreadable": 0.0, "since": nil}, preview(`{"tenant_id":"acme"}`))

	b.exec(`SELECT outhook.enqueue('acme', CASE i % 2 WHEN 0 THEN 'a.b' ELSE 'c' END, json_build_object('n', i)) FROM generate_series(1, 150) AS i`)
	b.exec(`SELECT outhook.enqueue('globex', 'a.b', '{"n": 149}')`)
	b.exec(`UPDATE outhook.events SET payload = NULL WHERE payload ->> 'n' = '60' AND tenant_id = 'acme'`)
	b.exec(`UPDATE outhook.events SET payload = '"\u0000"' WHERE payload ->> 'n' = '61' AND tenant_id = 'acme'`)
	for body, want := range map[string]float64{
		`{"tenant_id":"acme"}`:                                                           98,
		`{"tenant_id":"acme","filter":null,"event_types":[]}`:                            98,
		`{"tenant_id":"acme","filter":{"data":{"n":{"$gt":113}}}}`:                       37,
		`{"tenant_id":"acme","filter":{"data":{"n":{"$gt":113}}},"event_types":["a.*"]}`: 19,
		`{"tenant_id":"acme","filter":{"$not":{"data":{"n":{"$gt":113}}}}}`:              61,
		`{"tenant_id":"acme","filter":{"type":"c","data":{"n":{"$gt":50,"$lt":56}}}}`:    3,
		`{"tenant_id":"acme","filter":{"data":{"n":{"$lte":50}}}}`:                       0,
	} {
		got := preview(body)
		require.Equal(t, []any{want, 100.0, 2.0}, []any{got["wanted"], got["events"], got["unreadable"]}, body)
		require.NotNil(t, got["since"])
	}
	require.InDelta(t, 1, preview(`{"tenant_id":"globex","filter":{"tenant_id":"globex","data":{"n":149}}}`)["wanted"], 0)

	tenantKey, _ := b.newKey("tenant", "acme")
	got := b.requireObject(b.as(tenantKey, "POST", "/api/endpoints/preview-filter", `{"filter":{"data":{"n":150}}}`), 200)
	require.Equal(t, []any{1.0, 100.0}, []any{got["wanted"], got["events"]})

	b.requireFault(b.do("POST", "/api/endpoints/preview-filter", `{"filter":{"data":1}}`), 422, "body.tenant_id", "is required")
	b.requireFault(b.do("POST", "/api/endpoints/preview-filter", `{"tenant_id":"acme","filter":{"data":{"$gt":[]}}}`), 422, "body.filter.data", "must be a text or a number")
	b.requireFault(b.do("POST", "/api/endpoints/preview-filter", `{"tenant_id":"acme","url":"https://example.com"}`), 422, "body.url", "is unknown")
}
