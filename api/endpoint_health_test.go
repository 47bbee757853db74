package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/health"
)

func TestEndpointHealth(t *testing.T) {
	t.Parallel()

	t.Run("IsShownAndBeginsAnewWhenTheEndpointIsEnabled", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		path := "/api/endpoints/" + id.String()
		health := func(r response) object { return b.requireObject(r, 200)["health"].(object) }
		require.Equal(t, "healthy", health(b.do("GET", path, ""))["state"])
		require.Nil(t, health(b.do("GET", path, ""))["last_success_at"])

		b.exec(`INSERT INTO outhook.endpoint_health (endpoint_id, state, state_changed_at, consecutive_failures, failing_since,
			last_success_at, last_failure_at, last_status_code, probe_at) VALUES ($1, 'failing', '2026-01-02T03:04:05Z', 7,
			'2026-01-02T03:04:05Z', '2026-01-01T03:04:05Z', '2026-01-03T03:04:05Z', 503, '2026-01-04T03:04:05Z')`, id)
		want := object{
			"state": "failing", "state_changed_at": "2026-01-02T03:04:05Z", "consecutive_failures": 7.0,
			"failing_since": "2026-01-02T03:04:05Z", "last_success_at": "2026-01-01T03:04:05Z",
			"last_failure_at": "2026-01-03T03:04:05Z", "last_status_code": 503.0, "last_error": nil, "probe_at": nil,
		}
		require.Equal(t, want, health(b.do("GET", path, "")))
		items := b.requireObject(b.do("GET", "/api/endpoints", ""), 200)["items"].([]any)
		require.Equal(t, want, items[0].(object)["health"])

		disabled := health(b.do("PATCH", path, `{"status":"disabled"}`))
		require.Equal(t, "disabled", disabled["state"])
		require.Equal(t, "2026-01-04T03:04:05Z", disabled["probe_at"])
		enabled := health(b.do("PATCH", path, `{"status":"enabled"}`))
		require.Equal(t, "healthy", enabled["state"])
		require.Zero(t, enabled["consecutive_failures"])
		require.Nil(t, enabled["failing_since"])
		require.Equal(t, "2026-01-01T03:04:05Z", enabled["last_success_at"])
		require.Zero(t, b.count(`SELECT count(*) FROM outhook.endpoint_health WHERE probe_at IS NOT NULL`))
	})

	t.Run("TheOperatorTenantHasEndpointsAndNoPublisher", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.Equal(t, health.OperatorTenant, b.requireObject(b.do("GET", "/api/endpoints/"+
			b.newEndpoint("outhook.operator", `,"event_types":["outhook.endpoint.*"]`).String(), ""), 200)["tenant_id"])
		b.requireFault(b.do("POST", "/api/events", `{"tenant_id":"outhook.operator","type":"a","payload":{}}`), 422, "body.tenant_id", "reserved")
		r := b.do("POST", "/api/events/batch", `{"events":[{"tenant_id":"outhook.operator","type":"a","payload":{}}]}`)
		require.Equal(t, 422, r.status, "%s", r.body)
	})
}
