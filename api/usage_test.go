package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type usageItem struct {
	From, To     time.Time
	TenantID     *string `json:"tenant_id"`
	Type         *string
	Events       int
	Deliveries   int
	Attempts     int
	PayloadBytes int `json:"payload_bytes"`
	Final        bool
}

func TestUsage(t *testing.T) {
	t.Parallel()
	b := setup(t)

	// Two hours of each of 40 days from the first of March 2026 on, of two tenants and two types; final until the tenth of April.
	b.exec(`INSERT INTO outhook.usage_hours (hour, tenant_id, type, events, deliveries, attempts, payload_bytes)
		SELECT '2026-03-01T00:00:00Z'::timestamptz + make_interval(days => d, hours => h), n, y, 1, 2, 3, 100
		FROM generate_series(0, 39) AS d, unnest('{5,23}'::integer[]) AS h, unnest('{acme,other}'::text[]) AS n, unnest('{a.b,a.c}'::text[]) AS y`)
	b.exec(`INSERT INTO outhook.usage_counts (hour, counted_at) SELECT h, h + interval '25 hours'
		FROM generate_series('2026-03-01T00:00:00Z'::timestamptz, '2026-04-09T04:00:00Z', interval '1 hour') AS h`)
	b.exec(`INSERT INTO outhook.usage_counts (hour, counted_at) SELECT h, h + interval '2 hours'
		FROM generate_series('2026-04-09T05:00:00Z'::timestamptz, '2026-04-09T23:00:00Z', interval '1 hour') AS h`)

	get := func(query, key string) []usageItem {
		r := b.do(http.MethodGet, "/api/usage?"+query, "", "Authorization", "Bearer "+key)
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
		return decode[struct{ Items []usageItem }](t, r).Items
	}
	const march = "from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z"
	day := func(month time.Month, d int) time.Time { return time.Date(2026, month, d, 0, 0, 0, 0, time.UTC) }

	items := get(march, adminKey)
	require.Len(t, items, 62, "by day and tenant")
	acme := "acme"
	require.Equal(t, usageItem{day(3, 1), day(3, 2), &acme, nil, 4, 8, 12, 400, true}, items[0])

	items = get("from=2026-03-01T00:00:00Z&to=2026-05-01T00:00:00Z&group_by=month", adminKey)
	require.Equal(t, []usageItem{
		{day(3, 1), day(4, 1), nil, nil, 31 * 8, 31 * 16, 31 * 24, 31 * 800, true},
		{day(4, 1), day(5, 1), nil, nil, 9 * 8, 9 * 16, 9 * 24, 9 * 800, false},
	}, items)

	// A part of a day, of an hour nothing, and all of it as one.
	items = get("from=2026-03-01T05:00:01Z&to=2026-03-02T05:59:00Z&group_by=none&tenant_id=acme&type=a.*", adminKey)
	require.Equal(t, []usageItem{{day(3, 1).Add(6 * time.Hour), day(3, 2).Add(5 * time.Hour), nil, nil, 2, 4, 6, 200, true}}, items)
	items = get("from=2026-04-09T00:00:00Z&to=2026-04-10T00:00:00Z&group_by=hour,type,tenant&tenant_id=acme", adminKey)
	require.Len(t, items, 4)
	require.Equal(t, "a.b", *items[0].Type)
	require.False(t, items[0].Final, "the hour from 5 on was counted once")
	require.Empty(t, get("type=x", adminKey))

	// Pages are parts of the same list.
	var paged []usageItem
	for query := march + "&limit=25"; query != ""; {
		r := b.do(http.MethodGet, "/api/usage?"+query, "")
		page := decode[struct {
			Items      []usageItem
			NextCursor string `json:"next_cursor"`
		}](t, r)
		paged, query = append(paged, page.Items...), ""
		if page.NextCursor != "" {
			query = march + "&limit=25&cursor=" + page.NextCursor
		}
	}
	require.Equal(t, get(march, adminKey), paged)

	// A key that is bound to a tenant sees that tenant's.
	key := b.requireObject(b.do(http.MethodPost, "/api/keys", `{"name":"k","scope":"read","tenant_id":"other"}`), 201)["key"].(string)
	for _, item := range append(get(march, key), get(march+"&tenant_id=other", key)...) {
		require.Equal(t, "other", *item.TenantID)
	}
	require.Len(t, get(march, key), 31)
	require.Empty(t, get(march+"&tenant_id=acme", key))

	for query, at := range map[string]string{
		"group_by=day,hour": "query.group_by", "group_by=week": "query.group_by[0]", "type=" + strings.Repeat("a", 256): "query.type",
		"from=today": "query.from", "cursor=x": "query.cursor", "limit=1001": "query.limit",
	} {
		b.requireFault(b.do(http.MethodGet, "/api/usage?"+query, ""), http.StatusUnprocessableEntity, at, "")
	}
}
