package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/signature"
)

// openSecrets returns the secrets that are stored for an endpoint, in their text form.
func (b *testBundle) openSecrets(id uuid.UUID) (list []string) {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), "SELECT key_id, sealed FROM outhook.endpoint_secrets WHERE endpoint_id = $1", id)
	require.NoError(b.t, err)
	defer rows.Close()
	for rows.Next() {
		var keyID string
		var sealed []byte
		require.NoError(b.t, rows.Scan(&keyID, &sealed))
		raw, err := b.keyring.Open(keyID, sealed, id[:])
		require.NoError(b.t, err)
		secret, err := signature.SecretFromBytes(raw)
		require.NoError(b.t, err)
		list = append(list, secret.Reveal())
	}
	require.NoError(b.t, rows.Err())
	return list
}

func TestPostEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("HasDefaultsAndASecretOfItsOwn", func(t *testing.T) {
		t.Parallel()
		r := b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com/x?token=1"}`)
		got := b.requireObject(r, 201)
		id := uuid.MustParse(got["id"].(string))
		require.Equal(t, "/api/endpoints/"+id.String(), r.header.Get("Location"))
		secret := got["secret"].(string)
		require.Equal(t, []string{secret}, b.openSecrets(id))
		parsed, err := signature.ParseSecret(secret)
		require.NoError(t, err)
		require.Len(t, parsed.Bytes(), 32)
		for name, want := range map[string]any{
			"uid": nil, "tenant_id": "acme", "url": "https://example.com/x?token=1", "description": "", "event_types": []any{},
			"headers": object{}, "timeout_ms": 15000.0, "retry_schedule": nil, "retry_jitter": nil, "status": "enabled", "status_reason": "",
			"metadata": object{}, "filter": nil, "labels": []any{}, "format": "standard", "ordered": "",
			"health": object{
				"state": "healthy", "state_changed_at": nil, "consecutive_failures": 0.0, "failing_since": nil, "last_success_at": nil,
				"last_failure_at": nil, "last_status_code": nil, "last_error": nil, "probe_at": nil,
			},
		} {
			require.Equal(t, want, got[name], name)
		}
		for _, name := range []string{"created_at", "updated_at", "status_changed_at"} {
			at, err := time.Parse(time.RFC3339Nano, got[name].(string))
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), at, time.Minute)
		}
		require.Len(t, got, 26)

		again := b.requireObject(b.do("GET", r.header.Get("Location"), ""), 200)
		require.NotContains(t, again, "secret")
		delete(got, "secret")
		require.Equal(t, got, again)
		require.NotContains(t, b.log.String(), secret)
		require.NotContains(t, b.log.String(), "token=1")
	})

	t.Run("KeepsWhatIsGiven", func(t *testing.T) {
		t.Parallel()
		secret := signature.NewSecret().Reveal()
		got := b.requireObject(b.do("POST", "/api/endpoints", `{"tenant_id":"full","url":"https://example.com","description":"Büro <1>",
			"event_types":["invoice.*","user.created"],"headers":{"X-Team":"a b","x-2":""},"secret":"`+secret+`","timeout_ms":30000,
			"retry_schedule":["1s","90s","1m","2h","168h"],"retry_jitter":0.15,"metadata":{"plan":"gold","":"é"}}`), 201)
		require.Equal(t, secret, got["secret"])
		require.Equal(t, "Büro <1>", got["description"])
		require.Equal(t, []any{"invoice.*", "user.created"}, got["event_types"])
		require.Equal(t, object{"X-Team": "a b", "x-2": ""}, got["headers"])
		require.Equal(t, []any{"1s", "1m30s", "1m", "2h", "168h"}, got["retry_schedule"])
		require.InDelta(t, 0.15, got["retry_jitter"], 0)
		require.Equal(t, object{"plan": "gold", "": "é"}, got["metadata"])
		require.Equal(t, []string{secret}, b.openSecrets(uuid.MustParse(got["id"].(string))))
	})

	t.Run("NullIsTheDefault", func(t *testing.T) {
		t.Parallel()
		got := b.requireObject(b.do("POST", "/api/endpoints", `{"tenant_id":"null","url":"https://example.com","description":null,"event_types":null,
			"headers":null,"secret":null,"timeout_ms":null,"retry_schedule":null,"retry_jitter":null,"metadata":null}`), 201)
		require.EqualValues(t, 15000, got["timeout_ms"])
		require.Nil(t, got["retry_jitter"])
		require.True(t, strings.HasPrefix(got["secret"].(string), "whsec_"))
	})

	t.Run("TakesPresetsAndNoRetries", func(t *testing.T) {
		t.Parallel()
		for given, want := range map[string][]any{
			`"fast"`:     {"1m", "2m", "4m"},
			`"standard"`: {"5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"},
			`[]`:         {},
		} {
			r := b.do("POST", "/api/endpoints", `{"tenant_id":"presets","url":"https://example.com","retry_schedule":`+given+`}`)
			require.Equal(t, want, b.requireObject(r, 201)["retry_schedule"])
		}
	})
}

func TestEndpointsOfATenantAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxEndpoints = 2 })
	first := b.newEndpoint("acme", "")
	b.newEndpoint("acme", "")
	const body = `{"tenant_id":"acme","url":"https://example.com"}`
	b.requireProblem(b.do("POST", "/api/endpoints", body), 409)
	b.newEndpoint("other", "")
	require.Equal(t, 204, b.do("DELETE", "/api/endpoints/"+first.String(), "").status)
	require.Equal(t, 201, b.do("POST", "/api/endpoints", body).status)
}

func TestListEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for i := range 5 {
		ids = append(ids, b.newEndpoint([]string{"acme", "other"}[i%2], "").String())
	}
	list := func(query string) (got []string, next string) {
		t.Helper()
		r := b.requireObject(b.do("GET", "/api/endpoints"+query, ""), 200)
		for _, item := range r["items"].([]any) {
			require.NotContains(t, item, "secret")
			got = append(got, item.(object)["id"].(string))
		}
		next, _ = r["next_cursor"].(string)
		return got, next
	}
	var all []string
	for query := "?limit=2"; query != ""; {
		got, next := list(query)
		all = append(all, got...)
		query = ""
		if next != "" {
			query = "?limit=2&cursor=" + next
		}
	}
	require.Equal(t, ids, all)
	got, _ := list("?tenant_id=other")
	require.Equal(t, []string{ids[1], ids[3]}, got)
	require.Equal(t, 204, b.do("DELETE", "/api/endpoints/"+ids[0], "").status)
	got, _ = list("")
	require.Equal(t, ids[1:], got)
	b.requireFault(b.do("GET", "/api/endpoints?tenant_id=a%00", ""), 422, "query.tenant_id", "NUL")
}

func TestPatchEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("ChangesGivenMembersOnly", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("acme", `,"description":"d","timeout_ms":2000,"retry_schedule":["1m"],"retry_jitter":0,"headers":{"x":"1"},"metadata":{"a":"b"},"event_types":["a"]`)
		path := "/api/endpoints/" + id.String()
		before := b.requireObject(b.do("GET", path, ""), 200)
		after := b.requireObject(b.do("PATCH", path, `{"url":"https://example.org/new"}`), 200)
		require.Equal(t, "https://example.org/new", after["url"])
		require.NotEqual(t, before["updated_at"], after["updated_at"])
		for _, name := range []string{"url", "updated_at"} {
			delete(before, name)
			delete(after, name)
		}
		require.Equal(t, before, after)

		after = b.requireObject(b.do("PATCH", path, `{"description":null,"timeout_ms":null,"retry_schedule":null,"retry_jitter":null,"headers":null,"metadata":null,"event_types":null}`), 200)
		for name, want := range map[string]any{
			"description": "", "timeout_ms": 15000.0, "retry_schedule": nil, "retry_jitter": nil, "headers": object{}, "metadata": object{}, "event_types": []any{},
		} {
			require.Equal(t, want, after[name], name)
		}
		require.Len(t, b.openSecrets(id), 1)
	})

	t.Run("DisablingOrdersWhatIsPendingToBeCancelled", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("disabled", "")
		path := "/api/endpoints/" + id.String()
		got := b.requireObject(b.do("PATCH", path, `{"status":"disabled"}`), 200)
		require.Equal(t, "disabled", got["status"])
		require.Equal(t, "api", got["status_reason"])
		require.NotEqual(t, got["created_at"], got["status_changed_at"])
		const ordered = "SELECT count(*) FROM outhook.endpoints WHERE id = $1 AND cancel_since IS NOT NULL"
		require.Equal(t, 1, b.count(ordered, id))
		again := b.requireObject(b.do("PATCH", path, `{"status":"disabled"}`), 200)
		require.Equal(t, got["status_changed_at"], again["status_changed_at"])
		require.Equal(t, "enabled", b.requireObject(b.do("PATCH", path, `{"status":null}`), 200)["status"])
		require.Zero(t, b.count(ordered, id))
	})

	// However much waits, and whoever works on it: the answer does not depend on it.
	t.Run("NoChangeOfTheStatusTouchesAJobOrADelivery", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("touched", "")
		event := b.newEvent("touched", "a")
		path := "/api/endpoints/" + id.String()
		require.Equal(t, 200, b.do("PATCH", path, `{"status":"paused"}`).status)
		b.exec("UPDATE outhook.river_job SET queue = 'endpoint-' || $1::text WHERE args ->> 'event_id' = $2", id.String(), event.String())
		tx, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		_, err = tx.Exec(t.Context(), "SELECT FROM outhook.river_job WHERE args ->> 'event_id' = $1 FOR UPDATE", event.String())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "SELECT FROM outhook.deliveries WHERE event_id = $1 FOR UPDATE", event)
		require.NoError(t, err)
		for _, status := range []string{"enabled", "paused", "disabled", "paused", "enabled"} {
			require.Equal(t, 200, b.do("PATCH", path, `{"status":"`+status+`"}`).status, status)
		}
		require.Equal(t, 204, b.do("DELETE", path, "").status)
	})

	t.Run("UnknownIsNotFound", func(t *testing.T) {
		t.Parallel()
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			body := ""
			if method == "PATCH" {
				body = "{}"
			}
			b.requireProblem(b.do(method, "/api/endpoints/"+uuid.NewString(), body), 404)
			b.requireFault(b.do(method, "/api/endpoints/a%20b", body), 422, "path.id", "UUID")
		}
		b.requireProblem(b.do("POST", "/api/endpoints/"+uuid.NewString()+"/test", ""), 404)
	})
}

func TestDeleteEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.newEndpoint("acme", "")
	event := b.newEvent("acme", "a")
	path := "/api/endpoints/" + id.String()
	r := b.do("DELETE", path, "")
	require.Equal(t, 204, r.status)
	require.Empty(t, r.body)

	require.Empty(t, b.openSecrets(id), "the secrets are erased")
	for _, method := range []string{"GET", "DELETE"} {
		b.requireProblem(b.do(method, path, ""), 404)
	}
	b.requireProblem(b.do("PATCH", path, "{}"), 404)
	d := b.requireObject(b.do("GET", "/api/deliveries/"+event.String()+"/"+id.String(), ""), 200)
	require.Equal(t, "pending", d["state"], "a worker process cancels it")
	require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.endpoints WHERE id = $1 AND cancel_since IS NOT NULL", id))
	require.EqualValues(t, 0, b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`), 202)["delivery_count"])
}
