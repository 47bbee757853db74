package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/apikey"
)

// portalBundle is an API with a portal that opens what it is given, as the real one does, and answers with the key.
type portalBundle struct{ *testBundle }

func setupPortal(t *testing.T, changes ...func(*api.Config)) *portalBundle {
	t.Helper()
	b := &portalBundle{}
	b.testBundle = setup(t, append([]func(*api.Config){func(cfg *api.Config) {
		cfg.Portal.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key, _, err := b.api.OpenPortalSession(r.Context(), r.FormValue("code"))
			if err != nil {
				key = err.Error()
			}
			_, _ = w.Write([]byte(key))
		})
	}}, changes...)...)
	return b
}

// open returns the key of a session that a link's code is exchanged for, "" if it is refused.
func (b *portalBundle) open(code string) string {
	b.t.Helper()
	return string(b.do("GET", "/portal/open?code="+code, "").body)
}

// link makes a link, and returns what it is and its code.
func (b *portalBundle) link(key, body string) (made map[string]any, code string) {
	b.t.Helper()
	made = b.requireObject(b.as(key, "POST", "/api/portal-sessions", body), 201)
	before, code, found := strings.Cut(made["url"].(string), "/portal/enter#")
	require.True(b.t, found)
	require.Equal(b.t, b.server.URL, before)
	return made, code
}

func TestPortalSessions(t *testing.T) { //nolint:tparallel // they share the bundle
	t.Parallel()
	b := setupPortal(t)
	own, ownID := b.newKey("tenant", ownTenant)
	foreign, _ := b.newKey("tenant", foreignTenant)
	live := func(key string) int { return b.as(key, "GET", "/api/sessions/current", "").status }

	t.Run("ALinkOpensOnce", func(t *testing.T) { //nolint:paralleltest // they share the bundle
		made, code := b.link(own, `{"label":"alice","return_url":"https://app.example.com/x","theme":"dark","locale":"de"}`)
		require.Equal(t, ownTenant, made["tenant_id"])
		require.Equal(t, false, made["opened"])
		require.Len(t, made["capabilities"], 7)
		b.requireProblem(b.as(code, "GET", "/api/endpoints", ""), 403) // it is good for nothing else
		b.requireProblem(b.as(code, "GET", "/api/sessions/current", ""), 403)

		key := b.open(code)
		require.Regexp(t, `^ohs_`, key)
		require.Empty(t, b.open(code))
		b.requireProblem(b.as(code, "GET", "/api/endpoints", ""), 401)

		who := b.requireObject(b.as(key, "GET", "/api/sessions/current", ""), 200)
		require.Equal(t, []any{"portal: alice", "portal", "portal", ownTenant}, []any{who["name"], who["kind"], who["scope"], who["tenant_id"]})
		grant := who["portal"].(map[string]any)
		require.Equal(t, []any{"alice", "https://app.example.com/x", "dark", "de"}, []any{grant["label"], grant["return_url"], grant["theme"], grant["locale"]})
		require.Equal(t, made["expires_at"], who["expires_at"])

		listed := b.requireObject(b.as(own, "GET", "/api/portal-sessions", ""), 200)["items"].([]any)[0].(map[string]any)
		require.Equal(t, []any{made["id"], true, nil}, []any{listed["id"], listed["opened"], listed["link_expires_at"]})
		require.NotContains(t, listed, "url")
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'open-portal-session' AND actor = 'portal: alice'`))
	})

	t.Run("Ends", func(t *testing.T) { //nolint:paralleltest // they share the bundle
		session := func(maker, body string) (id, key string) {
			made, code := b.link(maker, body)
			return made["id"].(string), b.open(code)
		}
		id, key := session(own, `{}`)
		require.Equal(t, 200, live(key))
		b.requireProblem(b.as(foreign, "DELETE", "/api/portal-sessions/"+id, ""), 404)
		require.Equal(t, 204, b.as(own, "DELETE", "/api/portal-sessions/"+id, "").status)
		require.Equal(t, 401, live(key))
		b.requireProblem(b.as(own, "DELETE", "/api/portal-sessions/"+id, ""), 404)

		_, key = session(own, `{}`)
		_, other := session(own, `{}`)
		require.Equal(t, 204, b.as(key, "DELETE", "/api/sessions", "").status) // a logout is of one
		require.Equal(t, []int{401, 200}, []int{live(key), live(other)})
		require.Equal(t, 204, b.as(own, "DELETE", "/api/sessions", "").status) // of the console's
		require.Equal(t, 200, live(other))
		_, code := b.link(own, `{}`)
		require.Equal(t, 204, b.as(own, "DELETE", "/api/portal-sessions", "").status)
		require.Equal(t, 401, live(other))
		require.Empty(t, b.open(code))

		_, key = session(adminKey, `{"tenant_id":"acme"}`)
		b.api.SetBootstrapKey("another-admin-key-of-32-bytes-or-more")
		require.Equal(t, 401, live(key))
		b.api.SetBootstrapKey(adminKey)
		require.Equal(t, 200, live(key))
		b.exec(`UPDATE outhook.api_keys SET expires_at = now() WHERE key_hash = $1`, apikey.Hash(key))
		require.Equal(t, 401, live(key))

		_, code = b.link(own, `{}`)
		b.exec(`UPDATE outhook.api_keys SET expires_at = now() WHERE key_hash = $1`, apikey.Hash(code))
		require.Empty(t, b.open(code))
		_, key = session(own, `{}`)
		require.Equal(t, 204, b.do("DELETE", "/api/keys/"+ownID.String(), "").status)
		require.Equal(t, 401, live(key))
	})

	t.Run("MakesNoOther", func(t *testing.T) { //nolint:paralleltest // they share the bundle
		_, code := b.link(foreign, `{}`)
		key := b.open(code)
		for _, path := range []string{"/api/portal-sessions", "/api/sessions", "/api/sessions/codes", "/api/keys"} {
			b.requireProblem(b.as(key, "POST", path, `{}`), 403)
		}
	})
}

func TestPortalOrders(t *testing.T) {
	t.Parallel()
	b := setupPortal(t, func(cfg *api.Config) { cfg.Portal.PublicURL = "https://webhooks.example.com/" })
	for body, location := range map[string]string{
		`{}`:                               "body.tenant_id",
		`{"tenant_id":""}`:                 "body.tenant_id",
		`{"tenant_id":"outhook.operator"}`: "body.tenant_id",
		`{"tenant_id":"a","capabilities":["everything"]}`:              "body.capabilities[1]",
		`{"tenant_id":"a","expires_in_s":59}`:                          "body.expires_in_s",
		`{"tenant_id":"a","expires_in_s":604801}`:                      "body.expires_in_s",
		`{"tenant_id":"a","link_expires_in_s":0}`:                      "body.link_expires_in_s",
		`{"tenant_id":"a","origins":["https://*.example.com"]}`:        "body.origins[0]",
		`{"tenant_id":"a","origins":["https://a.example;b"]}`:          "body.origins[0]",
		`{"tenant_id":"a","origins":["http://app.example.com"]}`:       "body.origins[0]",
		`{"tenant_id":"a","origins":["https://app.example.com/path"]}`: "body.origins[0]",
		`{"tenant_id":"a","return_url":"javascript:alert(1)"}`:         "body.return_url",
		`{"tenant_id":"a","return_url":"/settings"}`:                   "body.return_url",
		`{"tenant_id":"a","locale":"tlh"}`:                             "body.locale",
		`{"tenant_id":"a","theme":"pink"}`:                             "body.theme",
		`{"tenant_id":"a","label":"a\u0007"}`:                          "body.label",
		`{"tenant_id":"a","label":"` + strings.Repeat("x", 201) + `"}`: "body.label",
		`{"tenant_id":"a","unknown":1}`:                                "body.unknown",
	} {
		b.requireFault(b.do("POST", "/api/portal-sessions", body), 422, location, "")
	}

	made := b.requireObject(b.do("POST", "/api/portal-sessions",
		`{"tenant_id":"a","capabilities":["test","test"],"origins":["HTTPS://App.Example.com:443/","http://localhost:3000"],"expires_in_s":60}`), 201)
	require.Equal(t, []any{"view", "test"}, made["capabilities"])
	require.Equal(t, []any{"https://app.example.com", "http://localhost:3000"}, made["origins"])
	require.Regexp(t, `^https://webhooks\.example\.com/portal/enter#ohc_`, made["url"])
	at, err := time.Parse(time.RFC3339, made["expires_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Minute), at, 30*time.Second)

	off := setup(t)
	off.requireProblem(off.do("POST", "/api/portal-sessions", `{"tenant_id":"a"}`), 409)
}

// Every operation × a session with each capability: it is admitted by those that have what the operation names, to its own
// tenant's objects alone.
func TestPortalCapabilities(t *testing.T) {
	t.Parallel()
	b := setupPortal(t)
	m := &matrixBundle{testBundle: b.testBundle, cases: map[string]int{}}
	m.describe("of.the.matrix")
	own, foreign, absent := m.newObjects(ownTenant), m.newObjects(foreignTenant), absentObjects()
	absent.event = foreign.event[:24] + absent.event[24:]

	sessions := map[string]string{}
	for _, c := range []string{"view", "payloads", "endpoints", "secrets:read", "secrets:rotate", "test", "replay"} {
		_, code := b.link(adminKey, `{"tenant_id":"`+ownTenant+`","capabilities":["`+c+`"]}`)
		sessions[c] = b.open(code)
	}

	named := 0
	for _, item := range b.api.OpenAPI().Paths {
		for method, op := range methods(item) {
			e := matrix()[op.OperationID]
			needs, _ := op.Extensions["x-portal-capability"].(string)
			if needs != "" {
				named++
			}
			for _, c := range slices.Sorted(maps.Keys(sessions)) {
				if needs != "view" && needs != c {
					m.refused(op.OperationID+" with "+c, 403, func() response { return m.call(sessions[c], method, e, own) })
					continue
				}
				if op.OperationID == "delete-sessions" || op.OperationID == "test-endpoint" {
					continue // tried elsewhere: it ends this one; it waits for a worker
				}
				r := m.call(sessions[c], method, e, foreign)
				if e.kind == ofObject {
					missing := m.call(sessions[c], method, e, absent)
					require.Equal(t, []int{404, 404}, []int{r.status, missing.status}, op.OperationID)
					require.Equal(t, string(missing.body), string(r.body), op.OperationID)
				}
				for _, trace := range []string{foreignTenant, foreign.endpoint, foreign.event} {
					require.NotContains(t, string(r.body), trace, op.OperationID)
				}
				if op.OperationID != "delete-endpoint" {
					r = m.call(sessions[c], method, e, own)
					require.Less(t, r.status, 300, "%s with %s: %s", op.OperationID, c, r.body)
				}
			}
		}
	}
	require.Greater(t, named, 20)

	// Payloads, and what receivers say, are for who may see them.
	for c, want := range map[string]any{"view": nil, "payloads": map[string]any{}} {
		var event map[string]any
		require.NoError(t, json.Unmarshal(b.as(sessions[c], "GET", "/api/events/"+own.event, "").body, &event))
		require.Equal(t, want, event["payload"], c)
		require.Equal(t, false, event["payload_erased"])
	}
	require.Equal(t, 404, b.as(sessions["view"], "GET", "/api/events/"+uuid.NewString(), "").status)
}
