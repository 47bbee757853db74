package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/client"
)

// A page stands without what can't be had at this moment, and says so in its place. Somebody has locked the tables that it
// reads beside what it is about.
func TestPagesStandWithoutTheirParts(t *testing.T) {
	t.Parallel()
	b := start(t, httptest.NewUnstartedServer(nil), nil, func(cfg *api.Config) { cfg.Timeouts.Query = 1500 * time.Millisecond })
	w := b.seed()
	b.administer(&w)
	b.note()
	w.erasure = b.maintain()
	person := b.login(adminKey)
	missing := func(parts ...string) (texts []string) {
		for _, p := range parts {
			texts = append(texts, p+" are missing: the database takes too long for them at this moment.")
		}
		return texts
	}
	for _, c := range []struct {
		path, locked string
		want         []string
	}{
		{
			"/console", "rollups, endpoint_health, deliveries, leases",
			missing("The counts", "The endpoints that need attention", "The failed deliveries", "The workers"),
		},
		{"/console?tenant=acme", "rollups", append(missing("The counts"), "acme-warehouse")},
		{
			"/console/endpoints/" + w.failing, "rollups, deliveries, tenants",
			append(missing("The charts", "The latest deliveries"), "connection refused"),
		},
		{"/console/endpoints/" + w.failing + "/history", "endpoint_health", []string{"History of " + w.failing}},
		{"/console/endpoints", "rollups", []string{"acme-warehouse"}},
		{
			"/console/events/" + w.event, "endpoint_revisions, delivery_attempts, tenants, endpoint_health",
			append(missing("The reasons", "The attempts"), "in_1042", "Pending"),
		},
		{
			"/console/deliveries/" + w.event + "/" + w.failing, "delivery_attempts, tenants",
			append(missing("The reasons", "The attempts"), "Next attempt"),
		},
		{"/console/deliveries", "endpoint_health", []string{"invoice.paid"}},
		{
			"/console/tenants/acme?erasure=" + w.erasure, "rollups, endpoint_health, usage_hours, pauses",
			append(missing("The counts", "The endpoints", "The days", "The pauses"), "ACME GmbH", "its endpoints with their secrets"),
		},
		{"/console/tenants", "usage_hours", append(missing("The counts"), "ACME GmbH")},
		{"/console/operations/" + w.running, "endpoint_health", []string{"Recover an endpoint"}},
		{"/console/live", "delivery_attempts", []string{"data-stream"}},
		{"/console/system", "leases", append(missing("The queues and workers"), "This process")},
	} {
		tx, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		for table := range strings.SplitSeq(c.locked, ", ") {
			_, err = tx.Exec(t.Context(), "LOCK TABLE outhook."+table)
			require.NoError(t, err)
		}
		a := person.get(c.path)
		require.NoError(t, tx.Rollback(t.Context()))
		for _, text := range c.want {
			requirePage(t, a, text)
		}
		require.NotContains(t, person.get(c.path).body, "are missing", c.path)
	}
}

// mostCalls is how many requests to the API a page makes at most, however many rows it has.
const mostCalls = 10

// However much there is of everything, a page asks the API a few times.
func TestPagesAskSeldom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	b.administer(&w)
	b.note()
	w.erasure = b.maintain()
	b.crowd(&w)

	person := b.login(adminKey)
	for pattern, paths := range tried(w) {
		for name, path := range paths {
			before := b.calls.Load()
			a := person.get(path)
			calls := b.calls.Load() - before
			t.Logf("%-30s %2d calls, %3d KB", name, calls, len(a.body)>>10)
			require.LessOrEqual(t, calls, int64(mostCalls), name)
			require.LessOrEqual(t, len(a.body), largePage, name)
			if pattern == "GET /console/deliveries" && name == "deliveries" {
				require.Equal(t, 50, strings.Count(a.body, ".crowd.example"), "each row names its endpoint")
			}
		}
	}

	event := person.get("/console/events/" + w.event)
	requirePage(t, event, `href="/console/deliveries?event=`+w.event+`"`)
	requirePage(t, event, "All 302")
	requirePage(t, person.get("/console/deliveries?event="+w.event), ".crowd.example")
	require.Equal(t, http.StatusOK, event.status)
}

// crowd makes many of everything. The event of the world is one for hundreds of endpoints, as many others have none.
func (b *bundle) crowd(w *world) {
	b.t.Helper()
	b.exec(`INSERT INTO outhook.endpoints (id, tenant_id, url, event_types) SELECT outhook.uuid_v7(clock_timestamp(), i), 'acme',
		'https://e' || i || '.crowd.example', CASE WHEN i % 2 = 0 THEN '{crowd.seen}' ELSE '{nothing}' END::text[] FROM generate_series(1, 600) AS i`)
	stored, err := b.api.CreateEvent(b.t.Context(), client.NewEvent{TenantID: "acme", Type: "crowd.seen", Payload: []byte(`{}`)}, client.CreateEventParams{})
	require.NoError(b.t, err)
	w.event = stored.ID
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, status_code)
		SELECT d.event_id, d.endpoint_id, n, now(), 'rejected', 503 FROM outhook.deliveries AS d, generate_series(1, 3) AS n WHERE d.event_id = $1`, w.event)
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', reason = 'exhausted', attempt_count = 3, try_count = 3, completed_at = now(), next_attempt_at = NULL
		WHERE event_id = $1 AND endpoint_id IN (SELECT id FROM outhook.endpoints WHERE url LIKE '%4.crowd.example')`, w.event)
	b.exec(`INSERT INTO outhook.usage_hours (hour, tenant_id, type, events, deliveries, attempts, payload_bytes)
		SELECT date_trunc('day', now(), 'UTC'), 'tenant-' || i, 'a', i, i, i, i FROM generate_series(1, 100) AS i`)
	for i := range 60 {
		name := fmt.Sprintf("Tenant %d", i)
		_, err := b.api.PutTenant(b.t.Context(), fmt.Sprintf("tenant-%d", i), client.NewTenant{Name: &name}, client.PutTenantParams{})
		require.NoError(b.t, err)
		b.key("read", fmt.Sprintf("tenant-%d", i))
	}
}
