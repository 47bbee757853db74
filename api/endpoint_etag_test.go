package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEndpointPreconditions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.newEndpoint("acme", `,"uid":"main"`)
	path := "/api/endpoints/" + id.String()
	etag := func(r response) string {
		t.Helper()
		require.Equal(t, 200, r.status, "%s", r.body)
		require.Regexp(t, `^"[0-9a-z]+"$`, r.header.Get("ETag"))
		return r.header.Get("ETag")
	}
	failed := func(r response) {
		t.Helper()
		require.Equal(t, "precondition_failed", b.requireProblem(r, http.StatusPreconditionFailed).Code)
	}

	first := etag(b.do("GET", path, ""))
	second := etag(b.do("PATCH", path, `{"description":"1"}`, "If-Match", first))
	require.NotEqual(t, first, second)
	require.Equal(t, second, etag(b.do("PATCH", path, `{"description":"1"}`)), "nothing has changed")
	failed(b.do("PATCH", path, `{"description":"2"}`, "If-Match", first))
	failed(b.do("PATCH", path, `{"description":"2"}`, "If-Match", "W/"+second)) // strong comparison
	failed(b.do("PUT", path, `{"tenant_id":"acme","url":"https://example.com"}`, "If-Match", first))
	failed(b.do("DELETE", path, "", "If-Match", first))
	failed(b.do("PUT", "/api/endpoints/none", `{"tenant_id":"acme","url":"https://example.com"}`, "If-Match", "*"))
	failed(b.do("PUT", "/api/endpoints/main", `{"tenant_id":"acme","url":"https://example.com"}`, "If-None-Match", "*"))
	require.Equal(t, 201, b.do("PUT", "/api/endpoints/new", `{"tenant_id":"acme","url":"https://example.com"}`, "If-None-Match", "*").status)
	third := etag(b.do("PATCH", path, `{"description":"3"}`, "If-Match", first+` , `+second))
	require.Equal(t, third, etag(b.do("PATCH", path, `{}`, "If-Match", "*")))

	r := b.do("GET", path, "", "If-None-Match", `"x", W/`+third)
	require.Equal(t, http.StatusNotModified, r.status)
	require.Empty(t, r.body)
	require.Equal(t, third, r.header.Get("ETag"))
	require.Equal(t, 200, b.do("GET", path, "", "If-None-Match", second).status)

	// What the workers see and do leaves it, but for the status.
	b.exec(`INSERT INTO outhook.endpoint_health (endpoint_id, consecutive_failures, failing_since) VALUES ($1, 3, now())`, id)
	b.exec(`UPDATE outhook.endpoints SET lane = 'slow', lane_reason = 'slow', lane_changed_at = now() WHERE id = $1`, id)
	require.Equal(t, third, etag(b.do("GET", path, "")))
	// A clock that is set back makes no ETag that was there before.
	b.exec(`UPDATE outhook.endpoints SET updated_at = now() + interval '1 hour' WHERE id = $1`, id)
	ahead := etag(b.do("GET", path, ""))
	require.NotEqual(t, ahead, etag(b.do("PATCH", path, `{"description":"4"}`)))
	require.Equal(t, 204, b.do("DELETE", path, "", "If-Match", etag(b.do("GET", path, ""))).status)

	created := b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com"}`)
	require.Equal(t, created.header.Get("ETag"), etag(b.do("GET", created.header.Get("Location"), "")))
}
