package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// newLater publishes an event that is to be delivered in an hour.
func (b *testBundle) newLater(tenant, key string) string {
	b.t.Helper()
	r := b.do("POST", "/api/events", fmt.Sprintf(`{"tenant_id":%q,"type":"a.b","payload":{},"idempotency_key":%q,"deliver_at":%q}`,
		tenant, key, time.Now().Add(time.Hour).Format(time.RFC3339Nano)))
	return b.requireObject(r, 202)["id"].(string)
}

// An event for later says when, in its own answer and in lists, and what is no time is refused.
func TestEventsForLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "").String()
	id := b.newLater("acme", "")
	now := b.newEvent("acme", "a.b").String()

	got := b.requireObject(b.do("GET", "/api/events/"+id, ""), 200)
	require.Nil(t, got["withdrawn_at"])
	at, err := time.Parse(time.RFC3339Nano, got["deliver_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), at, time.Minute)
	require.Equal(t, got["deliver_at"], got["deliveries"].([]any)[0].(object)["next_attempt_at"])
	require.Nil(t, b.requireObject(b.do("GET", "/api/events/"+now, ""), 200)["deliver_at"])
	items := b.requireObject(b.do("GET", "/api/events?tenant_id=acme", ""), 200)["items"].([]any)
	require.Nil(t, items[0].(object)["deliver_at"])
	require.Equal(t, got["deliver_at"], items[1].(object)["deliver_at"])

	why := b.why(adminKey, uuid.MustParse(id), "?endpoint_id="+endpoint)[0]
	require.Equal(t, "waiting_for_time", why["because"])
	require.Equal(t, got["deliver_at"], why["until"])
	stats := b.requireObject(b.do("GET", "/api/stats?tenant_id=acme", ""), 200)["backlog"].(object)
	require.EqualValues(t, 2, stats["pending"])
	require.EqualValues(t, 1, stats["due"])

	for _, wrong := range []string{`"tomorrow"`, `1700000000`, `"` + time.Now().Add(31*24*time.Hour).Format(time.RFC3339) + `"`} {
		p := b.requireProblem(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1,"deliver_at":`+wrong+`}`), 422)
		require.Equal(t, "body.deliver_at", p.Errors[0].Location, wrong)
	}
	for _, atOnce := range []string{`null`, `"2020-01-01T00:00:00Z"`} {
		r := b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a.b","payload":1,"deliver_at":`+atOnce+`}`)
		id := b.requireObject(r, 202)["id"].(string)
		require.Nil(t, b.requireObject(b.do("GET", "/api/events/"+id, ""), 200)["deliver_at"])
	}
}

// It is taken back by its id or its key, once, and is not delivered by any order from then on.
func TestCancelEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "").String()
	tenantKey, _ := b.newKey("tenant", "acme")
	byID, byKey := b.newLater("acme", "a"), b.newLater("acme", "b/?&")
	audited := func(id string) int {
		return b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'cancel-event' AND object_type = 'event' AND object_id = $1
			AND tenant_id = 'acme'`, id)
	}

	for id, query := range map[string]string{byID: "id=" + byID, byKey: "key=b%2F%3F%26"} {
		for _, want := range []int{1, 0} {
			got := b.requireObject(b.as(tenantKey, "POST", "/api/events/cancel?"+query, ""), 200)
			require.Equal(t, id, got["id"])
			require.EqualValues(t, want, got["cancelled"])
			require.Equal(t, 1, audited(id))
		}
		require.NotNil(t, b.requireObject(b.do("GET", "/api/events/"+id, ""), 200)["withdrawn_at"])
		d := b.requireObject(b.do("GET", "/api/deliveries/"+id+"/"+endpoint, ""), 200)
		require.Equal(t, "cancelled", d["state"])
		require.Equal(t, "withdrawn", d["reason"])
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.river_job WHERE args ->> 'event_id' = $1 AND state = 'cancelled'`, id))
		why := b.why(adminKey, uuid.MustParse(id), "")[0]
		require.Contains(t, why["text"], "taken back")

		for _, path := range []string{"/replay", "/replay?now=true"} {
			p := b.requireProblem(b.do("POST", "/api/deliveries/"+id+"/"+endpoint+path, ""), 409)
			require.Equal(t, "event_withdrawn", p.Code)
		}
		many := b.requireObject(b.do("POST", "/api/deliveries/replay",
			`{"deliveries":[{"event_id":"`+id+`","endpoint_id":"`+endpoint+`"}],"now":true}`), 200)
		require.Contains(t, fmt.Sprint(many), "event_withdrawn")
	}
	list := b.requireObject(b.do("GET", "/api/deliveries?reason=withdrawn", ""), 200)
	require.Len(t, list["items"], 2)

	t.Run("NotWhatIsDue", func(t *testing.T) {
		t.Parallel()
		due := b.newLater("acme", "c")
		b.exec(`UPDATE outhook.events SET deliver_at = now() - interval '1 ms' WHERE id = $1`, due)
		for _, id := range []string{due, b.newEvent("acme", "a.b").String()} {
			p := b.requireProblem(b.do("POST", "/api/events/cancel?id="+id, ""), 409)
			require.Equal(t, "event_due", p.Code)
			require.Equal(t, "pending", b.requireObject(b.do("GET", "/api/deliveries/"+id+"/"+endpoint, ""), 200)["state"])
			require.Zero(t, audited(id))
		}
	})

	t.Run("WhatIsErased", func(t *testing.T) {
		t.Parallel()
		id := b.newLater("acme", "e")
		require.Equal(t, 409, b.do("DELETE", "/api/events/"+id+"/payload", "").status)
		require.Equal(t, 204, b.do("DELETE", "/api/events/"+id+"/payload?force=true", "").status)
		require.EqualValues(t, 0, b.requireObject(b.do("POST", "/api/events/cancel?key=e&tenant_id=acme", ""), 200)["cancelled"])
		require.Equal(t, "payload_gone", b.requireObject(b.do("GET", "/api/deliveries/"+id+"/"+endpoint, ""), 200)["reason"])
	})

	t.Run("WhatIsNotThere", func(t *testing.T) {
		t.Parallel()
		foreign := b.newLater("globex", "d")
		require.Equal(t, 404, b.as(tenantKey, "POST", "/api/events/cancel?id="+foreign, "").status)
		require.Equal(t, 404, b.as(tenantKey, "POST", "/api/events/cancel?key=d", "").status)
		require.Equal(t, 403, b.as(tenantKey, "POST", "/api/events/cancel?key=d&tenant_id=globex", "").status)
		for query, at := range map[string]string{
			"": "query.id", "id=" + byID + "&key=a": "query.id", "id=17": "query.id", "key=a": "query.tenant_id",
		} {
			p := b.requireProblem(b.do("POST", "/api/events/cancel?"+query, ""), 422)
			require.Equal(t, at, p.Errors[0].Location, query)
		}
	})
}
