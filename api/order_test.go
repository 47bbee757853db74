package api_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Order comes with REST as well, and is shown; what is in line says so, and is delivered again by force only.
func TestOrderOfEventsAndEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", `,"ordered":"block"`)
	path := "/api/endpoints/" + endpoint.String()
	require.Equal(t, "block", b.requireObject(b.do("GET", path, ""), 200)["ordered"])
	for _, c := range [][2]string{{`{"ordered":"skip"}`, "skip"}, {`{"ordered":""}`, ""}, {`{"ordered":"skip"}`, "skip"}, {`{"ordered":null}`, ""}} {
		require.Equal(t, c[1], b.requireObject(b.do("PATCH", path, c[0]), 200)["ordered"], c[0])
	}
	b.requireFault(b.do("PATCH", path, `{"ordered":"s3cret"}`), 422, "body.ordered", "must be block or skip")
	b.requireFault(b.do("PATCH", path, `{"ordered":true}`), 422, "body.ordered", "string")
	revisions := b.requireObject(b.do("GET", path+"/revisions?order=asc", ""), 200)["items"].([]any)
	require.Equal(t, "block", revisions[0].(object)["ordered"])

	post := func(members string) uuid.UUID {
		made := b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1`+members+`}`), 202)
		return uuid.MustParse(made["id"].(string))
	}
	keyed, plain := post(`,"ordering_key":"order-7"`), post(`,"ordering_key":null`)
	for id, want := range map[uuid.UUID]any{keyed: "order-7", plain: nil} {
		require.Equal(t, want, b.requireObject(b.do("GET", "/api/events/"+id.String(), ""), 200)["ordering_key"])
	}
	b.requireFault(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1,"ordering_key":"\n"}`), 422, "body.ordering_key", "control")
	b.requireFault(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1,"ordering_key":7}`), 422, "body.ordering_key", "string")
	results := b.requireObject(b.do("POST", "/api/events/batch", `{"events":[{"tenant_id":"acme","type":"a","payload":1},
		{"tenant_id":"acme","type":"a","payload":1,"ordering_key":"order-7"}]}`), 202)["results"].([]any)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.events WHERE id = $1 AND ordering_key = 'order-7'`, results[1].(object)["id"]))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.river_job WHERE state = 'pending' AND queue LIKE 'line-%'`))

	b.exec(`INSERT INTO outhook.leases (name, holder, until) VALUES ('worker/w', 'w', now() + interval '1 hour')`)
	for id, want := range map[string]string{keyed.String(): "it is next", results[1].(object)["id"].(string): "1 delivery is ahead of it"} {
		why := b.requireObject(b.do("GET", "/api/events/"+id+"/why", ""), 200)["items"].([]any)[0].(object)
		require.Equal(t, "waiting_in_line", why["because"], why)
		require.Contains(t, why["text"], want)
		require.Contains(t, why["text"], "the ordering key order-7")
	}

	delivery := "/api/deliveries/" + keyed.String() + "/" + endpoint.String()
	b.exec(`UPDATE outhook.deliveries SET state = 'succeeded', completed_at = now(), next_attempt_at = NULL WHERE event_id = $1`, keyed)
	p := b.requireProblem(b.do("POST", delivery+"/replay", ""), 409)
	require.Equal(t, "delivery_in_order", p.Code)
	b.requireFault(b.do("POST", delivery+"/replay", `{"force":1}`), 422, "body.force", "true or false")
	require.Equal(t, "pending", b.requireObject(b.do("POST", delivery+"/replay", `{"force":true}`), 200)["state"])
}
