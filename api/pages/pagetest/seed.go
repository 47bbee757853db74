package pagetest

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// World is what a seeded database has.
type World struct {
	Endpoint, Failing, Paused, Disabled string // ids of endpoints of acme
	Event, Other, Lonely, Erased        string // ids of events of acme; Lonely is initech's and has no delivery
}

// seeder does with SQL what workers do.
type seeder struct {
	t    *testing.T
	pool *pgxpool.Pool
}

func (b seeder) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), query, args...)
	require.NoError(b.t, err)
}

// Seed makes endpoints in each state, and events with deliveries in each state and attempts with each outcome. Its SQL
// stands for the workers.
func Seed(t *testing.T, pool *pgxpool.Pool, api *client.Client) (w World) {
	t.Helper()
	b := seeder{t, pool}
	ctx := t.Context()
	endpoint := func(tenant, host, description string, types ...string) string {
		made, err := api.CreateEndpoint(ctx, client.NewEndpoint{
			TenantID: tenant, URL: "https://" + host + "/webhooks/incoming?token=a", Description: &description,
			EventTypes: types, Headers: map[string]string{"x-source": "billing"}, Metadata: map[string]string{"plan": "gold"},
		}, client.CreateEndpointParams{})
		require.NoError(t, err)
		return made.ID
	}
	w.Endpoint = endpoint("acme", "hooks.acme.example", "Production")
	w.Failing = endpoint("acme", "eu.acme-warehouse.example", "Warehouse",
		"invoice.*", "order.*", "parcel.sent", "stock.low")
	w.Paused = endpoint("acme", "staging.acme.example", "")
	w.Disabled = endpoint("acme", "old.acme.example", "Was replaced in June")
	endpoint("globex", "api.globex.example", "", "invoice.paid")

	publish := func(tenant, eventType, payload string) string {
		stored, err := api.CreateEvent(ctx, client.NewEvent{
			TenantID: tenant, Type: eventType, Payload: []byte(payload), Labels: []string{"eu", "project:7"},
			Headers: map[string]string{"x-source": "billing", "baggage": "project=7"},
		}, client.CreateEventParams{})
		require.NoError(t, err)
		return stored.ID
	}
	for _, eventType := range []string{"order.created", "order.paid", "parcel.sent", "customer.updated"} {
		w.Other = publish("acme", eventType, `{"id": 17}`)
	}
	publish("globex", "invoice.paid", `{"id": 18}`)
	w.Erased = publish("acme", "customer.deleted", `{"name": "Ada"}`)
	w.Event = publish("acme", "invoice.paid",
		`{"id":"in_1042","amount":4200,"currency":"EUR","lines":[{"sku":"A-1","count":2}],"paid":true}`)
	require.NoError(t, api.ErasePayload(ctx, w.Erased, client.ErasePayloadParams{Force: true}))
	w.Lonely = publish("initech", "report.filed", `null`)

	b.attempts(w)
	b.day(w)
	status := func(id, to string) {
		_, err := api.UpdateEndpoint(ctx, id, client.EndpointChange{Status: client.Set(to)}, client.UpdateEndpointParams{})
		require.NoError(t, err)
	}
	status(w.Paused, "paused")
	status(w.Disabled, "disabled")
	return w
}

// rolledUp is the INSERT of minutes that workers have added up: of rows r with tenant, endpoint, minutes ago, ok and
// bad.
const rolledUp = `INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, events, succeeded, rejected, timed_out, delivered, failed,
		first_latency, duration)
	SELECT coalesce(nullif(r.endpoint, ''), '00000000-0000-0000-0000-000000000000')::uuid, r.tenant,
		date_trunc('minute', now()) - make_interval(mins => r.ago), 60, (random() * 1000000000)::integer, CASE WHEN r.endpoint = '' THEN r.ok + 1 END,
		r.ok, r.bad, r.bad / 2, r.ok, r.bad / 3, l.buckets, l.buckets
	FROM r CROSS JOIN LATERAL (SELECT array_agg(CASE i WHEN 5 THEN r.ok WHEN 9 THEN r.ok / 10 WHEN 14 THEN r.bad ELSE NULL END ORDER BY i) AS buckets
		FROM generate_series(1, 24) AS i) AS l`

// RollUp adds up attempts: of a minute, of an endpoint, of all of a tenant's, or of all.
func RollUp(t *testing.T, pool *pgxpool.Pool, tenant, endpoint string, minutesAgo, ok, bad int) {
	t.Helper()
	b := seeder{t, pool}
	b.exec(`WITH r AS (
			SELECT $1::text AS tenant, $2::text AS endpoint, $3::integer AS ago, $4::integer AS ok, $5::integer AS bad
		) `+rolledUp,
		tenant, endpoint, minutesAgo, ok, bad)
}

// day adds up a day that goes up and down.
func (b seeder) day(w World) {
	b.t.Helper()
	b.exec(`WITH m AS (SELECT ago, (60 + 50 * sin(ago / 230.0) + random() * 20)::integer AS ok, (greatest(sin(ago / 90.0) - 0.6, 0) * 20)::integer AS bad
			FROM generate_series(1, 1559) AS ago WHERE ago % 5 = 1 OR ago < 120),
		r AS (SELECT 'acme' AS tenant, $1::text AS endpoint, ago, ok, bad / 3 AS bad FROM m UNION ALL SELECT 'acme', $2, ago, 0, 3 FROM m WHERE ago < 180
			UNION ALL SELECT 'acme', '', ago, ok, bad FROM m UNION ALL SELECT '', '', ago, 2 * ok, bad FROM m) `+rolledUp, w.Endpoint, w.Failing)
}

// attempts does what workers do.
func (b seeder) attempts(w World) {
	b.t.Helper()
	const attempt = `INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code,
			error, remote_addr, request_headers, response_headers, response_body)
		SELECT d.event_id, d.endpoint_id, $2, now() - make_interval(mins => 4 - $2), $3, $4::outhook.attempt_outcome, nullif($5, 0), nullif($6, ''),
			'192.0.2.10:443', '{"content-type": "application/json", "webhook-id": "…", "webhook-signature": "[redacted]"}',
			'{"Content-Type": "text/plain", "Server": "nginx"}', $7
		FROM outhook.deliveries AS d WHERE d.endpoint_id = $1`
	b.exec(attempt, w.Endpoint, 1, 48, "succeeded", 200, "", "ok")
	b.exec(attempt, w.Failing, 1, 15000, "timed_out", 0, "timeout: no answer within 15s", "")
	b.exec(attempt, w.Failing, 2, 120, "rejected", 503, "", "<html><h1>503 Service Unavailable</h1></html>")
	b.exec(attempt, w.Failing, 3, 3, "unreachable", 0, "connection_refused: by 192.0.2.10:443", "")

	const settle = `UPDATE outhook.deliveries SET state = $2::outhook.delivery_state, completed_at = now(), next_attempt_at = NULL,
		attempt_count = $3, reason = nullif($4, '') WHERE endpoint_id = $1 AND state = 'pending'`
	b.exec(settle, w.Endpoint, "succeeded", 1, "")
	b.exec(`UPDATE outhook.deliveries SET attempt_count = 3, try_count = 3, next_attempt_at = now() + interval '10 minutes'
		WHERE endpoint_id = $1 AND event_id = $2`, w.Failing, w.Event)
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', completed_at = now(), next_attempt_at = NULL, attempt_count = 3, try_count = 3,
		reason = 'exhausted' WHERE endpoint_id = $1 AND event_id <> $2 AND state = 'pending'`, w.Failing, w.Event)
	b.exec(`INSERT INTO outhook.endpoint_health (endpoint_id, state, state_changed_at, consecutive_failures, failing_since, last_failure_at, last_error)
		VALUES ($1, 'failing', now() - interval '20 minutes', 12, now() - interval '25 minutes', now(), 'connection_refused')
		ON CONFLICT (endpoint_id) DO UPDATE SET state = 'failing', consecutive_failures = 12, failing_since = now(), last_failure_at = now()`, w.Failing)
}
