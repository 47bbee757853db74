package api_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// work records a first attempt of the next test event, as a worker would.
func (b *testBundle) work(ctx context.Context) error {
	const record = `INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, status_code, started_at, duration_ms, outcome,
			remote_addr, request_headers, response_headers, response_body)
		SELECT d.event_id, d.endpoint_id, 1, 204, now(), 12, 'succeeded', '198.51.100.7:443', '{"webhook-id":"x"}', NULL, ''
		FROM outhook.deliveries AS d JOIN outhook.events AS e ON e.id = d.event_id WHERE e.type = 'outhook.test'`
	for ctx.Err() == nil {
		tag, err := b.pool.Exec(ctx, record)
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
	}
	return ctx.Err()
}

func TestTestEndpoint(t *testing.T) {
	t.Parallel()

	t.Run("AnswersWithTheFirstAttempt", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", `,"event_types":["only.this"]`)
		b.newEndpoint("acme", "")
		conn, err := b.pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		_, err = conn.Exec(t.Context(), `LISTEN "outhook.river_insert"`)
		require.NoError(t, err)

		worked := make(chan error, 1)
		go func() { worked <- b.work(t.Context()) }()
		got := b.requireObject(b.do("POST", "/api/endpoints/"+id.String()+"/test", ""), 200)
		require.NoError(t, <-worked)
		require.Equal(t, id.String(), got["endpoint_id"])
		require.EqualValues(t, 1, got["number"])
		require.EqualValues(t, 204, got["status_code"])
		require.Equal(t, "succeeded", got["outcome"])
		require.Equal(t, object{"webhook-id": "x"}, got["request_headers"])
		require.Nil(t, got["response_headers"])

		notified, err := conn.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		require.JSONEq(t, `{"queue":"deliver"}`, notified.Payload)

		r := b.do("GET", "/api/events/"+got["event_id"].(string), "")
		event := b.requireObject(r, 200)
		require.Equal(t, "outhook.test", event["type"])
		require.Len(t, event["deliveries"], 1)
		payload := event["payload"].(object)
		require.Equal(t, "outhook.test", payload["type"])
		require.Equal(t, object{"endpoint_id": id.String()}, payload["data"])
		_, err = time.Parse(time.RFC3339Nano, payload["timestamp"].(string))
		require.NoError(t, err)

		attempts := decode[struct{ Items []json.RawMessage }](t, b.do("GET", "/api/events/"+got["event_id"].(string)+"/attempts?bodies=true", ""))
		require.Len(t, attempts.Items, 1)
		var attempt object
		require.NoError(t, json.Unmarshal(attempts.Items[0], &attempt))
		delete(got, "event_id")
		require.Equal(t, attempt, got, "the shape of an attempt")
	})

	t.Run("SendsAnExample", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		b.push(catalogDocument(t, "svix.yaml"), "")
		b.push(catalogDocument(t, "stripe.json"), "")
		path := "/api/endpoints/" + id.String() + "/test?event_type="
		key, _ := b.newKey("tenant", "acme")
		for _, name := range []string{"no.type", "no%20type", "subscription.created", "customer.created"} {
			b.requireFault(b.do("POST", path+name, ""), 422, "query.event_type", "is not in the catalogue, or has no example")
		}
		b.requireFault(b.as(key, "POST", path+"benefit_grant.revoked", ""), 422, "query.event_type", "is not in the catalogue")

		worked := make(chan error, 1)
		go func() { worked <- b.work(t.Context()) }()
		got := b.requireObject(b.do("POST", path+"benefit_grant.revoked", ""), 200)
		require.NoError(t, <-worked)
		event := b.requireObject(b.do("GET", "/api/events/"+got["event_id"].(string), ""), 200)
		require.Equal(t, []any{"outhook.test", object{"id": "a"}}, []any{event["type"], event["payload"]})
	})

	t.Run("WithoutAWorkerIs504", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", `,"timeout_ms":1000`)
		p := b.requireProblem(b.do("POST", "/api/endpoints/"+id.String()+"/test", ""), 504)
		require.Contains(t, p.Detail, "worker")
		var event uuid.UUID
		require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT id FROM outhook.events").Scan(&event))
		require.Contains(t, p.Detail, event.String())
	})

	t.Run("NotEnabledIs409", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		for _, status := range []string{"paused", "disabled"} {
			require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+id.String(), `{"status":"`+status+`"}`).status)
			p := b.requireProblem(b.do("POST", "/api/endpoints/"+id.String()+"/test", ""), 409)
			require.Contains(t, p.Detail, status)
		}
		require.Zero(t, b.count("SELECT count(*) FROM outhook.events"))
	})

	t.Run("WhatEndsWithoutAnAttemptHoldsNoSlot", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", `,"timeout_ms":30000`)
		done := make(chan int, 1)
		go func() { done <- b.cancellable(t.Context(), "POST", "/api/endpoints/"+id.String()+"/test") }()
		require.Eventually(t, func() bool { return b.count("SELECT count(*) FROM outhook.deliveries") == 1 }, 10*time.Second, 10*time.Millisecond)
		b.exec(`UPDATE outhook.deliveries SET state = 'cancelled', reason = 'endpoint_deleted', next_attempt_at = NULL, completed_at = now()`)
		select {
		case status := <-done:
			require.Equal(t, 409, status)
		case <-time.After(20 * time.Second):
			require.FailNow(t, "it holds its slot")
		}
	})

	t.Run("TooManyAtOnceAre429", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var waiting sync.WaitGroup
		fill := func(ids ...uuid.UUID) {
			for _, id := range ids {
				waiting.Go(func() {
					together(4, func(int) { b.cancellable(ctx, "POST", "/api/endpoints/"+id.String()+"/test") })
				})
			}
		}
		require429 := func(id uuid.UUID, text string) {
			r := b.do("POST", "/api/endpoints/"+id.String()+"/test", "")
			require.Contains(t, b.requireProblem(r, 429).Detail, text)
			b.requireRetryAfter(r, 1)
		}

		fill(b.newEndpoint("greedy", ""))
		require.Eventually(t, func() bool { return b.count("SELECT count(*) FROM outhook.events") == 4 }, 10*time.Second, 10*time.Millisecond)
		require429(b.newEndpoint("greedy", ""), "4 tests of this tenant's endpoints")
		id := b.newEndpoint("acme", "")
		fill(b.newEndpoint("first", ""), b.newEndpoint("second", ""), b.newEndpoint("third", "")) // which have places nevertheless
		require.Eventually(t, func() bool { return b.count("SELECT count(*) FROM outhook.events") == 16 }, 10*time.Second, 10*time.Millisecond)
		require429(id, "16 tests are waiting already")
		cancel()
		waiting.Wait()
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			return b.cancellable(ctx, "POST", "/api/endpoints/"+id.String()+"/test") != 429
		}, 10*time.Second, 10*time.Millisecond, "a client that leaves frees its slot")
	})
}
