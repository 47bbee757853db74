package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
)

const (
	ownTenant     = "acme"
	foreignTenant = "globex"
)

// objects are one of each kind, of one tenant.
type objects struct {
	tenant, endpoint, event, key, erasure, operation, session string

	noted string // the label of a tenant that has an entry

	uid   string // of the endpoint
	query string // of the request, with its ?
}

// named names the endpoint by its uid.
func (o objects) named() objects {
	o.endpoint = o.uid
	return o
}

// asked names the tenant in the query.
func (o objects) asked(tenant string) objects {
	o.query = "?tenant_id=" + tenant
	return o
}

// entry says who may call an operation, and how it is called for a tenant's objects.
type entry struct {
	scopes []string
	path   func(objects) string
	body   func(objects) string // nil: none
	kind   kind

	// audited is the type of the object that an entry of the audit trail names; "": there is no entry.
	audited string
}

// kind says what a key that is bound to another tenant gets.
type kind int

const (
	ofObject kind = iota // an object by its id: 404, as if it did not exist
	ofMaking             // something new of a tenant that the body names: 403
	ofItems              // objects that the body lists: each has a result, as if it did not exist
	ofList               // a list: without what is foreign
	ofSelf               // the key itself and its sessions: no object is named
	ofCounts             // counts, or a log from now on, which name no object; tests of their own look at whom they count
)

func at(text string) func(objects) string {
	return func(o objects) string {
		return strings.NewReplacer("{tenant}", o.tenant, "{noted}", o.noted, "{endpoint}", o.endpoint, "{event}", o.event, "{key}", o.key, "{session}", o.session, "{erasure}", o.erasure, "{operation}", o.operation, "{new}", uuid.NewString()).Replace(text)
	}
}

// matrix has an entry for each operation of the OpenAPI document.
func matrix() map[string]entry {
	admin := []string{"admin"}
	tenant := []string{"admin", "tenant"}
	operate := []string{"admin", "tenant", "operate"}
	read := []string{"admin", "tenant", "operate", "read"}
	publish := []string{"admin", "tenant", "publish"}
	enforced := 0
	return map[string]entry{
		"push-catalog": {
			scopes: admin, path: at("/api/catalog"), kind: ofSelf, audited: "catalog",
			body: at(`{"document":{"openapi":"3.1.0","webhooks":{"of.the.matrix":{"summary":"{new}"}}}}`),
		},
		"get-catalog":            {scopes: read, path: at("/api/catalog"), kind: ofCounts},
		"list-undescribed-types": {scopes: read, path: at("/api/catalog/undescribed"), kind: ofCounts},
		"list-event-types":       {scopes: read, path: at("/api/event-types"), kind: ofCounts},
		"get-event-type":         {scopes: read, path: at("/api/event-types/of.the.matrix"), kind: ofCounts},
		"get-event-type-version": {scopes: read, path: at("/api/event-types/of.the.matrix/versions/1"), kind: ofCounts},
		"update-event-type": {
			scopes: admin, path: at("/api/event-types/of.the.matrix"), kind: ofSelf, audited: "event_type",
			body: func(objects) string {
				enforced++ // each call changes something, however many were refused since the one before
				return fmt.Sprintf(`{"enforce":%q,"state":%q}`,
					[]string{"warn", "none", "reject", "guard"}[enforced%4], []string{"active", "deprecated"}[enforced/4%2])
			},
		},

		"delete-event-type": {scopes: admin, path: at("/api/event-types/of.the.matrix.gone"), kind: ofSelf, audited: "event_type"},

		"create-event":        {scopes: publish, path: at("/api/events"), body: at(`{"tenant_id":"{tenant}","type":"a","payload":1}`), kind: ofMaking},
		"create-events":       {scopes: publish, path: at("/api/events/batch"), body: at(`{"events":[{"tenant_id":"{tenant}","type":"a","payload":1}]}`), kind: ofMaking},
		"cancel-event":        {scopes: publish, path: at("/api/events/cancel?id={event}"), audited: "event"},
		"list-events":         {scopes: read, path: at("/api/events"), kind: ofList},
		"get-event":           {scopes: read, path: at("/api/events/{event}")},
		"explain-event":       {scopes: read, path: at("/api/events/{event}/why")},
		"list-event-attempts": {scopes: read, path: at("/api/events/{event}/attempts")},

		"list-delivery-attempts": {scopes: read, path: at("/api/deliveries/{event}/{endpoint}/attempts")},

		"list-deliveries": {scopes: read, path: at("/api/deliveries"), kind: ofList},
		"follow-attempts": {scopes: read, path: at("/api/attempts"), kind: ofCounts},
		"preview-filter":  {scopes: read, path: at("/api/endpoints/preview-filter"), body: at(`{"tenant_id":"{tenant}"}`), kind: ofMaking},
		"get-stats":       {scopes: read, path: at("/api/stats"), kind: ofCounts},

		"list-usage":       {scopes: read, path: at("/api/usage"), kind: ofCounts},
		"get-stats-series": {scopes: read, path: at("/api/stats/series"), kind: ofCounts},
		"get-endpoint-series": {
			scopes: read, path: at("/api/stats/series/endpoints?endpoint_id={endpoint}"), kind: ofCounts,
		},
		"get-delivery":    {scopes: read, path: at("/api/deliveries/{event}/{endpoint}")},
		"replay-delivery": {scopes: operate, path: at("/api/deliveries/{event}/{endpoint}/replay"), body: at(`{"now":true}`), audited: "delivery"},
		"replay-deliveries": {
			scopes: operate, path: at("/api/deliveries/replay"), body: at(`{"deliveries":[{"event_id":"{event}","endpoint_id":"{endpoint}"}],"now":true}`),
			kind: ofItems, audited: "delivery",
		},
		"erase-payload":   {scopes: tenant, path: at("/api/events/{event}/payload?force=true"), audited: "event"},
		"cancel-delivery": {scopes: tenant, path: at("/api/deliveries/{event}/{endpoint}/cancel"), audited: "delivery"},

		"create-endpoint": {
			scopes: tenant, path: at("/api/endpoints"), body: at(`{"tenant_id":"{tenant}","url":"https://example.com"}`),
			kind: ofMaking, audited: "endpoint",
		},
		"create-endpoints": {
			scopes: tenant, path: at("/api/endpoints/batch"), body: at(`{"endpoints":[{"tenant_id":"{tenant}","url":"https://example.com"}]}`),
			kind: ofMaking, audited: "endpoint",
		},
		"put-endpoint": {
			scopes: tenant, path: at("/api/endpoints/put-{new}"), body: at(`{"tenant_id":"{tenant}","url":"https://example.com"}`),
			kind: ofMaking, audited: "endpoint",
		},
		"list-endpoints":          {scopes: read, path: at("/api/endpoints"), kind: ofList},
		"get-endpoint":            {scopes: read, path: at("/api/endpoints/{endpoint}")},
		"list-endpoint-revisions": {scopes: read, path: at("/api/endpoints/{endpoint}/revisions")},

		"update-endpoint": {scopes: operate, path: at("/api/endpoints/{endpoint}"), body: at(`{"status":"paused"}`), audited: "endpoint"},
		"delete-endpoint": {scopes: tenant, path: at("/api/endpoints/{endpoint}"), audited: "endpoint"},
		"test-endpoint":   {scopes: operate, path: at("/api/endpoints/{endpoint}/test"), audited: "endpoint"},
		"rotate-secret":   {scopes: tenant, path: at("/api/endpoints/{endpoint}/rotate-secret"), body: at(`{"force":true}`), audited: "endpoint"},
		"get-secret":      {scopes: tenant, path: at("/api/endpoints/{endpoint}/secret"), audited: "endpoint"},

		"create-key": {
			scopes: admin, path: at("/api/keys"), body: at(`{"name":"new","scope":"tenant","tenant_id":"{tenant}"}`),
			kind: ofMaking, audited: "key",
		},
		"list-keys":  {scopes: admin, path: at("/api/keys"), kind: ofList},
		"revoke-key": {scopes: admin, path: at("/api/keys/{key}"), audited: "key"},

		"erase-tenant": {scopes: admin, path: at("/api/tenants/{tenant}/data"), kind: ofMaking, audited: "tenant"},
		"get-erasure":  {scopes: admin, path: at("/api/erasures/{erasure}")},

		"find": {scopes: read, path: at("/api/find?q={event}"), kind: ofCounts}, // TestFind looks at whose things are found

		"list-tenants":  {scopes: read, path: at("/api/tenants"), kind: ofList},
		"get-tenant":    {scopes: read, path: at("/api/tenants/{noted}")},
		"put-tenant":    {scopes: admin, path: at("/api/tenants/{tenant}"), body: at(`{"name":"{new}"}`), kind: ofMaking, audited: "tenant"},
		"update-tenant": {scopes: admin, path: at("/api/tenants/{noted}"), body: at(`{"name":"{new}"}`), audited: "tenant"},
		"delete-tenant": {scopes: admin, path: at("/api/tenants/{noted}"), audited: "tenant"},

		"recover-endpoint": {
			scopes: operate, path: at("/api/endpoints/{endpoint}/recover"), body: at(`{"since":"2026-01-02T03:04:05Z"}`), audited: "endpoint",
		},
		"preview-recover": {scopes: read, path: at("/api/endpoints/{endpoint}/recover/preview?since=2026-01-02T03:04:05Z")},
		"preview-operation": {
			scopes: read, path: at("/api/operations/preview?since=2026-01-02T03:04:05Z"), kind: ofCounts,
		},
		"create-operation": {
			scopes: operate, path: at("/api/operations"), body: at(`{"since":"2026-01-02T03:04:05Z","tenant_id":"{tenant}"}`),
			kind: ofMaking, audited: "operation",
		},
		"list-operations":  {scopes: read, path: at("/api/operations"), kind: ofList},
		"get-operation":    {scopes: read, path: at("/api/operations/{operation}")},
		"pause-operation":  {scopes: operate, path: at("/api/operations/{operation}/pause"), audited: "operation"},
		"resume-operation": {scopes: operate, path: at("/api/operations/{operation}/resume"), audited: "operation"},
		"cancel-operation": {scopes: operate, path: at("/api/operations/{operation}/cancel"), audited: "operation"},

		"create-session":      {scopes: read, path: at("/api/sessions"), kind: ofSelf, audited: "session"},
		"create-session-code": {scopes: read, path: at("/api/sessions/codes"), body: at(`{"expires_in_s":60}`), kind: ofSelf, audited: "session"},
		"get-session":         {scopes: read, path: at("/api/sessions/current"), kind: ofSelf},
		"delete-sessions":     {scopes: read, path: at("/api/sessions"), kind: ofSelf, audited: "session"},

		"create-portal-session": {
			scopes: tenant, path: at("/api/portal-sessions"), body: at(`{"tenant_id":"{tenant}"}`), kind: ofMaking, audited: "portal_session",
		},
		"list-portal-sessions": {scopes: tenant, path: at("/api/portal-sessions"), kind: ofList},
		"end-portal-session":   {scopes: tenant, path: at("/api/portal-sessions/{session}"), audited: "portal_session"},
		"end-portal-sessions":  {scopes: tenant, path: at("/api/portal-sessions?tenant_id={tenant}"), kind: ofMaking, audited: "tenant"},

		"pause-deliveries": {
			scopes: admin, path: at("/api/pauses"), body: at(`{"tenant_id":"{tenant}","reason":"a move"}`), kind: ofMaking, audited: "tenant",
		},
		"resume-deliveries": {
			scopes: admin, path: at("/api/pauses/resume"), body: at(`{"tenant_id":"{tenant}"}`), kind: ofMaking, audited: "tenant",
		},
		"list-pauses": {scopes: admin, path: at("/api/pauses"), kind: ofCounts},

		"list-workers": {scopes: admin, path: at("/api/workers"), kind: ofCounts},

		"list-audit": {scopes: tenant, path: at("/api/audit"), kind: ofList},
	}
}

// holder is a key of the matrix.
type holder struct {
	scope, tenant, text string
	id                  uuid.UUID
}

func (h holder) String() string { return h.scope + " of " + h.tenant }

// seesForeign tells whether the objects of a tenant that is not ownTenant exist for the key.
func (h holder) seesForeign() bool { return h.tenant == "" }

// matrixBundle counts the cases.
type matrixBundle struct {
	*testBundle

	holders []holder
	dead    []string
	made    int
	cases   map[string]int
}

func setupMatrix(t *testing.T) *matrixBundle {
	t.Helper()
	m := &matrixBundle{
		testBundle: setup(t, func(cfg *api.Config) { cfg.Portal.Handler = http.NotFoundHandler() }), cases: map[string]int{},
	}
	// It stands for the workers: each delivery has its first attempt at once.
	m.exec(`CREATE FUNCTION outhook.attempt_at_once() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, status_code)
			VALUES (NEW.event_id, NEW.endpoint_id, 1, now(), 'succeeded', 200);
			RETURN NEW;
		END $$`)
	m.exec(`CREATE TRIGGER attempt_at_once AFTER INSERT ON outhook.deliveries FOR EACH ROW EXECUTE FUNCTION outhook.attempt_at_once()`)
	for _, h := range []holder{
		{scope: "admin"},
		{scope: "tenant", tenant: ownTenant},
		{scope: "publish"},
		{scope: "publish", tenant: ownTenant},
		{scope: "read"},
		{scope: "read", tenant: ownTenant},
		{scope: "operate"},
		{scope: "operate", tenant: ownTenant},
	} {
		h.text, h.id = m.newKey(h.scope, h.tenant)
		m.holders = append(m.holders, h)
	}
	m.holders = append(m.holders, holder{scope: "admin", text: adminKey}) // the bootstrap key
	revoked, id := m.newKey("admin", "")
	require.Equal(t, 204, m.do("DELETE", "/api/keys/"+id.String(), "").status)
	expired, id := m.newKey("admin", "")
	m.exec(`UPDATE outhook.api_keys SET expires_at = now() WHERE id = $1`, id)
	m.dead = []string{"", "wrong", revoked, expired}
	m.describe("of.the.matrix")
	return m
}

// describe has an event type in the catalogue.
func (m *matrixBundle) describe(name string) {
	m.t.Helper()
	require.Equal(m.t, 200, m.do("POST", "/api/catalog", `{"document":{"openapi":"3.1.0","webhooks":{"`+name+`":{}}}}`).status)
}

// newObjects makes one of each kind.
func (m *matrixBundle) newObjects(tenant string) objects {
	m.t.Helper()
	m.made++
	eventType := fmt.Sprintf("only.t%d", m.made)
	o := objects{tenant: tenant, noted: tenant}
	o.uid = fmt.Sprintf("uid-%d", m.made)
	o.endpoint = m.newEndpoint(tenant, `,"event_types":["`+eventType+`"],"uid":"`+o.uid+`"`).String()
	o.event = m.newEvent(tenant, eventType).String()
	m.exec(`UPDATE outhook.events SET deliver_at = now() + interval '1 hour' WHERE id = $1`, o.event)
	_, id := m.newKey("tenant", tenant)
	o.key = id.String()
	m.exec(`UPDATE outhook.operations SET state = 'cancelled', completed_at = now() WHERE id IN (
		SELECT o.id FROM outhook.operations AS o WHERE o.state = 'running' AND o.tenant_id = $1 ORDER BY o.id DESC OFFSET 50)`, tenant) // a tenant may have 100
	filter := `{"since":"2026-01-02T03:04:05Z","tenant_id":"` + tenant + `","endpoint_id":"` + o.endpoint + `"}`
	o.operation = m.requireObject(m.do("POST", "/api/operations", filter), 202)["id"].(string)
	require.Less(m.t, m.do("PUT", "/api/tenants/"+tenant, `{"name":"`+o.endpoint+`"}`).status, 300)
	link := m.do("POST", "/api/portal-sessions", `{"tenant_id":"`+tenant+`","label":"`+o.endpoint+`"}`)
	o.session = m.requireObject(link, 201)["id"].(string)
	erasure := m.do("DELETE", "/api/tenants/"+tenant+"/data", "") // ordered and, without workers, not carried out
	o.erasure = m.requireObject(erasure, 202)["id"].(string)
	return o
}

func absentObjects() objects {
	return objects{
		tenant: foreignTenant, endpoint: uuid.NewString(), uid: "uid-absent", event: uuid.NewString(), key: uuid.NewString(), erasure: uuid.NewString(),
		operation: uuid.NewString(), session: uuid.NewString(), noted: "nobody-" + uuid.NewString(),
	}
}

// state returns a digest of all that an order can change: how many rows there are, and the transactions that wrote them.
func (m *matrixBundle) state() (digest string) {
	m.t.Helper()
	var query strings.Builder
	for _, table := range []string{
		"endpoints", "endpoint_secrets", "events", "event_keys", "deliveries", "river_job", "catalogs", "event_types",
		"event_type_versions", "tenants", "operations", "pauses", "audit_entries", "tenant_erasures",
	} {
		fmt.Fprintf(&query, "SELECT '%[1]s' || count(*) || ' ' || sum(xmin::text::bigint) FROM outhook.%[1]s UNION ALL ", table)
	}
	query.WriteString(`SELECT string_agg((t.name, t.paused_at)::text, '' ORDER BY t.name) FROM outhook.river_queue AS t
		UNION ALL SELECT string_agg((t.id, t.name, t.scope, t.tenant_id, t.expires_at, t.revoked_at)::text, '' ORDER BY t.id) FROM outhook.api_keys AS t`)
	require.NoError(m.t, m.pool.QueryRow(m.t.Context(), "SELECT string_agg(s.text, '|') FROM ("+query.String()+") AS s (text)").Scan(&digest))
	return digest
}

func (m *matrixBundle) call(key, method string, e entry, o objects) response {
	m.t.Helper()
	body := ""
	if e.body != nil {
		body = e.body(o)
	}
	path := e.path(o)
	if strings.Contains(path, "?") {
		o.query = strings.Replace(o.query, "?", "&", 1)
	}
	return m.as(key, method, path+o.query, body)
}

// refused wants an answer that is an error, and nothing changed.
func (m *matrixBundle) refused(name string, status int, call func() response) response {
	m.t.Helper()
	before := m.state()
	r := call()
	require.Equal(m.t, status, r.status, "%s: %s", name, r.body)
	require.Equal(m.t, before, m.state(), name)
	m.cases[fmt.Sprint(status)]++
	return r
}

// methods returns the operations of a path.
func methods(item *huma.PathItem) map[string]*huma.Operation {
	all := map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPatch: item.Patch, http.MethodPut: item.Put,
		http.MethodDelete: item.Delete, http.MethodHead: item.Head, http.MethodOptions: item.Options, http.MethodTrace: item.Trace,
	}
	maps.DeleteFunc(all, func(_ string, op *huma.Operation) bool { return op == nil })
	return all
}

// Every operation of the document × every kind of key × own, foreign and absent objects.
func TestTenantIsolationMatrix(t *testing.T) {
	t.Parallel()
	if testing.Short() { // with the race detector
		t.Skip("it makes one request after the other")
	}
	m := setupMatrix(t)
	entries := matrix()
	operations := 0
	for path, item := range m.api.OpenAPI().Paths {
		for method, op := range methods(item) {
			operations++
			e, ok := entries[op.OperationID]
			require.True(t, ok, "%s %s needs an entry in the matrix: who may call it, and what a foreign tenant's key gets", method, path)
			require.Equal(t, e.scopes, op.Security[0]["key"], "the document tells the scopes of %s", op.OperationID)
			enqueues := op.OperationID == "create-event" || op.OperationID == "create-events"
			asks := op.OperationID == "preview-filter"
			require.True(t, method == http.MethodGet || enqueues || asks || e.audited != "", "%s changes something: it must be audited", op.OperationID)
			m.testOperation(op.OperationID, method, e)
		}
	}
	require.Len(t, entries, operations, "an entry without an operation")
	t.Logf("%d operations, %d kinds of keys: %v", operations, len(m.holders)+len(m.dead), m.cases)
}

func (m *matrixBundle) testOperation(name, method string, e entry) {
	m.t.Helper()
	m.exec(`DELETE FROM outhook.operations`) // a tenant has so many at once
	own, foreign, absent := m.newObjects(ownTenant), m.newObjects(foreignTenant), absentObjects()
	absent.event = foreign.event[:24] + absent.event[24:] // an event's id tells its time, whosever it is
	for _, key := range m.dead {
		for _, o := range []objects{own, foreign, absent} {
			m.refused(name+" without a live key", 401, func() response { return m.call(key, method, e, o) })
		}
	}
	for _, h := range m.holders {
		at := name + " by " + h.String()
		if !slices.Contains(e.scopes, h.scope) {
			var bodies []string
			for _, o := range []objects{own, foreign, absent} {
				r := m.refused(at, 403, func() response { return m.call(h.text, method, e, o) })
				bodies = append(bodies, string(r.body))
			}
			require.Equal(m.t, []string{bodies[0], bodies[0]}, bodies[1:], "it tells nothing of the objects")
			continue
		}
		switch e.kind {
		case ofList:
			m.testList(at, h, e, own, foreign)
		case ofCounts:
			m.testAllowed(at, name, method, h, e, own)
		case ofSelf:
			self := own
			self.tenant = h.tenant
			m.describe("of.the.matrix.gone") // which one of them deletes
			m.testAllowed(at, name, method, h, e, self)
		case ofItems:
			missing := m.refused(at, 200, func() response { return m.call(h.text, method, e, absent) })
			if h.seesForeign() {
				m.testAllowed(at, name, method, h, e, m.newObjects(foreignTenant))
			} else {
				r := m.refused(at, 200, func() response { return m.call(h.text, method, e, foreign) })
				ids := strings.NewReplacer(absent.event, foreign.event, absent.endpoint, foreign.endpoint)
				require.Equal(m.t, ids.Replace(string(missing.body)), string(r.body), "what is foreign looks as if it did not exist")
			}
			m.testAllowed(at, name, method, h, e, m.newObjects(ownTenant))
		case ofMaking:
			m.testAllowed(at, name, method, h, e, own)
			if h.seesForeign() {
				m.testAllowed(at, name, method, h, e, foreign)
			} else {
				m.refused(at, 403, func() response { return m.call(h.text, method, e, foreign) })
			}
		case ofObject:
			missing := m.refused(at, 404, func() response { return m.call(h.text, method, e, absent) })
			if !h.seesForeign() {
				r := m.refused(at, 404, func() response { return m.call(h.text, method, e, foreign) })
				require.Equal(m.t, string(missing.body), string(r.body), "what is foreign looks as if it did not exist")
				mixed := objects{
					tenant: ownTenant, endpoint: foreign.endpoint, event: own.event, key: foreign.key, erasure: foreign.erasure,
					operation: foreign.operation, noted: foreign.noted, session: foreign.session,
				}
				if e.path(mixed) != e.path(own) && e.path(mixed) != e.path(foreign) {
					m.refused(at, 404, func() response { return m.call(h.text, method, e, mixed) })
				}
			} else {
				m.testAllowed(at, name, method, h, e, m.newObjects(foreignTenant))
			}
			m.testAllowed(at, name, method, h, e, m.newObjects(ownTenant))
			if e.path(own.named()) != e.path(own) {
				m.testNamed(at, name, method, h, e, own, foreign)
			}
		}
	}
}

// testNamed names an endpoint by its uid, which is its tenant's.
func (m *matrixBundle) testNamed(at, name, method string, h holder, e entry, own, foreign objects) {
	m.t.Helper()
	at += " by uid"
	refused := func(status int, o objects) response {
		m.t.Helper()
		return m.refused(at, status, func() response { return m.call(h.text, method, e, o) })
	}
	mine := m.newObjects(ownTenant).named()

	if h.tenant == "" {
		refused(422, mine)
		refused(404, mine.asked(foreignTenant))
		refused(404, own.asked(foreignTenant))
		m.testAllowed(at, name, method, h, e, mine.asked(ownTenant))
		return
	}
	missing := refused(404, absentObjects().named())
	for _, o := range []objects{foreign.named(), foreign.named().asked(foreignTenant), foreign.asked(foreignTenant), own.asked(foreignTenant)} {
		require.Equal(m.t, string(missing.body), string(refused(404, o).body), at)
	}
	m.testAllowed(at, name, method, h, e, mine)
}

// testAllowed wants success and, if something was changed, one entry of the audit trail that tells who and what.
func (m *matrixBundle) testAllowed(at, name, method string, h holder, e entry, o objects) {
	m.t.Helper()
	before := m.count("SELECT count(*) FROM outhook.audit_entries")
	r := m.call(h.text, method, e, o)
	require.Contains(m.t, []int{200, 201, 202, 204}, r.status, "%s: %s", at, r.body)
	m.cases["allowed"]++
	after := m.count("SELECT count(*) FROM outhook.audit_entries")
	if e.audited == "" {
		require.Equal(m.t, before, after, at)
		return
	}
	require.Equal(m.t, before+1, after, at)
	require.Equal(m.t, 1, m.count(`SELECT count(*) FROM (SELECT * FROM outhook.audit_entries ORDER BY id DESC LIMIT 1) AS a
		WHERE a.action = $1 AND a.object_type = $2 AND coalesce(a.tenant_id, '') = $3 AND coalesce(a.key_id::text, '') = $4
			AND coalesce(a.key_tenant_id, '') = $5 AND a.source_address = '127.0.0.1' AND a.request_id = $6
			AND a.actor = CASE WHEN a.key_id IS NULL THEN 'OUTHOOK_API_KEY' ELSE (SELECT k.name FROM outhook.api_keys AS k WHERE k.id = a.key_id) END`,
		name, e.audited, o.tenant, idOrNone(h.id), h.tenant, r.header.Get("X-Request-Id")), at)
}

func idOrNone(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// testList wants everything of whom the key sees and nothing of others, whatever is asked for.
func (m *matrixBundle) testList(at string, h holder, e entry, own, foreign objects) {
	m.t.Helper()
	traces := []string{foreignTenant, foreign.endpoint, foreign.event, foreign.key, foreign.operation}
	shows := func(r response, marks ...string) bool {
		return slices.ContainsFunc(marks, func(mark string) bool { return strings.Contains(string(r.body), mark) })
	}
	id := foreign.endpoint
	if e.path(own) == "/api/tenants" { // where ids are those of entries
		err := m.pool.QueryRow(m.t.Context(), `SELECT id::text FROM outhook.tenants WHERE tenant_id = $1`, foreignTenant).Scan(&id)
		require.NoError(m.t, err)
	}
	for _, query := range []string{
		"?limit=200", "?limit=200&tenant_id=" + foreignTenant, "?limit=200&endpoint_id=" + foreign.endpoint,
		"?limit=200&endpoint_id=" + foreign.uid, "?limit=200&uid=" + foreign.uid,
		"?limit=200&tenant_id=" + foreignTenant + "&endpoint_id=" + foreign.uid,
		"?limit=200&status=enabled&health=healthy&url_host=example.com", "?limit=200&object_id=" + foreign.endpoint,
		"?limit=200&tenant_id=" + ownTenant, "?limit=200&event_id=" + foreign.event, "?limit=200&id=" + id, "?limit=200&order=desc",
	} {
		r := m.as(h.text, http.MethodGet, e.path(own)+query, "")
		if r.status == 422 {
			continue // not a parameter of this list
		}
		require.Equal(m.t, 200, r.status, "%s%s: %s", at, query, r.body)
		m.cases["lists"]++
		switch {
		case strings.Contains(query, "tenant_id="+ownTenant):
			latest := r
			if !shows(r, own.endpoint, own.event, own.key, own.operation) { // the first page may be full of others
				latest = m.as(h.text, http.MethodGet, e.path(own)+query+"&order=desc", "")
			}
			require.True(m.t, shows(latest, own.endpoint, own.event, own.key, own.operation), "%s%s: %.500s", at, query, latest.body)
			require.False(m.t, shows(r, traces...), "%s%s: %.500s", at, query, r.body)
		case !h.seesForeign():
			require.False(m.t, shows(r, traces...), "%s%s: %.500s", at, query, r.body)
		default:
			require.True(m.t, shows(r, traces...), "%s%s: %.500s", at, query, r.body)
		}
	}
}
