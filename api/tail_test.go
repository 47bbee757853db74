package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// followed is the answer of GET /api/attempts.
type followed struct {
	Items []struct {
		EventID  uuid.UUID `json:"event_id"`
		Number   int       `json:"number"`
		TenantID string    `json:"tenant_id"`
		Type     string    `json:"type"`
		Outcome  string    `json:"outcome"`
	} `json:"items"`
	NextCursor string `json:"next_cursor"`
	More       bool   `json:"more"`
}

// logAttempts stores an event of a tenant with an endpoint, and attempts of it that ended some seconds ago.
func (b *testBundle) logAttempts(t *testing.T, tenantID, eventType, outcome string, number int, endedAgo float64) {
	t.Helper()
	b.exec(`
		WITH n AS (INSERT INTO outhook.endpoints (id, tenant_id, url) VALUES (outhook.uuid_v7(), $1, 'https://example.com/') RETURNING id),
		e AS (INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
			SELECT v.id, outhook.uuid_v7_time(v.id), $1, $2, '1' FROM (SELECT outhook.uuid_v7() AS id) AS v RETURNING id)
		INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome)
		SELECT e.id, n.id, $4, now() - make_interval(secs => $5 + 2), CASE WHEN $3 <> 'unknown' THEN 2000 END,
			$3::outhook.attempt_outcome
		FROM e, n`, tenantID, eventType, outcome, number, endedAgo)
}

func (b *testBundle) follow(t *testing.T, query string) followed {
	t.Helper()
	r := b.do(http.MethodGet, "/api/attempts?"+query, "")
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	return decode[followed](t, r)
}

func (f followed) types() string {
	names := make([]string, len(f.Items))
	for i, item := range f.Items {
		names[i] = item.Type
	}
	return strings.Join(names, " ")
}

func TestAttemptsAreFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	since := "since=" + time.Now().Add(-10*time.Minute).UTC().Format(time.RFC3339)
	require.Empty(t, b.follow(t, "").Items)
	b.logAttempts(t, "acme", "a.third", "rejected", 1, 100)
	b.logAttempts(t, "acme", "a.first", "succeeded", 2, 500)
	b.logAttempts(t, "other", "a.second", "timed_out", 1, 300)

	// From now on: what ended before is not shown. With since: all of it, in the order of their end, page by page.
	require.Empty(t, b.follow(t, "").Items)
	all := b.follow(t, since)
	require.Equal(t, "a.first a.second a.third", all.types())
	require.False(t, all.More)
	one := b.follow(t, since+"&limit=2")
	require.Equal(t, "a.first a.second", one.types())
	require.True(t, one.More)
	two := b.follow(t, "limit=2&cursor="+one.NextCursor)
	require.Equal(t, "a.third", two.types())
	require.False(t, two.More)

	// What becomes visible late, with an end before those that were read, is found by the overlap; older ones are not repeated.
	b.logAttempts(t, "acme", "a.late", "succeeded", 1, 4)
	require.Equal(t, "a.late", b.follow(t, "cursor="+two.NextCursor).types())
	b.logAttempts(t, "acme", "a.later", "succeeded", 1, 6)
	next := b.follow(t, "cursor="+two.NextCursor)
	require.Equal(t, "a.later a.late", next.types())
	require.Equal(t, "a.later a.late", b.follow(t, "cursor="+next.NextCursor).types(), "the overlap is read again")

	// An attempt whose worker died has no end.
	b.logAttempts(t, "acme", "a.dead", "unknown", 1, 20)
	require.Contains(t, b.follow(t, "cursor="+next.NextCursor).types(), "a.dead")

	require.Equal(t, "a.second", b.follow(t, since+"&tenant_id=other").types())
	require.Equal(t, "a.first", b.follow(t, since+"&type=a.first").types())
	require.Equal(t, "a.second a.third", b.follow(t, since+"&outcome=rejected,timed_out").types())
	key := "Bearer " + b.requireObject(b.do(http.MethodPost, "/api/keys", `{"name":"k","scope":"read","tenant_id":"other"}`), 201)["key"].(string)
	for _, query := range []string{since, since + "&tenant_id=other"} {
		r := b.do(http.MethodGet, "/api/attempts?"+query, "", "Authorization", key)
		require.Equal(t, "a.second", decode[followed](t, r).types(), "a key that is bound to a tenant sees that tenant's")
	}
	r := b.do(http.MethodGet, "/api/attempts?"+since+"&tenant_id=acme", "", "Authorization", key)
	require.Empty(t, decode[followed](t, r).Items)
	require.Equal(t, 2, all.Items[0].Number)
	require.Equal(t, "acme", all.Items[0].TenantID)
}

func TestFollowingRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for query, want := range map[string]string{
		"cursor=x": "query.cursor", "cursor=e30": "query.cursor", "outcome=good": "query.outcome[0]", "limit=1001": "query.limit",
		"endpoint_id=x%20y": "query.endpoint_id", "endpoint_id=x": "query.tenant_id", "since=yesterday": "query.since",
	} {
		b.requireFault(b.do(http.MethodGet, "/api/attempts?"+query, ""), http.StatusUnprocessableEntity, want, "")
	}
}
