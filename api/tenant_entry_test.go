package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTenantEntries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.newEndpoint("acme", "")
	b.newEvent("acme", "a")
	list := func(query string) (labels []any) {
		t.Helper()
		for _, item := range b.requireObject(b.do("GET", "/api/tenants"+query, ""), 200)["items"].([]any) {
			labels = append(labels, item.(object)["tenant_id"])
		}
		return labels
	}
	require.Empty(t, list(""), "a tenant needs no entry")
	p := b.requireProblem(b.do("GET", "/api/tenants/acme", ""), 404)
	require.Contains(t, p.Detail, "has no entry")
	for _, method := range []string{"PATCH", "DELETE"} {
		b.requireProblem(b.do(method, "/api/tenants/acme", map[string]string{"PATCH": "{}"}[method]), 404)
	}

	r := b.do("PUT", "/api/tenants/acme", `{"name":"ACME GmbH","contact":"ops@acme.example","metadata":{"plan":"gold","seats":"7"}}`)
	made := b.requireObject(r, 201)
	require.Equal(t, []any{"acme", "ACME GmbH", "ops@acme.example", object{"plan": "gold", "seats": "7"}},
		[]any{made["tenant_id"], made["name"], made["contact"], made["metadata"]})
	got := b.do("GET", "/api/tenants/acme", "")
	require.Equal(t, made, b.requireObject(got, 200))
	require.Equal(t, r.header.Get("ETag"), got.header.Get("ETag"))

	changed := b.requireObject(b.do("PATCH", "/api/tenants/acme", `{"contact":null,"metadata":{"plan":"free","seats":null}}`), 200)
	require.Equal(t, []any{"ACME GmbH", "", object{"plan": "free"}}, []any{changed["name"], changed["contact"], changed["metadata"]})
	require.Equal(t, made["created_at"], changed["created_at"])
	require.Greater(t, changed["updated_at"], made["updated_at"])
	require.Equal(t, changed, b.requireObject(b.do("PATCH", "/api/tenants/acme", `{"name":"ACME GmbH"}`), 200), "nothing is different")
	replaced := b.requireObject(b.do("PUT", "/api/tenants/acme", `{"name":"Acme"}`), 200)
	require.Equal(t, []any{"Acme", "", object{}}, []any{replaced["name"], replaced["contact"], replaced["metadata"]})
	require.Equal(t, made["created_at"], replaced["created_at"])

	// Labels are any text; the operator's own tenant may have an entry, too.
	for _, label := range []string{"a/b c", "<b>", "é", "outhook.operator", "a+b", "100%"} {
		path := "/api/tenants/" + url.PathEscape(label)
		require.Equal(t, label, b.requireObject(b.do("PUT", path, "{}"), 201)["tenant_id"])
		require.Equal(t, label, b.requireObject(b.do("GET", path, ""), 200)["tenant_id"])
	}
	all := []any{"acme", "a/b c", "<b>", "é", "outhook.operator", "a+b", "100%"}
	require.Equal(t, all, list(""))
	first := b.requireObject(b.do("GET", "/api/tenants?limit=4&order=desc", ""), 200)
	require.Len(t, first["items"], 4)
	require.Equal(t, []any{"<b>", "a/b c", "acme"}, list("?limit=4&order=desc&cursor="+first["next_cursor"].(string)))

	// The entry alone: everything else is where it was.
	require.Equal(t, 204, b.do("DELETE", "/api/tenants/acme", "").status)
	b.requireProblem(b.do("GET", "/api/tenants/acme", ""), 404)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.endpoints WHERE tenant_id = 'acme' AND deleted_at IS NULL AND status = 'enabled'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.events WHERE payload IS NOT NULL`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'update-tenant' AND object_id = 'acme'
		AND tenant_id = 'acme' AND detail = '{"members": ["contact", "metadata"]}'`))
	require.Equal(t, 8, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'put-tenant'`), "7 that were made, 1 replaced")
}

func TestTenantEntriesAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, fault := range map[string][2]string{
		`{"name":"` + strings.Repeat("ä", 256) + `"}`: {"body.name", "longer than 255 characters"},
		`{"name":1}`:                                               {"body.name", ""},
		`{"contact":"nobody"}`:                                     {"body.contact", "must be an e-mail address"},
		`{"contact":"Ann <ann@acme.example>"}`:                     {"body.contact", "without a name"},
		`{"contact":"a@b.example,c@d.example"}`:                    {"body.contact", "must be an e-mail address"},
		`{"contact":"a@b.example\r\nBcc: c@d.example"}`:            {"body.contact", "must be an e-mail address"},
		`{"contact":"` + strings.Repeat("é", 124) + `@b.example"}`: {"body.contact", "254 bytes"},
		`{"metadata":{"a":1}}`:                                     {"body.metadata.a", ""},
		`{"metadata":{"a":"` + strings.Repeat("x", 4097) + `"}}`:   {"body.metadata", "4096 bytes"},
		`{"tenant_id":"acme"}`:                                     {"body.tenant_id", "is unknown"},
	} {
		for method, path := range map[string]string{"PUT": "/api/tenants/new", "PATCH": "/api/tenants/acme"} {
			b.do("PUT", "/api/tenants/acme", "{}")
			b.requireFault(b.do(method, path, body), 422, fault[0], fault[1])
		}
	}
	require.Zero(t, b.count(`SELECT count(*) FROM outhook.tenants WHERE tenant_id = 'new'`))
	require.Equal(t, 201, b.do("PUT", "/api/tenants/most", `{"name":"`+strings.Repeat("ä", 255)+`","contact":"`+strings.Repeat("a", 244)+`@b.example"}`).status)
	b.requireFault(b.do("PUT", "/api/tenants/"+url.PathEscape(strings.Repeat("é", 200)), "{}"), 422, "path.tenant_id", "255 bytes")
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		body := map[string]string{"PUT": "{}", "PATCH": "{}"}[method]
		require.Equal(t, 422, b.do(method, "/api/tenants/"+strings.Repeat("x", 256), body).status, method)
		require.Equal(t, 422, b.do(method, "/api/tenants/%00", body).status, method)
	}
}

func TestTenantPreconditions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const path = "/api/tenants/acme"
	etag := func(r response) string {
		t.Helper()
		require.Contains(t, []int{200, 201}, r.status, "%s", r.body)
		require.Regexp(t, `^"[0-9a-z]+"$`, r.header.Get("ETag"))
		return r.header.Get("ETag")
	}
	failed := func(r response) {
		t.Helper()
		require.Equal(t, "precondition_failed", b.requireProblem(r, http.StatusPreconditionFailed).Code)
	}

	failed(b.do("PUT", path, "{}", "If-Match", "*"))
	first := etag(b.do("PUT", path, "{}", "If-None-Match", "*"))
	failed(b.do("PUT", path, `{"name":"1"}`, "If-None-Match", "*"))
	second := etag(b.do("PATCH", path, `{"name":"1"}`, "If-Match", first))
	require.NotEqual(t, first, second)
	require.Equal(t, second, etag(b.do("PUT", path, `{"name":"1"}`)), "nothing has changed")
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		failed(b.do(method, path, map[string]string{"PUT": `{"name":"2"}`, "PATCH": `{"name":"2"}`}[method], "If-Match", first))
	}

	r := b.do("GET", path, "", "If-None-Match", `"x", W/`+second)
	require.Equal(t, http.StatusNotModified, r.status)
	require.Empty(t, r.body)
	require.Equal(t, second, r.header.Get("ETag"))
	require.Equal(t, 200, b.do("GET", path, "", "If-None-Match", first).status)

	// A clock that is set back makes no ETag that was there before.
	b.exec(`UPDATE outhook.tenants SET updated_at = now() + interval '1 hour'`)
	ahead := etag(b.do("GET", path, ""))
	require.NotEqual(t, ahead, etag(b.do("PATCH", path, `{"name":"3"}`)))
	require.Equal(t, 204, b.do("DELETE", path, "", "If-Match", etag(b.do("GET", path, ""))).status)
}

// However many make an entry at the same time, one has made it, and the others have replaced it.
func TestAnEntryIsMadeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const many = 8
	statuses := make([]int, many)
	var wait sync.WaitGroup
	for i := range many {
		wait.Go(func() {
			r, err := b.try("PUT", "/api/tenants/acme", `{"name":"`+strings.Repeat("x", i)+`"}`)
			if err == nil {
				statuses[i] = r.status
			}
		})
	}
	wait.Wait()
	created := 0
	for _, status := range statuses {
		require.Contains(t, []int{200, 201, 429}, status) // 429: as many of one key are under way as may
		if status == 201 {
			created++
		}
	}
	require.Equal(t, 1, created)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.tenants`))
}

// Who is bound to a tenant reads what is noted of it, and changes nothing of it.
func TestATenantReadsItsOwnEntry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, label := range []string{"acme", "globex"} {
		b.requireObject(b.do("PUT", "/api/tenants/"+label, `{"name":"`+label+` Ltd"}`), 201)
	}
	key, _ := b.newKey("tenant", "acme")
	require.Equal(t, "acme Ltd", b.requireObject(b.as(key, "GET", "/api/tenants/acme", ""), 200)["name"])
	foreign, absent := b.as(key, "GET", "/api/tenants/globex", ""), b.as(key, "GET", "/api/tenants/nobody", "")
	require.Equal(t, 404, foreign.status)
	require.Equal(t, string(absent.body), string(foreign.body))
	items := b.requireObject(b.as(key, "GET", "/api/tenants", ""), 200)["items"].([]any)
	require.Len(t, items, 1)
	require.Equal(t, "acme", items[0].(object)["tenant_id"])
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		require.Equal(t, 403, b.as(key, method, "/api/tenants/acme", map[string]string{"PUT": "{}", "PATCH": "{}"}[method]).status)
	}
}
