package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErasingATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.do("DELETE", "/api/tenants/a%2Fb%20c/data", "")
	got := b.requireObject(r, 202)
	require.Equal(t, "a/b c", got["tenant_id"])
	require.Equal(t, "running", got["state"])
	require.Nil(t, got["completed_at"])
	require.Equal(t, "/api/erasures/"+got["id"].(string), r.header.Get("Location"))
	require.Equal(t, got, b.requireObject(b.do("GET", r.header.Get("Location"), ""), 200))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.river_job WHERE kind = 'erase' AND args ->> 'erasure_id' = $1`, got["id"]))

	again := b.requireObject(b.do("DELETE", "/api/tenants/a%2Fb%20c/data", ""), 202)
	require.Equal(t, got["id"], again["id"], "it begins anew")
	b.exec(`UPDATE outhook.tenant_erasures SET completed_at = now(), payload_count = 7`)
	done := b.requireObject(b.do("GET", r.header.Get("Location"), ""), 200)
	require.Equal(t, "completed", done["state"])
	require.EqualValues(t, 7, done["payload_count"])

	for path, want := range map[string]string{"100%25": "100%", "a%20b": "a b", "%C3%A9": "é", "a%252Fb": "a%2Fb"} {
		require.Equal(t, want, b.requireObject(b.do("DELETE", "/api/tenants/"+path+"/data", ""), 202)["tenant_id"])
	}
	b.requireProblem(b.do("GET", "/api/erasures/00000000-0000-7000-8000-000000000000", ""), 404)
	b.requireProblem(b.do("DELETE", "/api/tenants/"+strings.Repeat("x", 256)+"/data", ""), 422)
	b.requireProblem(b.do("DELETE", "/api/tenants/%00/data", ""), 422)
	require.Equal(t, 401, b.do("DELETE", "/api/tenants/acme/data", "", "Authorization", "Bearer wrong").status)
}

func TestAPayloadThatIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint, event := b.newEndpoint("acme", ""), b.newEvent("acme", "a.b")
	path := "/api/events/" + event.String()
	require.Equal(t, false, b.requireObject(b.do("GET", path, ""), 200)["payload_erased"])
	b.exec(`UPDATE outhook.events SET payload = NULL`)
	got := b.requireObject(b.do("GET", path, ""), 200)
	require.Equal(t, true, got["payload_erased"])
	require.Contains(t, got, "payload")
	require.Nil(t, got["payload"])
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', completed_at = now()`)
	p := b.requireProblem(b.do("POST", "/api/deliveries/"+event.String()+"/"+endpoint.String()+"/replay", ""), 409)
	require.Contains(t, p.Detail, "payload is gone")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.report_events WHERE payload_bytes IS NULL`))
}
