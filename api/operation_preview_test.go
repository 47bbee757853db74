package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// A dry run counts what the order would replay, and orders nothing.
func TestPreviews(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second, other := b.newEndpoint("acme", `,"uid":"first"`), b.newEndpoint("acme", ""), b.newEndpoint("globex", "")
	var events []uuid.UUID
	for range 5 {
		events = append(events, b.newEvent("acme", "invoice.paid"))
	}
	foreign := b.newEvent("globex", "order.paid")
	settle := func(event, endpoint uuid.UUID, state, reason string) {
		b.exec(`UPDATE outhook.deliveries SET state = $3::outhook.delivery_state, reason = nullif($4, ''), completed_at = now(), next_attempt_at = NULL
			WHERE event_id = $1 AND endpoint_id = $2`, event, endpoint, state, reason)
	}
	for _, event := range events[:3] {
		settle(event, first, "failed", "exhausted")
		settle(event, second, "succeeded", "")
	}
	settle(events[3], first, "cancelled", "endpoint_disabled")
	settle(events[3], second, "failed", "exhausted")
	settle(events[4], first, "cancelled", "cancelled")
	settle(foreign, other, "failed", "exhausted")

	since := "?since=" + time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	counts := func(key, path string) string {
		t.Helper()
		r := b.as(key, http.MethodGet, path, "")
		o := b.requireObject(r, 200)
		require.Equal(t, true, o["complete"])
		return fmt.Sprint(o["replay_count"], " of ", o["endpoint_count"], ", ", o["skip_count"])
	}
	const operations = "/api/operations/preview"
	recovery := "/api/endpoints/" + first.String() + "/recover/preview"
	tenant, _ := b.newKey("read", "acme")

	for path, want := range map[string]string{
		operations + since:                                                                       "5 of 3, 0",
		operations + since + "&tenant_id=acme":                                                   "4 of 2, 0",
		operations + since + "&endpoint_id=" + first.String():                                    "3 of 1, 0",
		operations + since + "&event_types=order.*":                                              "1 of 1, 0",
		operations + since + "&states=succeeded,failed,cancelled":                                "10 of 3, 0",
		operations + since + "&until=" + time.Now().UTC().Add(-time.Minute).Format(time.RFC3339): "0 of 0, 0",
		recovery + since:                    "4 of 1, 0",
		recovery + since + "&states=failed": "3 of 1, 0",
		"/api/endpoints/first/recover/preview" + since + "&tenant_id=acme": "4 of 1, 0",
	} {
		require.Equal(t, want, counts(adminKey, path), path)
	}
	require.Equal(t, "4 of 2, 0", counts(tenant, operations+since))
	require.Zero(t, b.count("SELECT count(*) FROM outhook.operations"))
	require.Zero(t, b.count("SELECT count(*) FROM outhook.audit_entries WHERE action LIKE 'preview%'"))

	// What would be left alone is told apart.
	require.Equal(t, 204, b.do("DELETE", "/api/events/"+events[0].String()+"/payload?force=true", "").status)
	require.Equal(t, "3 of 1, 1", counts(adminKey, recovery+since))
	require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+second.String(), `{"status":"disabled"}`).status)
	require.Equal(t, "2 of 1, 2", counts(tenant, operations+since))
	b.requireProblem(b.do("GET", "/api/endpoints/"+second.String()+"/recover/preview"+since, ""), 409)

	// And what was published while it was disabled.
	require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+first.String(), `{"status":"disabled"}`).status)
	b.newEvent("acme", "invoice.paid")
	require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+first.String(), `{"status":"enabled"}`).status)
	require.Equal(t, "3 of 1, 1", counts(adminKey, recovery+since))
	require.Equal(t, "4 of 1, 1", counts(adminKey, recovery+since+"&missed=true"))

	for path, at := range map[string]string{
		operations: "query.since", operations + "?since=2999-01-01T00:00:00Z": "query.since",
		operations + since + "&until=2020-01-01T00:00:00Z": "query.until", operations + since + "&event_types=*": "query.event_types[0]",
		operations + since + "&states=pending": "query.states[0]", recovery + since + "&states=succeeded": "query.states[0]",
		operations + since + "&endpoint_id=" + uuid.NewString(): "query.endpoint_id", operations + since + "&endpoint_id=first": "query.tenant_id",
	} {
		b.requireFault(b.do("GET", path, ""), 422, at, "")
	}
}
