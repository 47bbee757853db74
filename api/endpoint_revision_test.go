package api_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
)

// revisions returns what an endpoint has been, oldest first.
func (b *testBundle) revisions(key string, endpoint uuid.UUID) (items []object) {
	b.t.Helper()
	answer := b.requireObject(b.as(key, "GET", "/api/endpoints/"+endpoint.String()+"/revisions?order=asc", ""), 200)
	for _, item := range answer["items"].([]any) {
		items = append(items, item.(object))
	}
	return items
}

// Each change of what an endpoint gets and how is a revision, whichever statement makes it, with whose order it was; what
// changes nothing of that is none.
func TestEndpointRevisions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenantKey, keyID := b.newKey("tenant", ownTenant)
	made := b.requireObject(b.do("POST", "/api/endpoints", `{"tenant_id":"acme","uid":"main","event_types":["a"],"url":"https://Hooks.example.com:8443/s3cret?t=1"}`), 201)
	id := uuid.MustParse(made["id"].(string))
	patch := func(key, body string) {
		b.t.Helper()
		b.requireObject(b.as(key, "PATCH", "/api/endpoints/"+id.String(), body), 200)
	}
	const admin = "OUTHOOK_API_KEY"
	require.Len(t, b.revisions(adminKey, id), 1)
	first := b.revisions(adminKey, id)[0]
	require.Equal(t, []any{}, first["changed"])
	require.Equal(t, []any{admin, "create-endpoint", "hooks.example.com:8443", false}, []any{first["by"], first["action"], first["host"], first["first_known"]})

	n := 1
	added := func(by, action any, changed ...any) object {
		t.Helper()
		all := b.revisions(adminKey, id)
		require.Len(t, all, n+1, "%v", changed)
		n++
		last := all[n-1]
		require.Equal(t, changed, last["changed"])
		require.Equal(t, []any{by, action}, []any{last["by"], last["action"]})
		return last
	}
	patch(adminKey, `{"event_types":["a","b.*"]}`)
	require.Equal(t, []any{"a", "b.*"}, added(admin, "update-endpoint", "event_types")["event_types"])
	patch(tenantKey, `{"status":"paused","timeout_ms":2000}`)
	require.Equal(t, keyID.String(), added("tenant of acme", "update-endpoint", "status", "timeout_ms")["key_id"])
	patch(tenantKey, `{"rate_limit":{"requests":7,"per":"minute","burst":2},"max_in_flight":3,"retry_schedule":["1m"],"retry_jitter":0.5}`)
	last := added("tenant of acme", "update-endpoint", "max_in_flight", "rate_limit", "retry_schedule", "retry_jitter")
	require.Equal(t, object{"requests": 7.0, "per": "minute", "burst": 2.0}, last["rate_limit"])
	require.Equal(t, []any{"1m"}, last["retry_schedule"])
	patch(adminKey, `{"url":"https://user:s3cret@other.example.com/x@y","status":"enabled"}`)
	require.Equal(t, "other.example.com", added(admin, "update-endpoint", "status", "host")["host"])
	b.requireObject(b.do("PUT", "/api/endpoints/main", `{"tenant_id":"acme","url":"https://other.example.com"}`), 200)
	require.Nil(t, added(admin, "put-endpoint", "event_types", "timeout_ms", "max_in_flight", "rate_limit", "retry_schedule", "retry_jitter")["rate_limit"])

	for _, nothing := range []string{`{"description":"x"}`, `{"url":"https://other.example.com/path"}`, `{"metadata":{"a":"b"},"headers":{"a":"b"}}`} {
		patch(adminKey, nothing)
	}
	b.exec(`UPDATE outhook.endpoints SET lane = 'slow', lane_reason = 'slow', lane_changed_at = now(), cancel_since = now()`)
	b.requireObject(b.do("GET", "/api/endpoints/"+id.String()+"/secret", ""), 200)
	_, err := db.New().DisableEndpoint(t.Context(), b.pool, "gone", id)
	require.NoError(t, err)
	require.Equal(t, "gone", added(nil, nil, "status")["status_reason"], "a worker's has nobody's name, also beside another order")
	b.requireObject(b.do("GET", "/api/endpoints/"+id.String()+"/secret", ""), 200)
	require.Nil(t, b.revisions(adminKey, id)[n-1]["by"])

	require.Equal(t, 204, b.as(tenantKey, "DELETE", "/api/endpoints/main", "").status)
	require.Equal(t, true, added("tenant of acme", "delete-endpoint", "deleted")["deleted"], "a deleted one is named by its id")
	require.Equal(t, 404, b.do("GET", "/api/endpoints/main/revisions?tenant_id=acme", "").status)
	require.Equal(t, 404, b.do("GET", "/api/endpoints/"+uuid.NewString()+"/revisions", "").status)

	own := b.revisions(tenantKey, id)
	require.Equal(t, []any{"operator", nil}, []any{own[0]["by"], own[0]["key_id"]}, "a tenant sees its own keys")
	require.Equal(t, []any{"tenant of acme", keyID.String()}, []any{own[2]["by"], own[2]["key_id"]})
	require.NotContains(t, string(b.do("GET", "/api/endpoints/"+id.String()+"/revisions", "").body), "s3cret")
}
