package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
)

// situation is what has become of an endpoint and an event of a tenant of its own.
type situation struct {
	*testBundle

	tenant, key     string // key: the tenant's
	endpoint, event uuid.UUID
}

func (s *situation) make(members string) { s.endpoint = s.newEndpoint(s.tenant, members) }

func (s *situation) send(eventType string) { s.event = s.newEvent(s.tenant, eventType) }

// publish sends an event with a payload.
func (s *situation) publish(payload string) {
	s.t.Helper()
	answer := s.requireObject(s.do("POST", "/api/events", `{"tenant_id":"`+s.tenant+`","type":"a","payload":`+payload+`}`), 202)
	s.event = uuid.MustParse(answer["id"].(string))
}

func (s *situation) patch(key, body string) {
	s.t.Helper()
	s.requireObject(s.as(key, "PATCH", "/api/endpoints/"+s.endpoint.String(), body), 200)
}

func (s *situation) remove() {
	s.t.Helper()
	require.Equal(s.t, 204, s.do("DELETE", "/api/endpoints/"+s.endpoint.String(), "").status)
}

// sql runs a statement whose $1 is the endpoint.
func (s *situation) sql(statement string) { s.exec(statement, s.endpoint) }

// during enqueues an event while a transaction has changed the endpoint and has not ended.
func (s *situation) during(change, end string) {
	s.t.Helper()
	tx, err := s.pool.Begin(s.t.Context())
	require.NoError(s.t, err)
	_, err = tx.Exec(s.t.Context(), change, s.endpoint)
	require.NoError(s.t, err)
	s.send("a")
	_, err = tx.Exec(s.t.Context(), end)
	require.NoError(s.t, err)
	require.Equal(s.t, byte('I'), tx.Conn().PgConn().TxStatus())
	if err := tx.Rollback(s.t.Context()); err != nil {
		require.ErrorIs(s.t, err, pgx.ErrTxClosed)
	}
}

// settle ends the delivery as it says, after attempts that failed by outcome, status and error.
func (s *situation) settle(state, reason string, attempts ...string) {
	s.t.Helper()
	s.make("")
	s.send("a")
	for i, attempt := range attempts {
		s.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, status_code, error)
			SELECT $1, $2, $3, now(), v[1]::outhook.attempt_outcome, nullif(v[2], '')::integer, nullif(v[3], '') FROM (SELECT string_to_array($4, '|') AS v) AS v`,
			s.event, s.endpoint, i+1, attempt)
	}
	s.exec(`UPDATE outhook.deliveries SET state = $2::outhook.delivery_state, reason = $3, attempt_count = $4,
		completed_at = CASE WHEN $2 <> 'pending' THEN now() END, next_attempt_at = CASE WHEN $2 = 'pending' THEN now() + interval '1 h' END,
		try_count = $4 WHERE event_id = $1`, s.event, state, reason, len(attempts))
}

// past makes the endpoint one of before revisions were kept, that was changed last at a time.
func (s *situation) past(at string) {
	s.sql(`UPDATE outhook.endpoint_revisions SET first_known = true, xid = NULL, at = ` + at + `, id = outhook.uuid_v7(` + at + `) WHERE endpoint_id = $1`)
}

// ago makes all that has become of the endpoint older.
func (s *situation) ago(by string) {
	s.sql(`UPDATE outhook.endpoint_revisions SET at = at - interval '` + by + `', id = outhook.uuid_v7(at - interval '` + by + `') WHERE endpoint_id = $1`)
	s.sql(`UPDATE outhook.endpoints SET created_at = created_at - interval '` + by + `' WHERE id = $1`)
}

const (
	allTypes     = `,"event_types":[]`
	others       = `,"event_types":["b"]`
	disabled     = `{"status":"disabled"}`
	wantsIt      = `UPDATE outhook.endpoints SET event_types = '{a}' WHERE id = $1`
	enablesIt    = `UPDATE outhook.endpoints SET status = 'enabled', status_changed_at = now() WHERE id = $1`
	makesUp      = "; to make up for it, recover the endpoint with `missed`, since \\S+Z or earlier$"
	onceEnabled  = `or earlier, once it is enabled and subscribed$`
	operatorsKey = "OUTHOOK_API_KEY"
)

// noneCase is a situation and what is to be said of it.
type noneCase struct {
	name, because, text string
	by                  any
	recoverable         bool
	is                  func(*situation)
}

func neverDelivered() []noneCase {
	return []noneCase{
		{"another type", "not_subscribed", `^the endpoint was not subscribed to a: it wanted b, since \S+Z or earlier$`, nil, false, func(s *situation) { s.make(others); s.send("a") }},
		{"a pattern of what is below", "not_subscribed", `not subscribed to a: it wanted a\.\*, since`, nil, false, func(s *situation) { s.make(`,"event_types":["a.*"]`); s.send("a") }},
		{"a longer name", "not_subscribed", `not subscribed to a\.bc: it wanted a\.b, since`, nil, false, func(s *situation) { s.make(`,"event_types":["a.b"]`); s.send("a.bc") }},
		{"many types", "not_subscribed", `it wanted t1, t2, t3, t4, t5, t6, t7, t8, t9, t10 and 2 more, since`, nil, false, func(s *situation) {
			s.make(`,"event_types":["t1","t2","t3","t4","t5","t6","t7","t8","t9","t10","t11","t12"]`)
			s.send("a")
		}},
		{"subscribed later", "not_subscribed", `not subscribed to a: it wanted b, since` + `.*` + makesUp, nil, true, func(s *situation) { s.make(others); s.send("a"); s.patch(adminKey, `{"event_types":["a"]}`) }},
		{"no longer subscribed", "not_subscribed", `not subscribed to a: it wanted b, since`, nil, false, func(s *situation) { s.make(allTypes); s.patch(adminKey, `{"event_types":["b"]}`); s.send("a") }},
		{"subscribed later, and disabled", "not_subscribed", onceEnabled, nil, false, func(s *situation) {
			s.make(others)
			s.send("a")
			s.patch(adminKey, `{"event_types":["a"],"status":"disabled"}`)
		}},
		{"not subscribed, and deleted since", "not_subscribed", `since \S+Z or earlier$`, nil, false, func(s *situation) { s.make(others); s.send("a"); s.remove() }},
		{"subscribed later, without a payload", "not_subscribed", `since \S+Z or earlier$`, nil, false, func(s *situation) {
			s.make(others)
			s.send("a")
			s.patch(adminKey, `{"event_types":["a"]}`)
			s.exec(`UPDATE outhook.events SET payload = NULL WHERE id = $1`, s.event)
		}},
		{"other labels", "other_labels", `^the event has none of the labels that the endpoint wanted: eu, us, since \S+Z or earlier$`, nil, false, func(s *situation) {
			s.make(`,"labels":["eu","us"]`)
			s.publish(`1,"labels":["asia"]`)
		}},
		{"no labels", "other_labels", `^the event has none of the labels that the endpoint wanted: eu, since ` + `.*` + makesUp, nil, true, func(s *situation) {
			s.make(`,"labels":["eu"]`)
			s.send("a")
			s.patch(adminKey, `{"labels":null}`)
		}},
		{"its labels, and filtered", "filtered", `amount >= 1000 was false`, nil, false, func(s *situation) {
			s.make(`,"labels":["eu"],"filter":{"data":{"amount":{"$gte":1000}}}`)
			s.publish(`1,"labels":["eu"]`)
		}},
		{"filtered", "filtered", `^the endpoint's filter did not let it through: amount >= 1000 was false \(amount is 420\); it had this filter since \S+Z or earlier$`, nil, false, func(s *situation) {
			s.make(`,"filter":{"data":{"amount":{"$gte":1000}}}`)
			s.publish(`{"amount": 420}`)
		}},
		{"filtered, and the filter is gone since", "filtered", `: amount >= 1000 was false \(amount is missing\)` + `.*` + makesUp, nil, true, func(s *situation) {
			s.make(`,"filter":{"data":{"amount":{"$gte":1000}}}`)
			s.send("a")
			s.patch(adminKey, `{"filter":null}`)
		}},
		{"filtered, and another filter since", "filtered", `: amount >= 1000 was false \(amount is 420\)[^;]*; it had this filter since \S+Z or earlier$`, nil, false, func(s *situation) {
			s.make(`,"filter":{"data":{"amount":{"$gte":1000}}}`)
			s.publish(`{"amount": 420}`)
			s.patch(adminKey, `{"filter":{"data":{"amount":{"$lt":420}}}}`)
		}},
		{"filtered, by what nobody can look into", "filtered", `no filter lets this payload through: it has what jsonb of Postgres refuses, like \\u0000$`, nil, false, func(s *situation) {
			s.make(`,"filter":{"$not":{"data":1}}`)
			s.publish(`"\u0000"`)
		}},
		{"filtered, and the payload is gone", "not_known", `had a filter, and the payload is gone`, nil, false, func(s *situation) {
			s.make(`,"filter":{"data":{"amount":{"$gte":1000}}}`)
			s.publish(`{"amount": 420}`)
			s.exec(`UPDATE outhook.events SET payload = NULL WHERE id = $1`, s.event)
		}},
		{"another type, and a filter", "not_subscribed", `not subscribed to a: it wanted b, since`, nil, false, func(s *situation) { s.make(others + `,"filter":{"data":1}`); s.send("a") }},
		{"a change that was rolled back", "not_subscribed", `not subscribed to a: it wanted b, since`, nil, false, func(s *situation) { s.make(others); s.during(wantsIt, "ROLLBACK") }},

		{"disabled", "was_disabled", `^the endpoint had been disabled by OUTHOOK_API_KEY since \S+Z; to make up for it, .*` + onceEnabled, operatorsKey, false, func(s *situation) { s.make(""); s.patch(adminKey, disabled); s.send("a") }},
		{"disabled by the tenant", "was_disabled", `disabled by tenant of `, "the tenant's", false, func(s *situation) { s.make(""); s.patch(s.key, disabled); s.send("a") }},
		{"disabled, and enabled since", "was_disabled", makesUp, operatorsKey, true, func(s *situation) {
			s.make("")
			s.patch(adminKey, disabled)
			s.send("a")
			s.patch(adminKey, `{"status":"enabled"}`)
		}},
		{"disabled by a 410", "was_disabled", `^the endpoint had been disabled since \S+Z \(it answered 410\); to make`, nil, false, func(s *situation) {
			s.make("")
			_, err := db.New().DisableEndpoint(s.t.Context(), s.pool, "gone", s.endpoint)
			require.NoError(s.t, err)
			s.send("a")
		}},
		{"disabled by a 410, and changed by somebody since", "was_disabled", `^the endpoint had been disabled since \S+Z \(it answered 410\)`, nil, false, func(s *situation) {
			s.make("")
			_, err := db.New().DisableEndpoint(s.t.Context(), s.pool, "gone", s.endpoint)
			require.NoError(s.t, err)
			s.patch(adminKey, `{"timeout_ms":2000}`)
			s.send("a")
		}},
		{"disabled, and of another type", "was_disabled", `disabled by`, operatorsKey, false, func(s *situation) { s.make(others); s.patch(adminKey, disabled); s.send("a") }},
		{"disabled, and deleted since", "was_disabled", `OUTHOOK_API_KEY since \S+Z$`, operatorsKey, false, func(s *situation) { s.make(""); s.patch(adminKey, disabled); s.send("a"); s.remove() }},

		{"created later", "created_later", `^the endpoint was created at \S+Z, \d+ (ms|s) after the event$`, nil, false, func(s *situation) { s.send("a"); s.make("") }},
		{"created later, and deleted", "created_later", `after the event$`, nil, false, func(s *situation) { s.send("a"); s.make(""); s.remove() }},
		{"created by a transaction that was open", "created_later", `after the event$`, nil, false, func(s *situation) {
			s.send("a")
			s.make("")
			s.sql(`UPDATE outhook.endpoints SET created_at = created_at - interval '1 h' WHERE id = $1`)
		}},
		{"deleted before", "deleted_before", `^the endpoint was deleted by OUTHOOK_API_KEY at \S+Z, \d+ (ms|s) before the event$`, operatorsKey, false, func(s *situation) { s.make(""); s.remove(); s.send("a") }},
		{"deleted before, by SQL", "deleted_before", `^the endpoint was deleted at \S+Z`, nil, false, func(s *situation) {
			s.make("")
			s.sql(`UPDATE outhook.endpoints SET deleted_at = now() WHERE id = $1`)
			s.send("a")
		}},

		{"subscribed meanwhile", "changed_meanwhile", `^the endpoint has wanted the event since a change of its event_types at \S+Z, \d+ (ms|s) before the event: most likely that was not committed yet` + `.*` + makesUp, nil, true, func(s *situation) { s.make(others); s.during(wantsIt, "COMMIT") }},
		{"enabled meanwhile", "changed_meanwhile", `since a change of its status at`, nil, true, func(s *situation) { s.make(""); s.patch(adminKey, disabled); s.during(enablesIt, "COMMIT") }},
		{"created meanwhile", "changed_meanwhile", `^the endpoint was created at \S+Z, \d+ (ms|s) before the event: `, nil, true, func(s *situation) {
			s.endpoint = uuid.Must(uuid.NewV7())
			s.during(`INSERT INTO outhook.endpoints (id, tenant_id, url) VALUES ($1, '`+s.tenant+`', 'https://example.com')`, "COMMIT")
		}},
		{"a delivery that somebody has deleted", "delivery_missing", `^the endpoint was enabled and subscribed, but has no delivery.*` + makesUp, nil, true, func(s *situation) {
			s.make("")
			s.ago("2 h")
			s.send("a")
			s.exec(`DELETE FROM outhook.deliveries WHERE event_id = $1`, s.event)
		}},
		{"the same, of an endpoint with a history", "delivery_missing", `nothing tells which`, nil, true, func(s *situation) {
			s.make("")
			s.patch(adminKey, `{"timeout_ms":2000}`)
			s.ago("2 h")
			s.send("a")
			s.exec(`DELETE FROM outhook.deliveries WHERE event_id = $1`, s.event)
		}},
		{"a test of another", "test_of_another", `made for another endpoint alone$`, nil, false, func(s *situation) {
			s.make("")
			s.send("a")
			s.exec(`UPDATE outhook.events SET type = 'outhook.test' WHERE id = $1`, s.event)
			s.exec(`DELETE FROM outhook.deliveries WHERE event_id = $1`, s.event)
		}},

		{"erased", "tenant_erased", `data was erased`, nil, false, func(s *situation) {
			s.make(others)
			s.send("a")
			s.sql(`UPDATE outhook.endpoints SET url = '', deleted_at = now() WHERE id = $1`)
			s.sql(`DELETE FROM outhook.endpoint_revisions WHERE endpoint_id = $1`)
		}},
		{"changed after the event, before revisions were kept", "not_known", `not known: its history begins at \S+Z`, nil, false, func(s *situation) { s.make(others); s.send("a"); s.past("now()") }},
		{"changed before the event, before revisions were kept", "not_subscribed", `not subscribed to a: it wanted b, since`, nil, false, func(s *situation) { s.make(others); s.past("now() - interval '1 h'"); s.send("a") }},
		{"disabled then, changed since, before revisions were kept", "was_disabled", `^the endpoint had been disabled since \S+Z \(it answered 410\)`, nil, false, func(s *situation) {
			s.make("")
			s.exec(`DELETE FROM outhook.endpoint_revisions WHERE endpoint_id = $1`, s.endpoint)
			s.sql(`UPDATE outhook.endpoints SET status = 'disabled', status_reason = 'gone', status_changed_at = now() WHERE id = $1`)
			s.send("a")
			s.past("now()")
		}},
		{"deleted then, before revisions were kept", "deleted_before", `^the endpoint was deleted at \S+Z`, nil, false, func(s *situation) {
			s.make("")
			s.sql(`UPDATE outhook.endpoints SET deleted_at = now() WHERE id = $1`)
			s.sql(`DELETE FROM outhook.endpoint_revisions WHERE endpoint_id = $1 AND NOT deleted`)
			s.send("a")
			s.past("now()")
		}},
		{"nothing is left", "not_known", `nothing of its history is left$`, nil, false, func(s *situation) {
			s.make(others)
			s.send("a")
			s.sql(`DELETE FROM outhook.endpoint_revisions WHERE endpoint_id = $1`)
		}},
	}
}

func settledSomehow() []noneCase {
	failed := func(attempts ...string) func(*situation) {
		return func(s *situation) { s.settle("failed", "exhausted", attempts...) }
	}
	cancelled := func(reason string) func(*situation) {
		return func(s *situation) { s.settle("cancelled", reason) }
	}
	return []noneCase{
		{"an old certificate", "settled", `In all: 4 × not reached \(tls: the certificate has expired on 2026-01-02\). Advice: renew`, nil, false, failed("unreachable||tls: the certificate has expired on 2026-01-02", "unreachable||tls: the certificate has expired on 2026-01-02", "unreachable||tls: the certificate has expired on 2026-01-02", "unreachable||tls: the certificate has expired on 2026-01-02")},
		{"no such host", "settled", `look for a misspelling, and at its DNS records$`, nil, false, failed("unreachable||dns: no such host")},
		{"nobody listens", "settled", `nothing listens at that port`, nil, false, failed("unreachable||connection_refused: by the receiver")},
		{"a firewall", "settled", `a firewall that drops`, nil, false, failed("timed_out||timeout: connecting")},
		{"slow", "settled", `answer 2xx at once`, nil, false, failed("timed_out||timeout: waiting for response headers")},
		{"moved", "settled", `redirects are not followed`, nil, false, failed("rejected|301|")},
		{"gone", "settled", `the receiver wants nothing any more`, nil, false, failed("rejected|410|")},
		{"too many", "settled", `give the endpoint a rate_limit`, nil, false, failed("rejected|429|")},
		{"a private address", "settled", `OUTHOOK_EGRESS_ALLOW`, nil, false, failed("blocked||blocked: the address is not public")},
		{"an unusual refusal", "settled", `the receiver refused the request: its log tells why$`, nil, false, failed("rejected|499|")},
		{"an unusual fault", "settled", `failed: its log tells why$`, nil, false, failed("rejected|599|")},
		{"one thing after the other", "settled", `In all: 1 × rejected with status 500, 2 × timed out \(connecting\). Advice: the receiver's code failed`, nil, false, failed("timed_out||timeout: connecting", "timed_out||timeout: connecting", "rejected|500|")},
		{"a class that nobody knows", "settled", `^it failed at \S+Z after 1 attempt, which did not reach the endpoint \(new: words\): its retry schedule is used up; replay it when the endpoint works again$`, nil, false, failed("unreachable||new: words")},
		{"it waits after a failure", "no_live_worker|waiting_for_retry", `^it waits for try 2 of 4, due at \S+Z; attempt 1 was rejected with status 503$`, nil, false, func(s *situation) {
			s.settle("pending", "", "rejected|503|")
			s.exec(`UPDATE outhook.river_job SET state = 'retryable', scheduled_at = now() + interval '1 h' WHERE args ->> 'event_id' = $1`, s.event.String())
		}},

		{"cancelled by somebody", "settled", `^it was cancelled by OUTHOOK_API_KEY at \S+Z before any attempt$`, operatorsKey, false, func(s *situation) {
			s.make("")
			s.send("a")
			s.requireObject(s.do("POST", "/api/deliveries/"+s.event.String()+"/"+s.endpoint.String()+"/cancel", ""), 200)
		}},
		{"cancelled in River UI", "settled", `^it was cancelled at \S+Z before any attempt: a person cancelled it$`, nil, false, cancelled("operator")},
		{"cancelled since somebody disabled the endpoint", "settled", `^it was cancelled by OUTHOOK_API_KEY at .*: its endpoint was disabled`, operatorsKey, false, func(s *situation) {
			s.make("")
			s.send("a")
			s.patch(adminKey, disabled)
			s.exec(`UPDATE outhook.deliveries SET state = 'cancelled', reason = 'endpoint_disabled', completed_at = now(), next_attempt_at = NULL WHERE event_id = $1`, s.event)
		}},
		{"cancelled since it answered 410", "settled", `^it was cancelled at`, nil, false, func(s *situation) {
			s.make("")
			s.patch(adminKey, disabled)
			s.patch(adminKey, `{"status":"enabled"}`)
			s.send("a")
			_, err := db.New().DisableEndpoint(s.t.Context(), s.pool, "gone", s.endpoint)
			require.NoError(s.t, err)
			s.exec(`UPDATE outhook.deliveries SET state = 'cancelled', reason = 'endpoint_disabled', completed_at = now(), next_attempt_at = NULL WHERE event_id = $1`, s.event)
		}},
		{"cancelled since its payload was erased", "settled", `^it was cancelled by OUTHOOK_API_KEY at .*: its payload is gone$`, operatorsKey, false, func(s *situation) {
			s.settle("cancelled", "payload_gone")
			require.Less(s.t, s.do("DELETE", "/api/events/"+s.event.String()+"/payload?force=true", "").status, 300)
		}},
		{"cancelled since the tenant's data was erased", "settled", `^it was cancelled by OUTHOOK_API_KEY at .*: its tenant's data was erased$`, operatorsKey, false, func(s *situation) {
			s.make("")
			s.send("a")
			s.requireObject(s.do("DELETE", "/api/tenants/"+s.tenant+"/data", ""), 202)
			s.exec(`UPDATE outhook.deliveries SET state = 'cancelled', reason = 'erased', completed_at = clock_timestamp() + interval '1 ms', next_attempt_at = NULL WHERE event_id = $1`, s.event)
		}},
	}
}

// Of each endpoint of the tenant one sentence says why it got the event or not, by what it was when the event was enqueued.
func TestWhyNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cases := append(neverDelivered(), settledSomehow()...)
	require.GreaterOrEqual(t, len(cases), 40)
	for i, c := range cases {
		s := &situation{testBundle: b, tenant: fmt.Sprintf("tenant-%d", i)}
		s.key, _ = b.newKey("tenant", s.tenant)
		c.is(s)
		query := ""
		if c.because == "tenant_erased" { // whose endpoints are found by their ids alone
			query = "?endpoint_id=" + s.endpoint.String()
		}
		got := b.why(adminKey, s.event, query)
		require.Len(t, got, 1, c.name)
		item := got[0]
		require.Regexp(t, "^("+c.because+")$", item["because"], "%s: %v", c.name, item)
		require.Regexp(t, c.text, item["text"], c.name)
		require.Equal(t, c.recoverable, item["recoverable"], c.name)
		require.Equal(t, []any{s.endpoint.String(), s.event.String(), s.tenant}, []any{item["endpoint_id"], item["event_id"], item["tenant_id"]}, c.name)
		if c.by == "the tenant's" {
			c.by = "tenant of " + s.tenant
		}
		require.Equal(t, c.by, item["by"], c.name)
		require.Equal(t, i < len(neverDelivered()), item["state"] == "none", c.name)
		if erased := b.as(s.key, "GET", "/api/events/"+s.event.String()+"/why"+query, ""); erased.status == 200 && c.by == operatorsKey {
			require.NotContains(t, string(erased.body), operatorsKey, "%s: a tenant sees its own keys", c.name)
		}
	}
}

// Endpoints that were deleted long before are told of if they are asked for; what was recovered since has a delivery.
func TestWhyNotTellsOfWhatMatters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &situation{testBundle: b, tenant: ownTenant}
	s.make(`,"uid":"old"`)
	s.remove()
	s.sql(`UPDATE outhook.endpoint_revisions SET at = at - interval '8 days', id = outhook.uuid_v7(at - interval '8 days') WHERE endpoint_id = $1`)
	s.sql(`UPDATE outhook.endpoints SET deleted_at = deleted_at - interval '8 days' WHERE id = $1`)
	s.send("a")
	require.Empty(t, b.why(adminKey, s.event, ""))
	require.Regexp(t, "8 days before the event", b.why(adminKey, s.event, "?endpoint_id="+s.endpoint.String())[0]["text"])

	var want []string
	for i := range 5 {
		s.make(map[bool]string{true: others, false: ""}[i%2 == 0])
		want = append(want, s.endpoint.String())
	}
	s.send("a")
	var have []string
	for cursor := ""; ; {
		page := b.requireObject(b.do("GET", "/api/events/"+s.event.String()+"/why?limit=2"+cursor, ""), 200)
		for _, item := range page["items"].([]any) {
			have = append(have, item.(object)["endpoint_id"].(string))
		}
		if page["next_cursor"] == nil {
			break
		}
		cursor = "&cursor=" + page["next_cursor"].(string)
	}
	require.Equal(t, want, have, "deliveries and endpoints without one are one list")
}

// Of an id that no event has the answer tells what its time does; of a foreign one the same as of one that never was.
func TestWhyOfNoEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint(ownTenant, "")
	tenantKey, _ := b.newKey("tenant", ownTenant)
	foreign := b.newEvent(foreignTenant, "a")
	at := func(when string) (id uuid.UUID) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT outhook.uuid_v7(`+when+`)`).Scan(&id))
		return id
	}
	for _, c := range []struct {
		key  string
		id   uuid.UUID
		text string
	}{
		{adminKey, uuid.New(), `UUIDs of version 7$`},
		{adminKey, at("now() + interval '1 day'"), `its time, \S+Z, is yet to come`},
		{adminKey, at("now() - interval '40 days'"), `the log begins at \S+Z; what is older has left with the retention$`},
		{adminKey, at("now() - interval '1 minute'"), `was rolled back, has not been committed yet, or was in another database$`},
		{adminKey, at("(now() AT TIME ZONE 'UTC')::date AT TIME ZONE 'UTC' - interval '2 h'"), `rolled back|rolled back, has not`},
		{tenantKey, at("now()"), `or is another tenant's, or was in another database$`},
		{tenantKey, foreign, `or is another tenant's, or was in another database$`},
		{adminKey, endpoint, `^no event has this id: it is that of an endpoint$`},
		{tenantKey, endpoint, `that of an endpoint$`},
		{tenantKey, b.newEndpoint(foreignTenant, ""), `another tenant's`},
	} {
		r := b.as(c.key, "GET", "/api/events/"+c.id.String()+"/why", "")
		p := b.requireProblem(r, 404)
		require.Equal(t, "not_found", p.Code)
		require.Regexp(t, c.text, p.Detail)
	}
}

// A tenant with 1,000 endpoints gets the whole answer in a moment.
func TestWhyOfManyEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO outhook.endpoints (id, tenant_id, url, event_types) SELECT outhook.uuid_v7(clock_timestamp(), i), 'acme', 'https://example.com/' || i,
		CASE WHEN i % 2 = 0 THEN '{a}' ELSE '{b,c.*}' END::text[] FROM generate_series(1, 1000) AS i`)
	b.exec(`UPDATE outhook.endpoints SET timeout_ms = 2000`)
	event := b.newEvent(ownTenant, "a")
	b.exec(`ANALYZE outhook.endpoints, outhook.endpoint_revisions, outhook.deliveries, outhook.river_job, outhook.audit_entries`)
	path := "/api/events/" + event.String() + "/why?limit=1000"
	var best time.Duration
	for range 5 {
		began := time.Now()
		answer := b.do("GET", path, "")
		if took := time.Since(began); best == 0 || took < best {
			best = took
		}
		require.Len(t, b.requireObject(answer, 200)["items"], 1000)
	}
	t.Logf("the best of 5: %s", best)
	require.Less(t, best, 2*time.Second, "no table is read for each of them")
}
