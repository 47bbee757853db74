package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const tell = "INSERT INTO outhook.leases (name, holder, until) VALUES "

// Each delivery that is where it is for another cause says that one, and only that.
func TestWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const (
		lives   = tell + `('worker/w1', 'w1', now() + interval '1 h')`
		job     = `UPDATE outhook.river_job SET `
		gave    = job + `metadata = '{"late": `
		runs    = job + `state = 'running', attempt = 1, attempted_at = now(), attempted_by = '{w0,w1}'`
		settled = `UPDATE outhook.deliveries SET completed_at = now(), next_attempt_at = NULL, attempt_count = 1, state = `
		failed  = `INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, status_code)
			SELECT d.event_id, d.endpoint_id, 1, now(), 'rejected', 503 FROM outhook.deliveries AS d`
		retry = failed + `; UPDATE outhook.deliveries SET attempt_count = 1, try_count = 1, next_attempt_at = now() + interval '1 h';
			UPDATE outhook.river_job SET state = 'retryable', scheduled_at = now() + interval '1 h'`
		lane = `UPDATE outhook.endpoints SET lane = 'slow', lane_reason = 'it is slow'; UPDATE outhook.river_job SET queue = 'endpoint-' || (args ->> 'endpoint_id');
			INSERT INTO outhook.lanes (endpoint_id) SELECT id FROM outhook.endpoints`
		pause  = `INSERT INTO outhook.pauses (tenant_id, paused_by, reason) VALUES `
		queues = `; INSERT INTO outhook.river_queue (name, paused_at, updated_at)
			SELECT k.name, p.paused_at, now() FROM unnest('{deliver,deliver_slow}'::text[]) AS k (name), outhook.pauses AS p WHERE p.tenant_id = ''`
		status = `UPDATE outhook.endpoints SET status_changed_at = now(), status_reason = 'api', status = `
	)
	for because, cases := range map[string][][2]string{
		"settled": {
			{lives + ";" + settled + `'failed', reason = 'exhausted';` + failed, `^it failed at \S+Z after 1 attempt, which was rejected with status 503: its retry schedule is used up; replay it .*\. Advice: the receiver is`},
			{settled + `'cancelled', reason = 'operator'`, `^it was cancelled at \S+Z after 1 attempt: a person cancelled it$`},
			{`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, status_code)
				SELECT d.event_id, d.endpoint_id, 1, now(), 'succeeded', 204 FROM outhook.deliveries AS d;` + settled + `'succeeded'`, `^it was delivered at \S+Z by attempt 1, which succeeded with status 204$`},
		},
		"sending": {{lives + ";" + runs, `^the worker w1 has had it since \S+Z: attempt 1$`}},
		"worker_lost": {
			{tell + `('worker/w2', 'w2', now() + interval '1 h');` + runs, `has lost its lease`},
		},
		"no_live_worker": {
			{`SELECT`, `^no worker process is alive \(none was ever seen\)`},
			{tell + `('worker/w1', 'w1', now() - interval '1 s'), ('workers', 'workers', now() - interval '1 s');` + runs, `the last was seen at \S+Z`},
			{`DELETE FROM outhook.river_job`, `no worker process is alive`},
			{lane, `no worker process is alive`},
		},
		"endpoint_paused": {{status + `'paused'`, `^its endpoint was paused at \S+Z: the delivery waits until`}},
		"endpoint_disabled": {
			{status + `'disabled'`, `^its endpoint was disabled at \S+Z: the delivery is about to be cancelled$`},
			{status + `'disabled'; UPDATE outhook.endpoints SET status_reason = 'failing: 70 attempts in a row since 2026-01-02'`, `\(it kept failing: 70 attempts in a row since 2026-01-02\)`},
		},
		"endpoint_deleted": {{`UPDATE outhook.endpoints SET deleted_at = now()`, `was deleted`}},
		"job_missing": {
			{lives + `; DELETE FROM outhook.river_job`, `reconcile gives it a new one`},
			{lives + ";" + job + `state = 'cancelled', finalized_at = now()`, `reconcile`},
		},
		"idle_queue": {{lives + ";" + job + `queue = 'theirs'`, `in the queue theirs, which no worker serves`}},
		"waiting_for_retry": {
			{retry, `^it waits for try 2 of 4, due at \S+Z; attempt 1 was rejected with status 503$`},
			{retry + `; UPDATE outhook.endpoints SET retry_schedule = '{1,2}'`, `try 2 of 3`},
			{retry + `; UPDATE outhook.deliveries SET try_count = 0`, `^its next attempt, number 2, is due at`},
		},
		"set_aside": {
			{lives + ";" + job + `state = 'scheduled', scheduled_at = now() + interval '1 h'`, `as many requests under way to the endpoint's host`},
			{lives + ";" + job + `scheduled_at = now() + interval '1 h', metadata = '{"rescues": 3}'`, `3 workers in a row have died`},
		},
		"given_back": {
			{lives + ";" + gave + `"secret", "due": "1"}'`, `^a worker took it and could not send it: no key of the worker's OUTHOOK_ENCRYPTION_KEY opens`},
			{lives + ";" + gave + `"panic", "due": "1", "rescues": 1}', scheduled_at = now() + interval '1 s'`, `it crashed inside the worker`},
		},
		"queue_paused": {
			{lives + ";" + gave + `"load", "due": "1"}'; INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver', now(), now())`, `was paused by a person`},
			{lives + `; INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver', now(), now())`, `^the queue .* was paused by a person at .* River UI`},
			{lives + ";" + lane + `; INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver_slow', now(), now())`, `was paused by a person`},
		},
		"tenant_paused": {
			{pause + `('acme', 'alice', 'a move')`, `^the deliveries of the tenant acme have been paused by alice since \S+Z \(a move\)`},
			{lives + ";" + retry + ";" + pause + `('acme', 'alice', 'a move'), ('', 'bob', 'all')`, `paused by alice`},
		},
		"all_paused": {
			{lives + ";" + pause + `('', 'bob', 'all')` + queues, `^all deliveries have been paused by bob since \S+Z \(all\)`},
			{lives + ";" + lane + ";" + pause + `('', 'bob', 'all'), ('globex', 'x', 'x')` + queues, `paused by bob`},
		},
		"throttled": {{lives + ";" + lane + `; UPDATE outhook.lanes SET held_until = now() + interval '1 h'`, `^its endpoint has asked for a break, .*: nothing is sent to it before \S+Z; none is ahead of it$`}},
		"waiting_for_lane": {
			{
				lives + ";" + lane + `; UPDATE outhook.lanes SET width = 7; UPDATE outhook.endpoints SET rate_limit = 3;
					INSERT INTO outhook.river_job (kind, args, queue, max_attempts, scheduled_at) SELECT 'deliver', '{}', j.queue, 1, now() - interval '1 h'
					FROM outhook.river_job AS j, generate_series(1, 12)`,
				`^it waits for its turn in its endpoint's lane, which has been slow since \S+Z \(it is slow\): 12 deliveries are ahead of it, and at most 7 requests may be under way, 3 per second$`,
			},
			{lives + ";" + lane + `; UPDATE outhook.endpoints SET lane = ''`, `the pacer is about to move it`},
			{
				lives + ";" + lane + ";" + gave + `"stop", "due": "1"}', state = 'scheduled', scheduled_at = now() + interval '1 h'`,
				`^a worker that stops has handed it over before anything was sent: it gets its place in its endpoint's lane back at \S+Z$`,
			},
		},
		"waiting_for_slot": {
			{lives + ";" + gave + `"stop", "due": "1"}'`, `^it has been due since`},
			{
				lives + ";" + gave + `"stop", "due": "1"}', state = 'scheduled', scheduled_at = now() + interval '1 h', queue = 'bulk-1'`,
				`^a worker that stops has handed it over before anything was sent: another takes it from \S+Z on$`,
			},
			{lives + ";" + gave + `"secret"}'`, `^it has been due since`}, // an older worker has taken the rest of the note away
			{lives + ";" + pause + `('', 'bob', 'River UI has resumed all queues'), ('globex', 'x', 'another tenant')`, `waits for a free slot`},
			{lives, `^it has been due since \S+Z and waits for a free slot of a worker: in the queue deliver none is ahead of it$`},
			{lives + `; INSERT INTO outhook.river_job (kind, args, queue, max_attempts, scheduled_at) SELECT 'deliver', '{}', 'deliver', 1, now() - interval '1 h'
				FROM generate_series(1, 1001)`, `more than 1000 deliveries are ahead of it`},
		},
	} {
		for _, c := range cases {
			b.exec(`TRUNCATE outhook.events, outhook.deliveries, outhook.delivery_attempts, outhook.endpoints, outhook.endpoint_secrets, outhook.endpoint_health,
				outhook.river_job, outhook.river_queue, outhook.leases, outhook.lanes, outhook.pauses`)
			endpoint := b.newEndpoint(ownTenant, "")
			event := b.newEvent(ownTenant, "a")
			for statement := range strings.SplitSeq(c[0], ";") {
				b.exec(statement)
			}
			got := b.why(adminKey, event, "")
			require.Len(t, got, 1, c[0])
			require.Equal(t, because, got[0]["because"], "%s: %v", c[0], got[0])
			require.Regexp(t, c[1], got[0]["text"], c[0])
			require.Equal(t, []any{event.String(), endpoint.String(), ownTenant}, []any{got[0]["event_id"], got[0]["endpoint_id"], got[0]["tenant_id"]})
		}
	}
}

// why returns the items of an event.
func (b *testBundle) why(key string, event uuid.UUID, query string) (items []object) {
	b.t.Helper()
	answer := b.requireObject(b.as(key, "GET", "/api/events/"+event.String()+"/why"+query, ""), 200)
	for _, item := range answer["items"].([]any) {
		items = append(items, item.(map[string]any))
	}
	return items
}

// A tenant's key is shown nothing of workers, of others' deliveries and of who else has a key; an endpoint that is asked
// for must be the event's tenant's.
func TestWhyTellsATenantItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenantKey, _ := b.newKey("tenant", ownTenant)
	readKey, _ := b.newKey("read", ownTenant)
	first := b.newEndpoint(ownTenant, `,"uid":"first"`)
	b.newEndpoint(ownTenant, `,"uid":"second"`)
	foreign := b.newEndpoint(foreignTenant, `,"uid":"foreign"`)
	event := b.newEvent(ownTenant, "a")
	b.exec(tell + `('worker/w1', 'w1', now() + interval '1 h')`)

	require.Len(t, b.why(readKey, event, ""), 2)
	page := b.requireObject(b.as(readKey, "GET", "/api/events/"+event.String()+"/why?limit=1", ""), 200)
	require.Len(t, page["items"], 1)
	rest := b.why(readKey, event, "?limit=1&cursor="+page["next_cursor"].(string))
	require.Len(t, rest, 1)
	require.NotEqual(t, page["items"].([]any)[0].(map[string]any)["endpoint_id"], rest[0]["endpoint_id"])
	require.Equal(t, first.String(), b.why(adminKey, event, "?endpoint_id=first")[0]["endpoint_id"])
	for _, name := range []string{foreign.String(), uuid.NewString(), "foreign"} {
		require.Empty(t, b.why(adminKey, event, "?endpoint_id="+name), name)
		require.Empty(t, b.why(tenantKey, event, "?endpoint_id="+name), name)
	}

	const one = "?endpoint_id=first"
	require.Contains(t, b.why(adminKey, event, one)[0]["text"], "in the queue deliver")
	got := b.why(tenantKey, event, one)[0]
	require.Equal(t, "waiting_for_slot", got["because"])
	require.NotContains(t, got["text"], "ahead of it")
	require.Nil(t, got["ahead"])

	b.exec(`UPDATE outhook.river_job SET state = 'running', attempted_at = now(), attempted_by = '{w1}'`)
	require.Equal(t, "w1", b.why(adminKey, event, one)[0]["worker"])
	got = b.why(tenantKey, event, one)[0]
	require.Equal(t, "sending", got["because"])
	require.NotContains(t, got["text"], "w1")
	require.Nil(t, got["worker"])

	b.exec(`UPDATE outhook.river_job SET state = 'available'`)
	pause := func(key, status string) {
		b.requireObject(b.as(key, "PATCH", "/api/endpoints/"+first.String(), `{"status":"`+status+`"}`), 200)
	}
	pause(adminKey, "paused")
	require.Equal(t, "OUTHOOK_API_KEY", b.why(adminKey, event, one)[0]["by"])
	require.Contains(t, b.why(adminKey, event, one)[0]["text"], "paused by OUTHOOK_API_KEY at ")
	require.Equal(t, "operator", b.why(tenantKey, event, one)[0]["by"])
	require.NotContains(t, b.why(tenantKey, event, one)[0]["text"], "OUTHOOK_API_KEY")
	pause(adminKey, "enabled")
	pause(tenantKey, "paused")
	require.Equal(t, "tenant of acme", b.why(tenantKey, event, one)[0]["by"])
}
