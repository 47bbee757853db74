package api_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/eventtype"
	"github.com/outhook/outhook/internal/catalog"
)

// catalogDocument reads a document of a public API's shape as JSON without white space.
func catalogDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../internal/catalog/testdata", name))
	require.NoError(t, err)
	doc, err := catalog.FromYAML(text)
	require.NoError(t, err)
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(doc))
	return strings.TrimSpace(b.String())
}

// push pushes a document; more are members of the body.
func (b *testBundle) push(doc, more string) object {
	b.t.Helper()
	return b.requireObject(b.do("POST", "/api/catalog", `{"document":`+doc+more+`}`), 200)
}

// pull returns the catalogue as a document.
func (b *testBundle) pull() string {
	b.t.Helper()
	var body struct{ Document json.RawMessage }
	r := b.do("GET", "/api/catalog", "")
	require.Equal(b.t, 200, r.status, r.body)
	require.NoError(b.t, json.Unmarshal(r.body, &body))
	return string(body.Document)
}

// What is pulled is what was pushed: of the documents of three public APIs' shapes, and of all three together.
func TestCatalogRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"github.yaml", "stripe.json", "svix.yaml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			doc := catalogDocument(t, name)
			report := b.push(doc, "")
			require.Equal(t, false, report["breaking"])
			for _, reported := range report["types"].([]any) {
				require.Equal(t, []any{object{"pointer": "", "what": "is new", "breaking": false}}, reported.(object)["changes"])
			}

			pulled := b.pull()
			require.True(t, catalog.Equal([]byte(doc), []byte(pulled)), "%s\n%s", doc, pulled)
			again := b.push(pulled, "")
			require.Empty(t, again["types"])
			require.EqualValues(t, len(report["types"].([]any)), again["unchanged"])
			require.Equal(t, pulled, b.pull(), "byte for byte")
		})
	}

	b := setup(t)
	for _, name := range []string{"github.yaml", "stripe.json", "svix.yaml"} {
		b.push(catalogDocument(t, name), "")
	}
	require.Empty(t, b.push(b.pull(), "")["types"])
	require.Equal(t, 7, b.count(`SELECT count(*) FROM outhook.event_types`))
}

// A breaking change is refused, shown by a dry run, and made if it is allowed; a schema that is another is a new version.
func TestCatalogChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	doc := catalogDocument(t, "stripe.json")
	b.push(doc, "")
	changed := strings.Replace(doc, `"email":{"type":["string","null"]},`, "", 1)
	require.NotEqual(t, doc, changed)
	changed = strings.Replace(changed, `"2XX":{"description":"received"}`, `"2XX":{"description":"got it"}`, 1)

	dry := b.push(changed, `,"dry_run":true`)
	require.Equal(t, true, dry["breaking"])
	require.Equal(t, true, dry["dry_run"])
	p := b.requireProblem(b.do("POST", "/api/catalog", `{"document":`+changed+`}`), 409)
	require.Equal(t, "breaking_change", p.Code)
	require.Equal(t, "customer.created /data/object/email is gone", p.Errors[0].Message)
	require.Equal(t, 0, b.count(`SELECT count(*) FROM outhook.event_type_versions WHERE version > 1`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'push-catalog'`))

	done := b.push(changed, `,"allow_breaking":true,"note":"GDPR"`)
	require.Equal(t, dry["types"], done["types"])
	got := b.requireObject(b.do("GET", "/api/event-types/customer.created", ""), 200)
	require.EqualValues(t, 2, got["version"])
	require.Equal(t, "deprecated", got["state"])
	versions := got["versions"].([]any)
	require.Len(t, versions, 2)
	require.Equal(t, []any{true, "GDPR"}, []any{versions[0].(object)["breaking"], versions[0].(object)["note"]})
	second := b.requireObject(b.do("GET", "/api/event-types/customer.created/versions/2", ""), 200)
	require.Equal(t, []any{object{"pointer": "/data/object/email", "what": "is gone", "breaking": true}}, second["changes"])
	require.Empty(t, b.requireObject(b.do("GET", "/api/event-types/customer.created/versions/1", ""), 200)["changes"])
	b.requireProblem(b.do("GET", "/api/event-types/customer.created/versions/3", ""), 404)

	// Only what the document does not have is archived, and only if that is wanted; it comes back.
	one := `{"openapi":"3.1.0","webhooks":{"invoice.paid":{}}}`
	require.Equal(t, []any{"customer.created"}, b.push(one, `,"allow_breaking":true`)["missing"])
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.event_types WHERE state <> 'archived'`))
	require.Equal(t, true, b.push(one, `,"dry_run":true,"prune":true`)["breaking"])
	b.push(one, `,"allow_breaking":true,"prune":true`)
	require.NotContains(t, b.pull(), "customer.created")
	require.Contains(t, b.pull(), "Payments events", "a document without a title changes none")
	b.push(doc, `,"allow_breaking":true`)
	require.Contains(t, b.pull(), "customer.created")
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.push(catalogDocument(t, "svix.yaml"), "")
	b.newEndpoint("acme", "")
	list := func(query string) (names []string) {
		t.Helper()
		for _, item := range b.requireObject(b.do("GET", "/api/event-types"+query, ""), 200)["items"].([]any) {
			names = append(names, item.(object)["name"].(string))
		}
		return names
	}
	require.Equal(t, []string{"benefit_grant.revoked", "subscription.canceled", "subscription.created"}, list(""))
	require.Equal(t, []string{"subscription.created", "subscription.canceled"}, list("?group=Subscriptions&order=desc"))
	require.Equal(t, []string{"benefit_grant.revoked", "subscription.canceled"}, list("?limit=2"))

	r := b.do("GET", "/api/event-types/subscription.created", "")
	got := b.requireObject(r, 200)
	require.EqualValues(t, 1, got["subscribers"])
	require.Equal(t, []any{"warn", "active", "public", "Subscriptions"}, []any{got["enforce"], got["state"], got["visibility"], got["group"]})
	require.Contains(t, string(r.body), `"required":["type","data"]`, "as it was written")
	b.requireProblem(b.do("GET", "/api/event-types/unknown.type", ""), 404)

	// What people change stays until the document says otherwise, is in what is pulled, and stops no delivery.
	const path = "/api/event-types/subscription.created"
	changed := b.do("PATCH", path, `{"state":"deprecated","visibility":"hidden","enforce":"none"}`, "If-Match", r.header.Get("ETag"))
	require.Equal(t, "deprecated", b.requireObject(changed, 200)["state"])
	b.requireProblem(b.do("PATCH", path, `{"state":"active"}`, "If-Match", r.header.Get("ETag")), 412)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'update-event-type'
		AND object_type = 'event_type' AND object_id = 'subscription.created'
		AND detail = '{"state": "deprecated", "visibility": "hidden", "enforce": "none"}'`))
	b.requireObject(b.do("PATCH", path, `{"state":"deprecated"}`), 200)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'update-event-type'`), "nothing was different")
	require.Contains(t, b.pull(), `"x-outhook-visibility":"hidden"`)
	require.Empty(t, b.push(b.pull(), "")["types"])
	sent := b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"subscription.created","payload":{}}`), 202)
	require.EqualValues(t, 1, sent["delivery_count"])
	b.push(catalogDocument(t, "svix.yaml"), "")
	got = b.requireObject(b.do("GET", path, ""), 200)
	require.Equal(t, []any{"none", "active", "public"}, []any{got["enforce"], got["state"], got["visibility"]})

	for body, fault := range map[string][2]string{
		`{"state":"gone"}`: {"body.state", "must be one of"}, `{"enforce":1}`: {"body.enforce", "must be a string"},
		`{"title":"x"}`: {"body.title", "is unknown"},
	} {
		b.requireFault(b.do("PATCH", path, body), 422, fault[0], fault[1])
	}
}

// A tenant's key is shown what is public, and nothing of samples.
func TestCatalogOfATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.push(catalogDocument(t, "svix.yaml"), "")
	b.exec(`INSERT INTO outhook.event_type_samples (type, version, checked, violations, seen_at, problem)
		VALUES ('subscription.created', 1, 9, 3, now(), 'must be string'), ('secret.type', NULL, 1, 0, now(), '')`)
	require.Contains(t, string(b.do("GET", "/api/catalog/undescribed", "").body), "secret.type")
	key, _ := b.newKey("read", "acme")

	body := string(b.as(key, "GET", "/api/event-types", "").body) + string(b.as(key, "GET", "/api/catalog", "").body)
	require.Contains(t, body, "subscription.created")
	require.NotContains(t, body, "benefit_grant.revoked")
	require.NotContains(t, body, "subscription.canceled")
	for _, path := range []string{"benefit_grant.revoked", "subscription.canceled", "benefit_grant.revoked/versions/1"} {
		b.requireProblem(b.as(key, "GET", "/api/event-types/"+path, ""), 404)
	}
	require.EqualValues(t, 0, b.requireObject(b.as(key, "GET", "/api/event-types/subscription.created", ""), 200)["checked"])
	require.NotContains(t, string(b.as(key, "GET", "/api/catalog/undescribed", "").body), "secret.type")
	b.requireProblem(b.as(key, "POST", "/api/catalog", `{}`), 403)
	b.requireProblem(b.as(key, "PATCH", "/api/event-types/subscription.created", `{}`), 403)
}

func TestWrongPushes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, fault := range map[string][2]string{
		`{}`:                               {"body.document", "is required"},
		`{"document":"x"}`:                 {"body.document", "must be an object"},
		`{"document":{"openapi":"3.0.0"}}`: {"body.document.openapi", "must be 3.1.x"},
		`{"document":{"openapi":"3.1.0","webhooks":{"no type":{}}}}`:                 {"body.document.webhooks", "must be an event type"},
		`{"document":{"openapi":"3.1.0"},"dry_run":1}`:                               {"body.dry_run", "must be true or false"},
		`{"document":{"openapi":"3.1.0"},"note":"` + strings.Repeat("x", 501) + `"}`: {"body.note", "longer than 500"},
		`{"document":{"openapi":"3.1.0"},"force":true}`:                              {"body.force", "is unknown"},
	} {
		b.requireFault(b.do("POST", "/api/catalog", body), 422, fault[0], fault[1])
	}
	require.Equal(t, 0, b.count(`SELECT count(*) FROM outhook.event_types`))
}

// Of a type that says reject, the API refuses what breaks its schema, one event or one of many, and stores nothing; so it does of
// types that are not in the catalogue, if the server wants that.
func TestEventsAreHeldAgainstTheCatalogue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.push(`{"openapi":"3.1.0","webhooks":{"a.b":{"post":{"requestBody":{"content":{"application/json":{"schema":
		{"type":"object","properties":{"n":{"type":"integer"}}}}}}}}}}`, "")
	event := func(payload string) string { return `{"tenant_id":"acme","type":"a.b","payload":` + payload + `}` }
	send := func(payload string) response { return b.do("POST", "/api/events", event(payload)) }
	b.requireObject(send(`[]`), 202)

	for _, enforce := range []string{"reject", "guard"} {
		b.requireObject(b.do("PATCH", "/api/event-types/a.b", `{"enforce":"`+enforce+`"}`), 200)
		stored := b.count(`SELECT count(*) FROM outhook.events`)
		p := b.requireProblem(send(`{"n":"secret-1"}`), 422)
		require.Equal(t, "schema_violated", p.Code)
		require.Equal(t, "the payload breaks version 1 of the schema of its event type", p.Detail)
		require.Equal(t, "body.payload", p.Errors[0].Location)
		require.Equal(t, "must be integer at /n", p.Errors[0].Message)
		p = b.requireProblem(b.do("POST", "/api/events/batch", `{"events":[`+event(`{}`)+`,`+event(`{"n":"secret-1"}`)+`]}`), 422)
		require.Equal(t, "body.events[1].payload", p.Errors[0].Location)
		require.Equal(t, stored, b.count(`SELECT count(*) FROM outhook.events`))
		b.requireObject(send(`{"n":1}`), 202)
		require.NotContains(t, b.log.String(), "secret-1")
	}
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.event_types WHERE guard IS NOT NULL`))
	_, err := b.pool.Exec(t.Context(), `SELECT outhook.enqueue('acme', 'a.b', '{"n":"secret-1"}')`)
	require.ErrorContains(t, err, "breaks the guard of a.b")

	// A new version is a new guard, and what is archived is held against nothing.
	b.push(`{"openapi":"3.1.0","webhooks":{"a.b":{"post":{"requestBody":{"content":{"application/json":{"schema":{"type":"array"}}}}}}}}`, `,"allow_breaking":true`)
	b.requireObject(send(`[]`), 202)
	b.exec(`SELECT outhook.enqueue('acme', 'a.b', '[]')`)
	require.Contains(t, b.requireProblem(send(`{}`), 422).Detail, "version 2")
	b.requireObject(b.do("PATCH", "/api/event-types/a.b", `{"state":"archived"}`), 200)
	b.requireObject(send(`{}`), 202)
	b.exec(`SELECT outhook.enqueue('acme', 'a.b', '{}')`)
	b.requireObject(b.do("PATCH", "/api/event-types/a.b", `{"state":"active"}`), 200)
	b.requireProblem(send(`{}`), 422)

	strict := setupOn(t, b.pool, func(c *api.Config) { c.Limits.KnownTypes = true })
	strict.requireObject(strict.do("POST", "/api/events", event(`[]`)), 202)
	r := strict.do("POST", "/api/events", `{"tenant_id":"acme","type":"a.c","payload":1}`)
	p := strict.requireProblem(r, 422)
	require.Equal(t, "event_type_unknown", p.Code)
	require.Equal(t, "body.type", p.Errors[0].Location)
	b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a.c","payload":1}`), 202)
}

// Of the catalogue's changes in another process, one hears within seconds, and events wait for no look.
func TestTheCheckerLooksAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	doc := `{"openapi":"3.1.0","webhooks":{"a.b":{"post":{"requestBody":{"content":{"application/json":{"schema":{"type":"object"}}}}}}}}`
	b.push(doc, "")
	checker := &eventtype.Checker{Pool: b.pool}
	e := outhook.Event{TenantID: "acme", Type: "a.b", Payload: json.RawMessage(`1`)}
	require.NoError(t, checker.Check(t.Context(), e, "body"))
	b.exec(`UPDATE outhook.event_types SET enforce = 'reject'`)
	b.exec(`UPDATE outhook.catalogs SET revision = revision + 1`)
	require.NoError(t, checker.Check(t.Context(), e, "body"), "what it knows is good for a while")
	checker.Forget()
	require.Error(t, checker.Check(t.Context(), e, "body"))
}
