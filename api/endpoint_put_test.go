package api_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestPutEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, _ := b.newKey("tenant", "acme")
	put := func(name, body string, headers ...string) response {
		t.Helper()
		return b.as(key, "PUT", "/api/endpoints/"+name, body, headers...)
	}
	trail := func(id string) int {
		return b.count("SELECT count(*) FROM outhook.audit_entries WHERE object_id = $1 AND action = 'put-endpoint'", id)
	}

	t.Run("CreatesAndReplaces", func(t *testing.T) {
		t.Parallel()
		const body = `{"url":"https://example.com","description":"d","timeout_ms":2000,"headers":{"x":"1"},"secret_headers":{"X-Token":"s3cret"},
			"metadata":{"a":"b"},"event_types":["a"],"rate_limit":{"requests":5},"retry_schedule":["1m"],"retry_jitter":0.1}`
		r := put("main", body)
		created := b.requireObject(r, 201)
		id, secret := created["id"].(string), created["secret"].(string)
		require.Equal(t, "/api/endpoints/"+id, r.header.Get("Location"))
		require.Equal(t, "main", created["uid"])
		require.Equal(t, "acme", created["tenant_id"])

		row := func() (xmin string) {
			require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT xmin::text FROM outhook.endpoints WHERE id = $1", id).Scan(&xmin))
			return xmin
		}
		written := row()
		for _, again := range []string{body, strings.Replace(body, "{", `{"secret":"`+secret+`",`, 1)} {
			same := put("main", again)
			got := b.requireObject(same, 200)
			require.Equal(t, r.header.Get("ETag"), same.header.Get("ETag"))
			require.NotContains(t, got, "secret")
			require.Empty(t, same.header.Get("Location"))
		}
		require.Equal(t, written, row(), "what changes nothing writes nothing")
		require.Equal(t, 1, trail(id))

		require.Equal(t, 200, b.as(key, "PATCH", "/api/endpoints/main", `{"status":"paused"}`).status)
		got := b.requireObject(put("main", `{"url":"https://example.org"}`), 200)
		for name, want := range map[string]any{
			"id": id, "uid": "main", "url": "https://example.org", "description": "", "timeout_ms": 15000.0, "headers": object{}, "metadata": object{},
			"event_types": []any{}, "rate_limit": nil, "retry_schedule": nil, "retry_jitter": nil, "secret_header_names": []any{}, "status": "paused",
		} {
			require.Equal(t, want, got[name], name)
		}
		require.Equal(t, []string{secret}, b.openSecrets(uuid.MustParse(id)))
		require.Equal(t, 2, trail(id))

		got = b.requireObject(put(id, `{"url":"https://example.net"}`), 200)
		require.Equal(t, "main", got["uid"], "by its id it keeps its uid")
		require.Equal(t, "other", b.requireObject(put(id, `{"url":"https://example.net","uid":"other"}`), 200)["uid"])
	})

	t.Run("Refuses", func(t *testing.T) {
		t.Parallel()
		gone := b.newEndpoint("acme", "").String()
		require.Equal(t, 204, b.do("DELETE", "/api/endpoints/"+gone, "").status)
		b.requireProblem(put(gone, `{"url":"https://example.com"}`), 404)
		b.requireProblem(put(uuid.NewString(), `{"url":"https://example.com"}`), 404)
		b.requireFault(put("a", `{"url":"https://example.com","uid":"b"}`), 422, "body.uid", "differs")
		b.requireFault(put("a", `{}`), 422, "body.url", "required")
		r := b.do("PUT", "/api/endpoints/a?tenant_id=acme", `{"url":"https://example.com","tenant_id":"globex"}`)
		b.requireFault(r, 422, "body.tenant_id", "differs")
		b.requireFault(put("a%20b", `{"url":"https://example.com"}`), 422, "path.id", "uid")
		b.requireProblem(put("a?tenant_id=globex", `{"url":"https://example.com"}`), 403)
		b.requireFault(b.do("PUT", "/api/endpoints/a", `{"url":"https://example.com"}`), 422, "body.tenant_id", "required")
		require.Equal(t, "globex", b.requireObject(b.do("PUT", "/api/endpoints/a?tenant_id=globex", `{"url":"https://example.com"}`), 201)["tenant_id"])

		require.Equal(t, 201, put("secret", `{"url":"https://example.com"}`).status)
		p := b.requireProblem(put("secret", `{"url":"https://example.com","secret":"whsec_`+strings.Repeat("A", 32)+`"}`), 409)
		require.Equal(t, "secret_differs", p.Code)
	})

	t.Run("SaysWhatItChangedOrWould", func(t *testing.T) {
		t.Parallel()
		const body = `{"url":"https://example.com","secret_headers":{"X-Token":"s3cret"}}`
		would := put("dry?dry_run=true", body)
		require.NotContains(t, b.requireObject(would, 201), "secret")
		require.Empty(t, would.header.Get("Location"))
		require.Equal(t, 404, b.as(key, "GET", "/api/endpoints/dry", "").status)

		made := put("dry", body)
		created := b.requireObject(made, 201)
		id := created["id"].(string)
		require.NotContains(t, created, "changed")
		require.NotContains(t, b.requireObject(put("dry", body), 200), "changed")

		other := `{"url":"https://example.com","description":"d","secret_headers":{"X-Token":"other"}}`
		want := []any{"description", "secret_headers"}
		asked := b.requireObject(put("dry?dry_run=true", other), 200)
		require.Equal(t, want, asked["changed"])
		require.Equal(t, "d", asked["description"])
		is := b.as(key, "GET", "/api/endpoints/dry", "")
		require.Equal(t, made.header.Get("ETag"), is.header.Get("ETag"))
		require.Equal(t, 1, trail(id), "a dry run is no change")
		require.Equal(t, want, b.requireObject(put("dry", other), 200)["changed"])
		require.Equal(t, 2, trail(id))

		b.requireFault(put("dry?dry_run=true", `{"url":"nowhere"}`), 422, "body.url", "")
	})

	t.Run("ManyAtOnceMakeOne", func(t *testing.T) {
		t.Parallel()
		var mu sync.Mutex
		var statuses []int
		together(8, func(int) {
			r, err := b.try("PUT", "/api/endpoints/raced?tenant_id=acme", `{"url":"https://example.com"}`)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				statuses = append(statuses, r.status)
			}
		})
		slices.Sort(statuses)
		require.Equal(t, []int{200, 200, 200, 200, 200, 200, 200, 201}, statuses)
	})
}
