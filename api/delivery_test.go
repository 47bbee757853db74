package api_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// exhaust lets the deliveries of an event have used up their schedule.
func (b *testBundle) exhaust(event uuid.UUID) {
	b.t.Helper()
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', reason = 'exhausted', next_attempt_at = NULL,
		completed_at = now(), attempt_count = 4, try_count = 4 WHERE event_id = $1`, event)
}

func TestListDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []string // event/endpoint, in the order of the list
	endpoints := []uuid.UUID{b.newEndpoint("acme", ""), b.newEndpoint("acme", ""), b.newEndpoint("other", "")}
	slices.SortFunc(endpoints[:2], func(x, y uuid.UUID) int { return slices.Compare(y[:], x[:]) })
	var events []uuid.UUID
	for i := range 5 {
		tenant := []string{"acme", "other"}[i%2]
		event := b.newEvent(tenant, "a.b")
		events = append(events, event)
		if tenant == "acme" {
			want = append([]string{event.String() + endpoints[0].String(), event.String() + endpoints[1].String()}, want...)
		} else {
			want = append([]string{event.String() + endpoints[2].String()}, want...)
		}
	}
	b.exhaust(events[1])
	list := func(query string) (got []string, next string) {
		t.Helper()
		r := b.requireObject(b.do("GET", "/api/deliveries"+query, ""), 200)
		for _, item := range r["items"].([]any) {
			got = append(got, item.(object)["event_id"].(string)+item.(object)["endpoint_id"].(string))
		}
		next, _ = r["next_cursor"].(string)
		return got, next
	}

	t.Run("NewestEventFirst", func(t *testing.T) {
		t.Parallel()
		got, next := list("")
		require.Equal(t, want, got)
		require.Empty(t, next)
	})

	t.Run("PagesMeetInsideAnEvent", func(t *testing.T) {
		t.Parallel()
		for _, size := range []string{"1", "3"} {
			var all []string
			for query := "?limit=" + size; query != ""; {
				got, next := list(query)
				all = append(all, got...)
				query = ""
				if next != "" {
					query = "?limit=" + size + "&cursor=" + next
				}
			}
			require.Equal(t, want, all)
		}
	})

	t.Run("Filters", func(t *testing.T) {
		t.Parallel()
		got, _ := list("?tenant_id=other")
		require.Equal(t, []string{want[2], want[5]}, got)
		got, _ = list("?endpoint_id=" + endpoints[0].String())
		require.Equal(t, []string{want[0], want[3], want[6]}, got)
		got, _ = list("?state=failed")
		require.Equal(t, []string{want[5]}, got)
		got, _ = list("?state=pending&tenant_id=acme&endpoint_id=" + endpoints[1].String())
		require.Len(t, got, 3)
		created := b.requireObject(b.do("GET", "/api/events/"+events[2].String(), ""), 200)["created_at"].(string)
		got, _ = list("?since=" + created)
		require.Equal(t, want[:5], got)
		got, _ = list("?until=" + created)
		require.Equal(t, want[5:], got)
	})

	t.Run("Refuses", func(t *testing.T) {
		t.Parallel()
		for query, location := range map[string]string{
			"?endpoint_id=s3cret":     "query.tenant_id",
			"?state=s3cret":           "query.state",
			"?cursor=s3cret":          "query.cursor",
			"?tenant_id=s3cret%00":    "query.tenant_id",
			"?endpoint_id=urn:s3cret": "query.endpoint_id",
		} {
			r := b.do("GET", "/api/deliveries"+query, "")
			b.requireFault(r, 422, location, "")
			require.NotContains(t, string(r.body), "s3cret")
		}
	})
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "")
	path := func(event uuid.UUID) string { return "/api/deliveries/" + event.String() + "/" + endpoint.String() }

	t.Run("HasAllMembers", func(t *testing.T) {
		t.Parallel()
		event := b.newEvent("acme", "invoice.paid")
		got := b.requireObject(b.do("GET", path(event), ""), 200)
		require.Equal(t, event.String(), got["event_id"])
		require.Equal(t, "acme", got["tenant_id"])
		require.Equal(t, "invoice.paid", got["type"])
		require.Equal(t, "pending", got["state"])
		require.Nil(t, got["reason"])
		require.NotNil(t, got["next_attempt_at"])
		require.Nil(t, got["completed_at"])
		require.Len(t, got, 11)
		b.exhaust(event)
		got = b.requireObject(b.do("GET", path(event), ""), 200)
		require.Equal(t, "exhausted", got["reason"])
		require.EqualValues(t, 4, got["attempt_count"])
		require.Nil(t, got["next_attempt_at"])
		require.NotNil(t, got["completed_at"])
	})

	t.Run("ReplayReopensASettledOne", func(t *testing.T) {
		t.Parallel()
		event := b.newEvent("acme", "a")
		b.exhaust(event)
		got := b.requireObject(b.do("POST", path(event)+"/replay", ""), 200)
		require.Equal(t, "pending", got["state"])
		require.EqualValues(t, 0, got["try_count"])
		require.EqualValues(t, 4, got["attempt_count"])
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.river_job WHERE args ->> 'event_id' = $1 AND args ->> 'base' = '4'
			AND state = 'available'`, event.String()))
	})

	t.Run("ReplayOfAPendingOneNeedsNow", func(t *testing.T) {
		t.Parallel()
		event := b.newEvent("acme", "a")
		b.exec("UPDATE outhook.deliveries SET next_attempt_at = now() + interval '1 hour' WHERE event_id = $1", event)
		b.exec(`UPDATE outhook.river_job SET state = 'retryable', scheduled_at = now() + interval '1 hour' WHERE args ->> 'event_id' = $1`, event.String())
		for _, r := range []response{
			b.do("POST", path(event)+"/replay", ""), b.do("POST", path(event)+"/replay?now=false", ""), b.do("POST", path(event)+"/replay", `{"now":false}`),
			b.do("POST", path(event)+"/replay", `{}`),
		} {
			require.Contains(t, b.requireProblem(r, 409).Detail, "now=true")
		}
		for _, order := range []struct{ query, body string }{{"?now=true", ""}, {"", `{"now":true}`}} {
			got := b.requireObject(b.do("POST", path(event)+"/replay"+order.query, order.body), 200)
			due, err := time.Parse(time.RFC3339Nano, got["next_attempt_at"].(string))
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), due, time.Minute)
			require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.river_job WHERE args ->> 'event_id' = $1 AND state = 'available'`, event.String()))
		}
	})

	t.Run("ReplayRefusesOtherBodies", func(t *testing.T) {
		t.Parallel()
		event := b.newEvent("acme", "a")
		b.requireFault(b.do("POST", path(event)+"/replay", `{"now":"s3cret"}`), 422, "body.now", "true or false")
		b.requireFault(b.do("POST", path(event)+"/replay", `{"later":1}`), 422, "body.later", "unknown")
		b.requireProblem(b.do("POST", path(event)+"/replay", `{`), 400)
		b.requireProblem(b.do("POST", path(event)+"/replay", `{}`, "Content-Type", "text/plain"), 415)
		b.requireFault(b.do("POST", path(event)+"/replay?now=s3cret", ""), 422, "query.now", "boolean")
	})

	t.Run("CancelEndsAPendingOne", func(t *testing.T) {
		t.Parallel()
		event := b.newEvent("acme", "a")
		got := b.requireObject(b.do("POST", path(event)+"/cancel", ""), 200)
		require.Equal(t, "cancelled", got["state"])
		require.Equal(t, "operator", got["reason"])
		p := b.requireProblem(b.do("POST", path(event)+"/cancel", ""), 409)
		require.Contains(t, p.Detail, "settled")
	})

	t.Run("UnknownIsNotFound", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{path(uuid.New()), "/api/deliveries/" + b.newEvent("acme", "a").String() + "/" + uuid.NewString()} {
			b.requireProblem(b.do("GET", path, ""), 404)
			b.requireProblem(b.do("POST", path+"/replay", ""), 404)
			b.requireProblem(b.do("POST", path+"/cancel", ""), 404)
		}
		b.requireFault(b.do("GET", "/api/deliveries/x/"+endpoint.String(), ""), 422, "path.event_id", "UUID")
	})
}

func TestReplayToAnEndedEndpointIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "")
	event := b.newEvent("acme", "a")
	b.exhaust(event)
	require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+endpoint.String(), `{"status":"disabled"}`).status)
	p := b.requireProblem(b.do("POST", "/api/deliveries/"+event.String()+"/"+endpoint.String()+"/replay", ""), 409)
	require.Contains(t, p.Detail, "enable it")
}

func TestListAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "")
	event := b.newEvent("acme", "a")
	path := "/api/events/" + event.String() + "/attempts"
	require.Equal(t, []any{}, b.requireObject(b.do("GET", path, ""), 200)["items"])

	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, status_code, started_at, duration_ms, outcome, trigger,
			response_truncated, error, remote_addr, request_headers, response_headers, response_body, dns_us, connect_us, tls_us,
			first_byte_us) VALUES
		($1, $2, 2, NULL, '2026-01-02T03:04:06Z', NULL, 'unknown', 'manual', false, 'worker_died: x', NULL, NULL, NULL, NULL,
			NULL, NULL, NULL, NULL),
		($1, $2, 1, 500, '2026-01-02T03:04:05.5Z', 12, 'rejected', 'scheduled', true, NULL, '198.51.100.7:443',
			'{"webhook-id":"<x>"}', '{"server":"a&b"}', 'no', 1200, 340, 9000, 800)`, event, endpoint)
	r := b.do("GET", path+"?bodies=true", "")
	require.Contains(t, string(r.body), "a&b", "no HTML escapes")
	items := b.requireObject(r, 200)["items"].([]any)
	require.Equal(t, []any{
		object{
			"endpoint_id": endpoint.String(), "number": 1.0, "trigger": "scheduled", "started_at": "2026-01-02T03:04:05.5Z",
			"duration_ms": 12.0, "outcome": "rejected", "status_code": 500.0, "error": nil, "remote_addr": "198.51.100.7:443",
			"request_headers": object{"webhook-id": "<x>"}, "response_headers": object{"server": "a&b"}, "response_body": "no",
			"response_truncated": true, "dns_us": 1200.0, "connect_us": 340.0, "tls_us": 9000.0, "first_byte_us": 800.0,
		},
		object{
			"endpoint_id": endpoint.String(), "number": 2.0, "trigger": "manual", "started_at": "2026-01-02T03:04:06Z",
			"duration_ms": nil, "outcome": "unknown", "status_code": nil, "error": "worker_died: x", "remote_addr": nil,
			"request_headers": nil, "response_headers": nil, "response_body": nil, "response_truncated": false,
			"dns_us": nil, "connect_us": nil, "tls_us": nil, "first_byte_us": nil,
		},
	}, items)
	require.Nil(t, b.requireObject(b.do("GET", path, ""), 200)["items"].([]any)[0].(object)["response_body"], "nobody has asked for it")

	// A page holds what a page may, however many attempts there are, of the same moment too.
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, response_body)
		SELECT $1, gen_random_uuid(), n % 3 + 1, timestamptz '2026-01-02T03:04:05.000001Z' + make_interval(secs => n % 5), 'succeeded', repeat('x', 16000)
		FROM generate_series(1, 250) AS n`, event)
	seen, last := map[string]bool{}, ""
	for query := "?limit=100"; query != ""; {
		r := b.do("GET", path+query, "")
		require.Less(t, len(r.body), 100_000)
		page := b.requireObject(r, 200)
		for _, item := range page["items"].([]any) {
			o := item.(object)
			seen[fmt.Sprint(o["endpoint_id"], o["number"])] = true
			at, err := time.Parse(time.RFC3339Nano, o["started_at"].(string))
			require.NoError(t, err)
			require.LessOrEqual(t, last, at.Format("2006-01-02T15:04:05.000000"))
			last = at.Format("2006-01-02T15:04:05.000000")
		}
		query = ""
		if next, ok := page["next_cursor"].(string); ok {
			query = "?limit=100&cursor=" + next
		}
	}
	require.Len(t, seen, 252)
	b.requireFault(b.do("GET", path+"?cursor=x", ""), 422, "query.cursor", "next_cursor")
}

// What asks for one event locks the event's day and no other: nobody plans for every day's.
func TestLookUpsWaitForNoOtherDay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint, event := b.newEndpoint("acme", ""), b.newEvent("acme", "a.b")
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
	day := time.Now().UTC().AddDate(0, 0, -1).Format("20060102")
	for _, parent := range []string{"events", "deliveries", "delivery_attempts"} {
		_, err := tx.Exec(t.Context(), "LOCK TABLE outhook."+parent+"_p"+day+" IN ACCESS EXCLUSIVE MODE")
		require.NoError(t, err)
	}

	paths := []string{
		"/api/events/" + event.String(), "/api/events/" + event.String() + "/attempts",
		"/api/deliveries/" + event.String() + "/" + endpoint.String(),
	}
	for range 50 { // on each connection often enough for a plan to be kept
		for _, path := range paths {
			require.Equal(t, 200, b.do("GET", path, "").status)
		}
	}
	b.requireObject(b.do("POST", paths[2]+"/cancel", ""), 200)
}
