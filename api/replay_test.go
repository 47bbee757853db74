package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestReplayDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint, foreign, ended := b.newEndpoint("acme", ""), b.newEndpoint("other", ""), b.newEndpoint("ended", "")
	item := func(event, endpoint uuid.UUID) string {
		return fmt.Sprintf(`{"event_id":%q,"endpoint_id":%q}`, event, endpoint)
	}
	body := func(items ...string) string { return `{"deliveries":[` + strings.Join(items, ",") + `]}` }
	results := func(r response) (codes []any) {
		t.Helper()
		for _, result := range b.requireObject(r, 200)["results"].([]any) {
			o := result.(object)
			require.Equal(t, o["code"] == nil, o["replayed"])
			require.Equal(t, o["code"] == nil, o["detail"] == nil)
			codes = append(codes, o["code"])
		}
		return codes
	}
	state := func(event, endpoint uuid.UUID) any {
		return b.requireObject(b.do("GET", "/api/deliveries/"+event.String()+"/"+endpoint.String(), ""), 200)["state"]
	}

	t.Run("EachHasItsResultInOrder", func(t *testing.T) {
		t.Parallel()
		settled, pending, gone := b.newEvent("acme", "a"), b.newEvent("acme", "a"), b.newEvent("acme", "a")
		ofForeign, ofEnded := b.newEvent("other", "a"), b.newEvent("ended", "a")
		for _, event := range []uuid.UUID{settled, gone, ofForeign, ofEnded} {
			b.exhaust(event)
		}
		require.Equal(t, 204, b.do("DELETE", "/api/events/"+gone.String()+"/payload", "").status)
		require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+ended.String(), `{"status":"disabled"}`).status)
		order := body(item(gone, endpoint), item(ofForeign, foreign), item(settled, endpoint), item(uuid.New(), endpoint), item(pending, endpoint),
			item(ofEnded, ended), item(settled, foreign))

		key, _ := b.newKey("tenant", "acme")
		dry := strings.Replace(order, "{", `{"dry_run":true,`, 1)
		require.Equal(t, []any{"payload_gone", "not_found", nil, "not_found", "delivery_pending", "not_found", "not_found"},
			results(b.as(key, "POST", "/api/deliveries/replay", dry)), "it tells what would come of it")
		require.Equal(t, "failed", state(settled, endpoint), "and changes nothing")
		require.Zero(t, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'replay-deliveries' AND object_id = $1`,
			settled.String()+"/"+endpoint.String()))
		require.Equal(t, []any{"payload_gone", "not_found", nil, "not_found", "delivery_pending", "not_found", "not_found"},
			results(b.as(key, "POST", "/api/deliveries/replay", order)))
		require.Equal(t, "pending", state(settled, endpoint))
		require.Equal(t, "failed", state(ofForeign, foreign))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.river_job WHERE args ->> 'event_id' = $1 AND args ->> 'base' = '4'
			AND queue = outhook.bulk_queue('acme') AND state = 'available'`, settled.String()))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'replay-deliveries' AND object_type = 'delivery'
			AND object_id = $1 AND tenant_id = 'acme'`, settled.String()+"/"+endpoint.String()))
		require.Zero(t, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'replay-deliveries' AND tenant_id IN ('other', 'ended')`))

		require.Equal(t, []any{"payload_gone", nil, "delivery_pending", "not_found", "delivery_pending", "endpoint_gone", "not_found"},
			results(b.do("POST", "/api/deliveries/replay", order)), "a repetition replays nothing twice")
	})

	t.Run("NowBringsPendingOnesForward", func(t *testing.T) {
		t.Parallel()
		event := b.newEvent("acme", "a")
		b.exec("UPDATE outhook.deliveries SET next_attempt_at = now() + interval '1 hour' WHERE event_id = $1", event)
		b.exec(`UPDATE outhook.river_job SET state = 'retryable', scheduled_at = now() + interval '1 hour' WHERE args ->> 'event_id' = $1`, event.String())
		order := `{"now":true,"deliveries":[` + item(event, endpoint) + `]}`
		require.Equal(t, []any{nil}, results(b.do("POST", "/api/deliveries/replay", order)))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.river_job AS j JOIN outhook.deliveries AS d ON d.job_id = j.id
			WHERE d.event_id = $1 AND d.next_attempt_at <= now() AND j.state = 'available' AND j.scheduled_at <= now()`, event))
	})

	t.Run("ManyAtATime", func(t *testing.T) {
		t.Parallel()
		many := b.newEndpoint("many", "")
		events := strings.TrimSuffix(strings.Repeat(`{"tenant_id":"many","type":"a","payload":1},`, 250), ",")
		var items []string
		for _, result := range b.requireObject(b.do("POST", "/api/events/batch", `{"events":[`+events+`]}`), 202)["results"].([]any) {
			event := uuid.MustParse(result.(object)["id"].(string))
			items = append([]string{item(event, many)}, items...)
		}
		b.exec(`UPDATE outhook.deliveries SET state = 'failed', next_attempt_at = NULL, completed_at = now() WHERE endpoint_id = $1`, many)
		require.Equal(t, make([]any, 250), results(b.do("POST", "/api/deliveries/replay", body(items...))))
		require.Equal(t, 250, b.count(`SELECT count(*) FROM outhook.deliveries WHERE endpoint_id = $1 AND state = 'pending'`, many))
	})

	t.Run("Refuses", func(t *testing.T) {
		t.Parallel()
		one := item(uuid.New(), endpoint)
		var all []string
		for range 1001 {
			all = append(all, item(uuid.New(), endpoint))
		}
		for text, want := range map[string]struct{ location, message string }{
			`{}`:                {"body.deliveries", "array"},
			`{"deliveries":{}}`: {"body.deliveries", "array"},
			body():              {"body.deliveries", "at least one"},
			body(`1`):           {"body.deliveries[0]", "object"},
			body(`{"event_id":"` + uuid.NewString() + `"}`):   {"body.deliveries[0]", "needs"},
			body(one, strings.Replace(one, "-", "s3cret", 1)): {"body.deliveries[1].event_id", "UUID"},
			body(one, one): {"body.deliveries[1]", "twice"},
			body(all...):   {"body.deliveries", "at most 1000"},
			body(strings.Replace(one, "}", `,"x":1}`, 1)): {"body.deliveries[0].x", "unknown"},
		} {
			r := b.do("POST", "/api/deliveries/replay", text)
			b.requireFault(r, 422, want.location, want.message)
			require.NotContains(t, string(r.body), "s3cret")
		}
	})
}
