package api_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// The payload of one event is erased with what was answered to it, and nothing else of the log.
func TestErasePayload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "")
	attempted := func() uuid.UUID {
		event := b.newEvent("acme", "a.b")
		b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, status_code, response_headers, response_body)
			VALUES ($1, $2, 1, now(), 'rejected', 500, '{"location":"/s3cret"}', 's3cret')`, event, endpoint)
		return event
	}
	path := func(event uuid.UUID) string { return "/api/events/" + event.String() + "/payload" }
	audited := func(event uuid.UUID) int {
		return b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'erase-payload' AND object_type = 'event' AND object_id = $1
			AND tenant_id = 'acme'`, event.String())
	}
	kept := func(event uuid.UUID) int {
		return b.count(`SELECT count(*) FROM outhook.events AS e JOIN outhook.delivery_attempts AS a ON a.event_id = e.id
			WHERE e.id = $1 AND e.payload IS NOT NULL AND a.response_body = 's3cret' AND a.response_headers IS NOT NULL`, event)
	}

	t.Run("OfASettledEvent", func(t *testing.T) {
		t.Parallel()
		event, other := attempted(), attempted()
		b.exhaust(event)
		require.Equal(t, 204, b.do("DELETE", path(event), "").status)
		got := b.requireObject(b.do("GET", "/api/events/"+event.String(), ""), 200)
		require.Nil(t, got["payload"])
		require.Equal(t, true, got["payload_erased"])
		require.Equal(t, "failed", got["deliveries"].([]any)[0].(object)["state"])
		attempt := b.requireObject(b.do("GET", "/api/events/"+event.String()+"/attempts?bodies=true", ""), 200)["items"].([]any)[0].(object)
		require.Nil(t, attempt["response_body"])
		require.Nil(t, attempt["response_headers"])
		require.EqualValues(t, 500, attempt["status_code"])
		require.Equal(t, 1, kept(other), "another event")

		p := b.requireProblem(b.do("POST", "/api/deliveries/"+event.String()+"/"+endpoint.String()+"/replay", ""), 409)
		require.Contains(t, p.Detail, "payload is gone")
		require.Equal(t, 204, b.do("DELETE", path(event), "").status)
		require.Equal(t, 1, audited(event), "the second order changed nothing")
	})

	t.Run("NotWhileItIsNeeded", func(t *testing.T) {
		t.Parallel()
		event := attempted()
		p := b.requireProblem(b.do("DELETE", path(event), ""), 409)
		require.Contains(t, p.Detail, "force=true")
		require.Equal(t, 1, kept(event))
		require.Zero(t, audited(event))

		require.Equal(t, 204, b.do("DELETE", path(event)+"?force=true", "").status)
		require.Zero(t, kept(event))
		require.Equal(t, 1, audited(event))
		d := b.requireObject(b.do("GET", "/api/deliveries/"+event.String()+"/"+endpoint.String(), ""), 200)
		require.Equal(t, "cancelled", d["state"])
		require.Equal(t, "payload_gone", d["reason"])
		require.Zero(t, b.count(`SELECT count(*) FROM outhook.river_job WHERE args ->> 'event_id' = $1 AND state = 'available'`, event.String()))
	})

	t.Run("UnknownIsNotFound", func(t *testing.T) {
		t.Parallel()
		b.requireProblem(b.do("DELETE", path(uuid.New()), ""), 404)
	})
}
