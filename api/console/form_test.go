package console_test

import (
	"encoding/json"
	"html"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// filled returns what a form of a page has in its fields: what a browser sends if nobody changes anything.
func filled(t *testing.T, a answer) url.Values {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, a.body)
	_, form, found := strings.Cut(a.body, `<form class="long"`)
	require.True(t, found)
	form, _, _ = strings.Cut(form, "</form>")
	attribute := func(tag, name string) string {
		_, rest, _ := strings.Cut(tag, " "+name+`="`)
		value, _, _ := strings.Cut(rest, `"`)
		return html.UnescapeString(value)
	}

	values := url.Values{}
	for _, tag := range strings.Split(form, "<input")[1:] {
		tag, _, _ = strings.Cut(tag, ">")
		if attribute(tag, "type") != "checkbox" || strings.Contains(tag, " checked") {
			values.Add(attribute(tag, "name"), attribute(tag, "value"))
		}
	}
	for _, part := range strings.Split(form, "<textarea")[1:] {
		tag, text, _ := strings.Cut(part, ">")
		text, _, _ = strings.Cut(text, "</textarea>")
		text = strings.TrimPrefix(strings.ReplaceAll(html.UnescapeString(text), "\r\n", "\n"), "\n") // as HTML has it
		values.Add(attribute(tag, "name"), strings.ReplaceAll(text, "\n", "\r\n"))
	}
	for _, part := range strings.Split(form, "<select")[1:] {
		tag, options, _ := strings.Cut(part, ">")
		options, _, _ = strings.Cut(options, "</select>")
		chosen := attribute(options, "value")
		for _, option := range strings.Split(options, "<option")[1:] {
			if option, _, _ = strings.Cut(option, ">"); strings.Contains(option, " selected") {
				chosen = attribute(option, "value")
			}
		}
		values.Add(attribute(tag, "name"), chosen)
	}
	return values
}

// changedTo is values with others, by name, value, name, value …; and with another token, as of a form that is shown again.
func changedTo(values url.Values, others ...string) url.Values {
	all := url.Values{}
	maps.Copy(all, values)
	if all.Has("token") {
		all.Set("token", uuid.NewString())
	}
	for i := 0; i < len(others); i += 2 {
		all[others[i]] = []string{others[i+1]}
	}
	return all
}

// A new endpoint is what the form says, once, and its secret is in the answer.
func TestNewEndpointForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	person := b.login(adminKey)
	empty := filled(t, person.get("/console/endpoints/new?tenant=acme"))
	require.Equal(t, "acme", empty.Get("tenant_id"))
	form := changedTo(empty, "url", "https://hooks.acme.example/in?token=a", "uid", "main", "description", "Auslieferung\r\nMünchen",
		"event_types", "invoice.*\r\norder.paid", "filter", `{"data": {"n": 1}}`, "headers", "x-source: billing: a", "secret_headers", "authorization: Bearer b",
		"labels", "eu\r\nproject:7", "format", "cloudevents", "timeout_ms", "2000", "max_in_flight", "7", "rate_requests", "50", "rate_per", "minute", "rate_burst", "3",
		"retry_schedule", "own", "retry_delays", "1m, 5m", "retry_jitter", "0.25", "metadata", `{"plan": "gold <1>"}`)

	made := person.post("/console/endpoints", form)
	requirePage(t, made, "whsec_")
	require.NotContains(t, made.body, "Bearer b")
	requirePage(t, person.post("/console/endpoints", form), "whsec_")
	list, err := b.api.ListEndpoints(t.Context(), client.ListEndpointsParams{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1, "the form sent twice")

	e := list.Items[0]
	jitter, uid := 0.25, "main"
	require.Equal(t, client.Endpoint{
		ID: e.ID, TenantID: "acme", UID: &uid, URL: "https://hooks.acme.example/in?token=a", Description: "Auslieferung\nMünchen",
		EventTypes: []string{"invoice.*", "order.paid"}, Headers: map[string]string{"x-source": "billing: a"},
		SecretHeaderNames: []string{"authorization"}, TimeoutMS: 2000, MaxInFlight: 7,
		RateLimit:     client.RateLimit{Requests: 50, Per: "minute", Burst: 3},
		RetrySchedule: []string{"1m", "5m"}, RetryJitter: &jitter, Metadata: map[string]string{"plan": "gold <1>"},
		Filter: json.RawMessage(`{"data":{"n":1}}`), Labels: []string{"eu", "project:7"}, Format: "cloudevents",
		Status: e.Status, StatusChangedAt: e.StatusChangedAt, StatusReason: e.StatusReason,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, Health: e.Health, Lane: e.Lane,
	}, e)

	for field, wrong := range map[string]string{
		"url": "http://", "tenant_id": "", "uid": ".", "timeout_ms": "1", "max_in_flight": "many", "rate_requests": "-1",
		"retry_jitter": "2", "labels": "!", "format": "xml", "event_types": "*", "filter": `{"n": 1}`, "headers": "no colon", "metadata": "[]", "secret": "whsec_a", "secret_headers": ": a",
	} {
		a := person.post("/console/endpoints", changedTo(empty, "url", "https://a.example", field, wrong))
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s %s", field, a.body)
		require.Contains(t, a.body, `id="field-`+field+`-fault"`, field)
	}
	a := person.post("/console/endpoints", changedTo(empty, "url", "https://a.example", "retry_schedule", "own"))
	require.Contains(t, a.body, `id="field-retry_schedule-fault"`)
	a = person.post("/console/endpoints", changedTo(empty, "url", "https://a.example", "uid", "main"))
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.body, `id="field-uid-fault"`)
	a = person.post("/console/endpoints", url.Values{"url": {strings.Repeat("a", 200<<10)}})
	require.Equal(t, http.StatusRequestEntityTooLarge, a.status)
}

// The form of an endpoint changes what somebody has changed in it, and nothing else.
func TestEndpointForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	person := b.login(adminKey)
	description, jitter := "\r\nTwo\r\nlines ", 0.1
	made, err := b.api.CreateEndpoint(t.Context(), client.NewEndpoint{
		TenantID: "acme", URL: "https://hooks.acme.example/in", Description: &description, RetrySchedule: []string{}, RetryJitter: &jitter,
		Headers: map[string]string{"x-a": "1", "x-b": "2"}, SecretHeaders: map[string]string{"x-key": "k", "x-other": "o"},
		Metadata: map[string]string{"plan": "gold", "note": "a\r\nb: <c>"},
	}, client.CreateEndpointParams{})
	require.NoError(t, err)
	path := "/console/endpoints/" + made.ID
	get := func() *client.Endpoint {
		t.Helper()
		e, err := b.api.GetEndpoint(t.Context(), made.ID, client.GetEndpointParams{})
		require.NoError(t, err)
		return e
	}
	save := func(others ...string) {
		t.Helper()
		a := person.post(path+"/edit", changedTo(filled(t, person.get(path+"/edit")), others...))
		require.Equal(t, http.StatusSeeOther, a.status, a.body)
		require.Equal(t, path+"?done=saved", a.location)
	}

	before := get()
	save()
	require.Equal(t, before, get(), "a form that nobody has changed")

	save("headers", "x-b: 3\r\nx-c: 4", "removed_headers", "x-other", "metadata", `{"plan": "free"}`, "status", "paused")
	e := get()
	require.Equal(t, map[string]string{"x-b": "3", "x-c": "4"}, e.Headers)
	require.Equal(t, []string{"x-key"}, e.SecretHeaderNames)
	require.Equal(t, map[string]string{"plan": "free"}, e.Metadata)
	require.Equal(t, "paused", e.Status)
	require.Equal(t, description, e.Description)
	require.Empty(t, e.RetrySchedule)
	require.NotNil(t, e.RetrySchedule)

	save("retry_schedule", "", "retry_jitter", "", "headers", "", "metadata", "", "rate_requests", "5", "timeout_ms", "", "status", "enabled")
	e = get()
	require.Nil(t, e.RetrySchedule)
	require.Nil(t, e.RetryJitter)
	require.Empty(t, e.Headers)
	require.Empty(t, e.Metadata)
	require.Equal(t, client.RateLimit{Requests: 5, Per: "second", Burst: 1}, e.RateLimit)
	require.Equal(t, 15000, e.TimeoutMS)

	form := filled(t, person.get(path+"/edit"))
	a := person.post(path+"/edit", changedTo(form, "url", "https://other.example"))
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.body, `id="field-secret_headers-fault"`, "a credential goes to no other host")
	require.Contains(t, a.body, `value="https://other.example"`, "what was typed stays")
}

// Who was slower loses nothing of the other's, and is told whose it was.
func TestEndpointFormConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	path := "/console/endpoints/" + w.endpoint + "/edit"
	person, other := b.login(adminKey), b.login(b.key("tenant", "acme").Key)
	form := filled(t, person.get(path))
	require.Equal(t, http.StatusSeeOther, other.post(path, changedTo(filled(t, other.get(path)), "description", "Theirs")).status)

	for _, f := range []url.Values{changedTo(form, "timeout_ms", "3000"), {"timeout_ms": {"3000"}, "etag": {""}}} {
		a := person.post(path, f)
		require.Equal(t, http.StatusPreconditionFailed, a.status)
		require.Contains(t, a.body, "console: tenant of acme")
		require.Contains(t, a.body, "changed description")
		require.Contains(t, a.body, "3000")
		require.Contains(t, a.body, `href="`+path+`"`)
	}
	e, err := b.api.GetEndpoint(t.Context(), w.endpoint, client.GetEndpointParams{})
	require.NoError(t, err)
	require.Equal(t, "Theirs", e.Description)
	require.Equal(t, 15000, e.TimeoutMS)

	b.exec(`UPDATE outhook.endpoints SET status = 'disabled', status_reason = 'gone: it answered 410',
		updated_at = now() + interval '2 seconds' WHERE id = $1`, w.endpoint)
	require.Contains(t, person.post(path, form).body, "by a worker: gone: it answered 410")
}

// Each form of an operation does what its button says.
func TestOperationOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	person := b.login(adminKey)
	form := changedTo(filled(t, person.get("/console/operations/new")), "endpoint", w.endpoint, "tenant", "acme", "types", "invoice.*",
		"since", "2026-01-02T03:04", "until", "2026-02-03T04:05")
	form["states"] = []string{"failed", "cancelled"}
	asked := person.post("/console/operations", changedTo(form, "endpoint", "", "types", "", "until", "", "states", "failed"))
	requirePage(t, asked, "This orders <b>3 deliveries of 1 endpoint</b>")
	require.Equal(t, "failed", confirmed(t, asked).Get("states"))
	requirePage(t, person.post("/console/operations", form), "Nothing to deliver again")
	form.Set("confirmed", "yes")
	a := person.post("/console/operations", form)
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	require.Equal(t, a.location, person.post("/console/operations", form).location, "the form sent twice")
	requirePage(t, person.get(a.location), `class="toast ok"`)
	path, _, _ := strings.Cut(a.location, "?")
	state := func() *client.Operation {
		t.Helper()
		list, err := b.api.ListOperations(t.Context(), client.ListOperationsParams{})
		require.NoError(t, err)
		require.Len(t, list.Items, 1)
		return &list.Items[0]
	}
	o := state()
	require.Equal(t, []string{"invoice.*"}, o.EventTypes)
	require.ElementsMatch(t, []string{"failed", "cancelled"}, o.States)
	require.Equal(t, w.endpoint, *o.EndpointID)
	require.Equal(t, "acme", *o.TenantID)
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), o.Since.UTC())
	require.Equal(t, time.Date(2026, 2, 3, 4, 5, 0, 0, time.UTC), o.Until.UTC())

	for _, step := range []struct{ order, state string }{{"pause", "paused"}, {"resume", "running"}, {"cancel", "cancelled"}} {
		a := person.post(path+"/"+step.order, url.Values{})
		require.Equal(t, http.StatusSeeOther, a.status, a.body)
		require.Equal(t, step.state, state().State)
		requirePage(t, person.get(a.location), `class="toast ok"`)
	}
	require.Equal(t, http.StatusConflict, person.post(path+"/resume", url.Values{}).status)
	require.NotContains(t, person.get(path).body, path+"/pause", "what is over can't be paused")

	for field, wrong := range map[string]string{"since": "", "until": "2020-01-01T00:00", "states": "gone", "types": "*"} {
		for _, confirmed := range []string{"", "yes"} {
			a := person.post("/console/operations", changedTo(form, field, wrong, "confirmed", confirmed))
			require.Equal(t, http.StatusUnprocessableEntity, a.status, field)
			require.Contains(t, a.body, `id="field-`+field+`-fault"`, field)
		}
	}
}

// A key is shown once, to who has made it, and works until it is revoked.
func TestKeyOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	person := b.login(adminKey)
	empty := filled(t, person.get("/console/keys/new"))
	form := changedTo(empty, "name", "support", "scope", "read", "tenant", "acme", "expires", "720h")
	a := person.post("/console/keys", form)
	_, rest, _ := strings.Cut(a.body, `data-copy="ohk_`)
	text, _, _ := strings.Cut(rest, `"`)
	requirePage(t, a, "ohk_"+text)
	require.Contains(t, person.post("/console/keys", form).body, "ohk_"+text, "the form sent twice")
	require.NotContains(t, person.get("/console/keys").body, "ohk_")

	list, err := b.api.ListKeys(t.Context(), client.ListKeysParams{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	k := list.Items[0]
	require.Equal(t, []string{"support", "read", "acme"}, []string{k.Name, k.Scope, *k.TenantID})
	require.WithinRange(t, *k.ExpiresAt, time.Now().Add(720*time.Hour), time.Now().Add(745*time.Hour))

	holder := b.login("ohk_" + text)
	requirePage(t, holder.get("/console/events"), "Events")
	order := "/console/keys/" + k.ID + "/revoke"
	require.Contains(t, person.get("/console/keys").body, order)
	a = person.post(order, url.Values{})
	require.Equal(t, "/console/keys?done=revoked", a.location)
	requirePage(t, person.get(a.location), "Revoked")
	require.NotContains(t, person.get("/console/keys").body, order)
	require.Equal(t, http.StatusSeeOther, holder.get("/console/events").status, "its sessions end with it")
	require.Equal(t, http.StatusNotFound, person.post(order, url.Values{}).status)

	for field, wrong := range map[string][]string{"name": {"name", ""}, "tenant": {"scope", "tenant"}, "scope": {"scope", "root"}} {
		a := person.post("/console/keys", changedTo(empty, append([]string{"name", "a"}, wrong...)...))
		require.Equal(t, http.StatusUnprocessableEntity, a.status, field)
		require.Contains(t, a.body, `id="field-`+field+`-fault"`, field)
	}
}

// The audit trail is filtered as the API has it, and leads to what was changed.
func TestAuditPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	b.administer(&w)
	person := b.login(adminKey)
	all := person.get("/console/audit")
	requirePage(t, all, `href="/console/endpoints/`+w.paused+`"`)
	require.Contains(t, all.body, "<b>members</b> status")
	require.Contains(t, all.body, `href="/console/operations/`+w.halted+`"`)

	only := person.get("/console/audit?object=" + w.paused)
	require.Contains(t, only.body, w.paused)
	require.NotContains(t, only.body, w.disabled)
	require.NotContains(t, person.get("/console/audit?action=create-key").body, "update-endpoint")
	requirePage(t, person.get("/console/audit?since=2999-01-01T00:00"), "No entry matches")
	requirePage(t, person.get("/console/audit?until=2020-01-01T00:00"), "No entry matches")
	require.Equal(t, http.StatusUnprocessableEntity, person.get("/console/audit?key=no-id").status)
}

// The page says who works, what waits, and what this process itself says of its health.
func TestSystemPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	person := b.login(adminKey)
	requirePage(t, person.get("/console/system"), "No worker lives")
	b.administer(&w)
	page := person.get("/console/system")
	for _, text := range []string{
		"web-1_2026_11_30T09_15_02", "releases what waits in lanes", `href="/riverui/queues/deliver_bulk"`, "Resume it there", "Ready",
		"Database", "live traffic of healthy endpoints",
	} {
		requirePage(t, page, text)
	}

	// What a pause of everything has paused is told once; a queue that a person had paused before stays on its own.
	b.maintain()
	page = person.get("/console/system")
	requirePage(t, page, "All deliveries are paused")
	require.Equal(t, 1, strings.Count(page.body, "Resume it there"))
}

// What a scope may not do is not offered, and refused if it is sent anyway, with nothing done.
func TestScopesOfForms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	b.administer(&w)
	people := map[string]*browser{"admin": b.login(adminKey)}
	for _, scope := range []string{"tenant", "operate", "read"} {
		people[scope] = b.login(b.key(scope, "acme").Key)
	}
	endpoint, operation := "/console/endpoints/"+w.endpoint, "/console/operations/"+w.running
	keys, err := b.api.ListKeys(t.Context(), client.ListKeysParams{})
	require.NoError(t, err)

	for _, page := range []struct{ path, scopes string }{
		{"/console/keys", "admin"},
		{"/console/keys/new", "admin"},
		{"/console/system", "admin"},
		{"/console/audit", "admin tenant"},
		{"/console/endpoints/new", "admin tenant"},
		{endpoint + "/edit", "admin tenant"},
		{"/console/operations/new", "admin tenant operate"},
		{"/console/operations", "admin tenant operate read"},
		{operation, "admin tenant operate read"},
	} {
		for scope, person := range people {
			a := person.get(page.path)
			if strings.Contains(page.scopes, scope) {
				require.Equal(t, http.StatusOK, a.status, "%s %s", scope, page.path)
				continue
			}
			require.Equal(t, http.StatusForbidden, a.status, "%s %s", scope, page.path)
			require.Contains(t, a.body, "Not with this key")
			for _, shown := range []string{"/console", "/console/endpoints", endpoint, "/console/operations", operation} {
				require.NotContains(t, person.get(shown).body, `href="`+page.path+`"`, "%s %s", scope, shown)
			}
		}
	}

	for _, order := range []struct{ path, scopes string }{
		{"/console/keys", "admin"},
		{"/console/keys/" + keys.Items[0].ID + "/revoke", "admin"},
		{"/console/endpoints", "admin tenant"},
		{endpoint + "/edit", "admin tenant"},
		{"/console/operations", "admin tenant operate"},
		{operation + "/pause", "admin tenant operate"},
		{operation + "/resume", "admin tenant operate"},
		{operation + "/cancel", "admin tenant operate"},
	} {
		for scope, person := range people {
			if !strings.Contains(order.scopes, scope) {
				a := person.post(order.path, url.Values{"name": {"a"}, "scope": {"read"}, "url": {"https://a.example"}, "since": {"2026-01-02T03:04"}, "states": {"failed"}})
				require.Equal(t, http.StatusForbidden, a.status, "%s %s", scope, order.path)
			}
		}
	}
	after, err := b.api.ListKeys(t.Context(), client.ListKeysParams{})
	require.NoError(t, err)
	require.Equal(t, keys.Items[0].RevokedAt, after.Items[0].RevokedAt)
	require.Len(t, after.Items, len(keys.Items))

	foreign := b.login(b.key("tenant", "globex").Key)
	for _, path := range []string{operation, endpoint + "/edit"} {
		require.Equal(t, http.StatusNotFound, foreign.get(path).status, path)
	}
	require.Equal(t, http.StatusNotFound, foreign.post(operation+"/cancel", url.Values{}).status)
	require.Equal(t, http.StatusNotFound, foreign.post(endpoint+"/edit", url.Values{"description": {"x"}}).status)
	require.NotContains(t, foreign.get("/console/operations").body, w.running)
	require.NotContains(t, foreign.get("/console/audit").body, "acme")
	a := foreign.post("/console/endpoints", url.Values{"tenant_id": {"acme"}, "url": {"https://a.example"}})
	require.NotEqual(t, http.StatusOK, a.status, "another tenant's")
	require.NotContains(t, a.body, "whsec_")
}
