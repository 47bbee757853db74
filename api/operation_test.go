package api_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestOperations(t *testing.T) {
	t.Parallel()

	t.Run("RecoverStartsOneAndShowsItsProgress", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		path := "/api/endpoints/" + id.String() + "/recover"
		r := b.do("POST", path, `{"since":"2026-01-02T03:04:05Z","event_types":["invoice.*"],"missed":true}`)
		op := b.requireObject(r, 202)
		location := r.header.Get("Location")
		require.Equal(t, "/api/operations/"+op["id"].(string), location)
		require.Equal(t, "recover", op["kind"])
		require.Equal(t, "running", op["state"])
		require.Equal(t, "acme", op["tenant_id"])
		require.Equal(t, true, op["missed"])
		require.Equal(t, id.String(), op["endpoint_id"])
		require.Equal(t, []any{"failed", "cancelled"}, op["states"])
		require.Equal(t, []any{"invoice.*"}, op["event_types"])
		require.Equal(t, "2026-01-02T03:04:05Z", op["since"])
		require.Zero(t, op["replayed_count"])
		require.Nil(t, op["total_count"])
		require.Equal(t, op, b.requireObject(b.do("GET", location, ""), 200))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.river_job WHERE kind = 'operate' AND queue = 'operations'`))
		b.requireProblem(b.do("POST", path, `{"since":"2026-01-02T03:04:05Z"}`), 409)

		require.Equal(t, "paused", b.requireObject(b.do("POST", location+"/pause", ""), 200)["state"])
		require.Equal(t, "paused", b.requireObject(b.do("POST", location+"/pause", ""), 200)["state"])
		require.Equal(t, "running", b.requireObject(b.do("POST", location+"/resume", ""), 200)["state"])
		cancelled := b.requireObject(b.do("POST", location+"/cancel", ""), 200)
		require.Equal(t, "cancelled", cancelled["state"])
		require.NotNil(t, cancelled["completed_at"])
		b.requireProblem(b.do("POST", location+"/resume", ""), 409)
		b.requireProblem(b.do("POST", "/api/operations/"+uuid.NewString()+"/pause", ""), 404)
		b.requireProblem(b.do("GET", "/api/operations/"+uuid.NewString(), ""), 404)

		b.do("PATCH", "/api/endpoints/"+id.String(), `{"status":"disabled"}`)
		b.requireProblem(b.do("POST", path, `{"since":"2026-01-02T03:04:05Z"}`), 409)
		b.requireProblem(b.do("POST", "/api/endpoints/"+uuid.NewString()+"/recover", `{"since":"2026-01-02T03:04:05Z"}`), 404)
	})

	t.Run("ReplayTakesAnyFilterAndListsPage", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		for _, body := range []string{
			`{"since":"2026-01-02T03:04:05+01:00","until":"2026-01-02T04:00:00Z"}`,
			`{"since":"2026-01-02T03:04:05Z","tenant_id":"acme","states":["succeeded","cancelled"]}`,
			`{"since":"2026-01-02T03:04:05Z","endpoint_id":"` + id.String() + `"}`,
		} {
			b.requireObject(b.do("POST", "/api/operations", body), 202)
		}
		first := b.requireObject(b.do("GET", "/api/operations?limit=2", ""), 200)
		items := first["items"].([]any)
		require.Len(t, items, 2)
		require.Equal(t, id.String(), items[0].(object)["endpoint_id"])
		require.Equal(t, []any{"succeeded", "cancelled"}, items[1].(object)["states"])
		last := b.requireObject(b.do("GET", "/api/operations?limit=2&cursor="+first["next_cursor"].(string), ""), 200)
		require.Len(t, last["items"], 1)
		oldest := last["items"].([]any)[0].(object)
		require.Equal(t, "2026-01-02T02:04:05Z", oldest["since"])
		require.Equal(t, "2026-01-02T04:00:00Z", oldest["until"])
		require.Equal(t, []any{"failed"}, oldest["states"])
		require.Len(t, b.requireObject(b.do("GET", "/api/operations?tenant_id=acme", ""), 200)["items"], 1)
		require.Len(t, b.requireObject(b.do("GET", "/api/operations?endpoint_id="+id.String(), ""), 200)["items"], 1)
		require.Empty(t, b.requireObject(b.do("GET", "/api/operations?state=completed", ""), 200)["items"])
	})

	t.Run("ATenantsKeyReplaysAndSeesItsTenantOnly", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		key, _ := b.newKey("tenant", "acme")
		all := b.requireObject(b.do("POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z"}`), 202)
		b.requireProblem(b.as(key, "GET", "/api/operations/"+all["id"].(string), ""), 404)
		b.requireProblem(b.as(key, "POST", "/api/operations/"+all["id"].(string)+"/cancel", ""), 404)
		foreign := b.newEndpoint("globex", "")
		for _, id := range []string{foreign.String(), uuid.NewString()} {
			b.requireFault(b.as(key, "POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z","endpoint_id":"`+id+`"}`), 422, "body.endpoint_id", "no endpoint of the tenant")
		}
		own := b.requireObject(b.as(key, "POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z"}`), 202)
		require.Equal(t, "acme", own["tenant_id"])
		b.requireFault(b.as(key, "POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z","tenant_id":"globex"}`), 403, "body.tenant_id", "bound to")
		items := b.requireObject(b.as(key, "GET", "/api/operations", ""), 200)["items"].([]any)
		require.Len(t, items, 1)
		require.Equal(t, own["id"], items[0].(object)["id"])

		b.exec(`UPDATE outhook.operations SET last_error = 'failed to connect to 10.0.0.1'`)
		path := "/api/operations/" + own["id"].(string)
		require.Equal(t, "the server is in trouble: it tries again", b.requireObject(b.as(key, "GET", path, ""), 200)["last_error"])
		require.Equal(t, "failed to connect to 10.0.0.1", b.requireObject(b.do("GET", path, ""), 200)["last_error"])
	})

	t.Run("ATenantHasSoManyAtATime", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		b.exec(`INSERT INTO outhook.operations (id, kind, tenant_id, states, since, until)
			SELECT outhook.uuid_v7(), 'replay', 'acme', '{failed}', now() - interval '1 hour', now() FROM generate_series(1, 100)`)
		for _, path := range []string{"/api/operations", "/api/endpoints/" + id.String() + "/recover"} {
			body := `{"since":"2026-01-02T03:04:05Z"`
			if path == "/api/operations" {
				body += `,"tenant_id":"acme"`
			}
			r := b.do("POST", path, body+"}")
			require.Contains(t, b.requireProblem(r, 429).Detail, "100 operations of the tenant are running")
			b.requireRetryAfter(r, 10)
		}
		b.requireObject(b.do("POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z","tenant_id":"globex"}`), 202)
		b.exec(`UPDATE outhook.operations SET state = 'paused' WHERE id = (SELECT min(id::text)::uuid FROM outhook.operations)`)
		b.requireObject(b.do("POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z","tenant_id":"acme"}`), 202)
	})

	t.Run("WrongFiltersAreNamed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		path := "/api/endpoints/" + b.newEndpoint("acme", "").String() + "/recover"
		for _, tc := range []struct{ path, body, location, message string }{
			{path, `{}`, "body.since", "required"},
			{path, `{"since":"yesterday"}`, "body.since", "2026-01-02T15:04:05Z"},
			{path, `{"since":3}`, "body.since", "string"},
			{path, `{"since":"2999-01-02T03:04:05Z"}`, "body.since", "future"},
			{path, `{"since":"2026-01-02T03:04:05Z","until":"2026-01-02T03:04:05Z"}`, "body.until", "later"},
			{path, `{"since":"2026-01-02T03:04:05Z","states":["succeeded"]}`, "body.states[0]", "failed or cancelled"},
			{path, `{"since":"2026-01-02T03:04:05Z","missed":"yes"}`, "body.missed", "true or false"},
			{"/api/operations", `{"since":"2026-01-02T03:04:05Z","missed":true}`, "body.missed", "unknown"},
			{path, `{"since":"2026-01-02T03:04:05Z","tenant_id":"acme"}`, "body.tenant_id", "unknown"},
			{path, `{"since":"2026-01-02T03:04:05Z","event_types":["*"]}`, "body.event_types[0]", "empty list"},
			{"/api/operations", `{"since":"2026-01-02T03:04:05Z","states":["pending"]}`, "body.states[0]", "succeeded"},
			{"/api/operations", `{"since":"2026-01-02T03:04:05Z","endpoint_id":"x y"}`, "body.endpoint_id", "uid"},
			{"/api/operations", `{"since":"2026-01-02T03:04:05Z","endpoint_id":"x"}`, "body.tenant_id", "required"},
			{"/api/operations", `{"since":"2026-01-02T03:04:05Z","tenant_id":""}`, "body.tenant_id", "empty"},
			{"/api/operations", `{"since":"2026-01-02T03:04:05Z","endpoint_id":"` + uuid.NewString() + `"}`, "body.endpoint_id", "no endpoint of"},
		} {
			b.requireFault(b.do("POST", tc.path, tc.body), 422, tc.location, tc.message)
		}
		require.Zero(t, b.count(`SELECT count(*) FROM outhook.operations`))
	})
}
