package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// note makes the entries of a seeded database, and what two of its tenants have used.
func (b *bundle) note() {
	b.t.Helper()
	name, contact := "ACME GmbH & Co. KG", "webhooks@acme.example"
	_, err := b.api.PutTenant(b.t.Context(), "acme", client.NewTenant{
		Name: &name, Contact: &contact, Metadata: map[string]string{"plan": "gold", "account": "0017"},
	}, client.PutTenantParams{})
	require.NoError(b.t, err)
	name = "Soylent"
	_, err = b.api.PutTenant(b.t.Context(), "a/b c?", client.NewTenant{Name: &name}, client.PutTenantParams{})
	require.NoError(b.t, err)
	b.exec(`INSERT INTO outhook.usage_hours (hour, tenant_id, type, events, deliveries, attempts, payload_bytes)
		SELECT date_trunc('day', now(), 'UTC') - make_interval(days => d), n, 'a', 1200 * (d + 1), 2500 * (d + 1), 2600 * (d + 1), 912345 * (d + 1)
		FROM generate_series(0, 9) AS d, unnest('{acme,globex}'::text[]) AS n WHERE d <> 4`)
	b.exec(`UPDATE outhook.endpoints SET uid = 'main' WHERE url LIKE '%//hooks.acme.example/%' OR tenant_id = 'globex'`)
}

// maintain pauses everything and acme, and orders that acme is erased; nobody works.
func (b *bundle) maintain() (erasure string) {
	b.t.Helper()
	all, acme := true, "acme"
	for _, p := range []client.NewPause{
		{All: &all, Reason: "the database is upgraded"}, {TenantID: &acme, Reason: "their data centre moves"},
	} {
		_, err := b.api.PauseDeliveries(b.t.Context(), p, client.PauseDeliveriesParams{})
		require.NoError(b.t, err)
	}
	e, err := b.api.EraseTenant(b.t.Context(), acme)
	require.NoError(b.t, err)
	b.exec(`UPDATE outhook.tenant_erasures SET endpoint_count = 4, delivery_count = 17, payload_count = 31500`)
	return e.ID
}

// The page of a tenant has what is noted, what it has and what happened; one without an entry has the rest.
func TestTenantPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	person := b.login(adminKey)
	requirePage(t, person.get("/console/tenants"), "Nothing is noted of any tenant")
	b.note()

	list := person.get("/console/tenants")
	for _, text := range []string{
		`href="/console/tenants/acme"`, "ACME GmbH &amp; Co. KG", "webhooks@acme.example", `href="/console/tenants/a%2Fb%20c%3F"`,
		`href="/console/tenants/globex"`, // without an entry: by what it has used
	} {
		requirePage(t, list, text)
	}
	require.Equal(t, "/console/tenants/a%2Fb%20c%3F", person.get("/console/tenants?tenant=+a/b+c%3F+").location, "by its label")

	page := person.get("/console/tenants/acme")
	for _, text := range []string{
		"<h1>ACME GmbH &amp; Co. KG</h1>", `href="mailto:webhooks@acme.example"`, ">gold<", ">0017<", "<h2>Now</h2>", "Failing",
		`href="/console/endpoints/` + w.endpoint + `"`, `href="/console/deliveries?state=failed&amp;tenant=acme"`, "12,000", "9.12 MB", "so far",
		`href="/console/tenants/acme/edit"`, "Erase what acme has?", "4 endpoints", "Type acme to confirm",
	} {
		requirePage(t, page, text)
	}
	require.NotContains(t, page.body, "api.globex.example")
	requirePage(t, person.get("/console/tenants/a%2Fb%20c%3F"), "<h1>Soylent</h1>")
	requirePage(t, person.get("/console/tenants/globex"), "<h1>globex</h1>")
	initech := person.get("/console/tenants/initech")
	requirePage(t, initech, "No endpoints")
	require.NotContains(t, initech.body, "Nothing is known of")
	requirePage(t, person.get("/console/tenants/nobody"), "Nothing is known of a tenant with this label")

	// Its name stands beside the label where there is one tenant.
	for _, path := range []string{
		"/console/events/" + w.event, "/console/endpoints/" + w.endpoint, "/console/deliveries/" + w.event + "/" + w.endpoint,
	} {
		requirePage(t, person.get(path), "ACME GmbH &amp; Co. KG")
		requirePage(t, person.get(path), `href="/console/tenants/acme"`)
	}

	// Who is bound to a tenant has its page, and no other.
	own := b.login(b.key("read", "acme").Key)
	require.Equal(t, "/console/tenants/acme", own.get("/console/tenants").location)
	require.Equal(t, "/console/tenants/acme", own.get("/console/tenants?tenant=globex").location)
	mine := own.get("/console/tenants/acme")
	requirePage(t, mine, "ACME GmbH &amp; Co. KG")
	require.Equal(t, 1, strings.Count(mine.body, "<dialog"), "who may only read is offered nothing but the keys")
	theirs, nobodys := own.get("/console/tenants/globex"), own.get("/console/tenants/nobody")
	require.Equal(t, http.StatusNotFound, theirs.status)
	require.Equal(t, strip(nobodys.body, "/console/tenants/nobody"), strip(theirs.body, "/console/tenants/globex"))
	for _, scope := range []string{"read", "operate", "tenant"} {
		tenant := map[string]string{"tenant": "acme"}[scope]
		other := b.login(b.key(scope, tenant).Key)
		require.NotContains(t, other.get("/console/tenants/acme").body, "/console/tenants/acme/")
		require.Equal(t, http.StatusForbidden, other.get("/console/tenants/acme/edit").status)
		for _, order := range []string{"edit", "pause", "resume", "delete", "erase"} {
			a := other.post("/console/tenants/acme/"+order, url.Values{"reason": {"x"}, "label": {"acme"}, "name": {"x"}})
			require.Equal(t, http.StatusForbidden, a.status, "%s %s", scope, order)
		}
	}
}

// The form makes an entry, and changes what somebody has changed in it.
func TestTenantForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	person := b.login(adminKey)
	const path = "/console/tenants/a%2Fb"
	save := func(others ...string) answer {
		t.Helper()
		return person.post(path+"/edit", changedTo(filled(t, person.get(path+"/edit")), others...))
	}
	get := func() *client.Tenant {
		t.Helper()
		e, err := b.api.GetTenant(t.Context(), "a/b", client.GetTenantParams{})
		require.NoError(t, err)
		return e
	}

	for field, wrong := range map[string]string{"name": strings.Repeat("x", 256), "contact": "nobody", "metadata": "[]"} {
		a := save(field, wrong)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, field)
		require.Contains(t, a.body, `id="field-`+field+`-fault"`, field)
	}
	a := save("name", "A & B", "contact", "ops@b.example", "metadata", `{"plan": "gold", "note": "<b>"}`)
	require.Equal(t, path+"?done=saved", a.location, a.body)
	requirePage(t, person.get(a.location), `class="toast ok"`)
	made := get()
	require.Equal(t, []string{"A & B", "ops@b.example"}, []string{made.Name, made.Contact})
	require.Equal(t, map[string]string{"plan": "gold", "note": "<b>"}, made.Metadata)

	require.Equal(t, http.StatusSeeOther, save().status)
	require.Equal(t, made, get(), "a form that nobody has changed")
	require.Equal(t, http.StatusSeeOther, save("contact", "", "metadata", `{"plan": "free"}`).status)
	require.Equal(t, []any{"A & B", "", map[string]string{"plan": "free"}}, []any{get().Name, get().Contact, get().Metadata})
	require.Equal(t, http.StatusSeeOther, save("metadata", "").status)
	require.Empty(t, get().Metadata)
}

// Who was slower loses nothing of the other's, and is told whose it was.
func TestTenantFormConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const path = "/console/tenants/acme/edit"
	person, other := b.login(adminKey), b.login(b.key("admin", "").Key)
	conflict := func(form url.Values, texts ...string) {
		t.Helper()
		a := person.post(path, changedTo(form, "name", "Mine"))
		require.Equal(t, http.StatusPreconditionFailed, a.status, a.body)
		for _, text := range append(texts, "Mine", `href="`+path+`"`, "console: admin of") {
			require.Contains(t, a.body, text)
		}
	}
	save := func(name string) {
		t.Helper()
		require.Equal(t, http.StatusSeeOther, other.post(path, changedTo(filled(t, other.get(path)), "name", name)).status)
	}

	empty := filled(t, person.get(path))
	save("Theirs")
	conflict(empty, "changed the entry, which is new")
	first := filled(t, person.get(path))
	save("Theirs again")
	conflict(first, "changed name")
	second := filled(t, person.get(path))
	require.Equal(t, "/console/tenants/acme?done=entry-deleted", other.post("/console/tenants/acme/delete", url.Values{}).location)
	conflict(second, "changed the entry, which is deleted")
	_, err := b.api.GetTenant(t.Context(), "acme", client.GetTenantParams{})
	require.Error(t, err, "nothing was saved")
}

// Each button of a tenant does what it says.
func TestTenantOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.seed()
	person := b.login(adminKey)
	const path = "/console/tenants/acme"
	require.Equal(t, http.StatusUnprocessableEntity, person.post(path+"/pause", url.Values{}).status, "it wants to know why")
	a := person.post(path+"/pause", url.Values{"reason": {"their <data> centre moves"}})
	require.Equal(t, path+"?done=tenant-paused", a.location, a.body)
	page := person.get(a.location)
	requirePage(t, page, "Its deliveries are paused")
	require.Contains(t, page.body, "their &lt;data&gt; centre moves")
	require.Contains(t, page.body, `action="`+path+`/resume"`)
	all := true
	_, err := b.api.PauseDeliveries(t.Context(), client.NewPause{All: &all, Reason: "the network"}, client.PauseDeliveriesParams{})
	require.NoError(t, err)
	requirePage(t, person.get("/console/tenants/globex"), "All deliveries are paused")
	require.NotContains(t, person.get("/console/tenants/globex").body, "Its deliveries are paused")
	a = person.post(path+"/resume", url.Values{})
	requirePage(t, person.get(a.location), `class="toast ok"`)
	pauses, err := b.api.ListPauses(t.Context())
	require.NoError(t, err)
	require.Len(t, pauses.Pauses, 1)

	for _, wrong := range []string{"", "globex", "ACME"} {
		a := person.post(path+"/erase", url.Values{"label": {wrong}})
		require.Equal(t, http.StatusUnprocessableEntity, a.status)
		require.Contains(t, a.body, "nothing was erased")
	}
	count := func() (n int) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM outhook.tenant_erasures WHERE tenant_id = 'acme'`).Scan(&n))
		return n
	}
	require.Zero(t, count())
	a = person.post(path+"/erase", url.Values{"label": {"acme"}})
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	require.Equal(t, 1, count())
	page = person.get(a.location)
	requirePage(t, page, "Running")
	b.exec(`UPDATE outhook.tenant_erasures SET completed_at = now(), payload_count = 1234`)
	requirePage(t, person.get(a.location), "1,234")
	other := strings.Replace(a.location, "/acme?", "/globex?", 1)
	require.NotContains(t, person.get(other).body, "Erased so far", "another tenant's")
}

// One thing is opened, several are listed, and an idempotency key wants to know whose.
func TestFindPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	b.note()
	key := "order-7"
	keyed, err := b.api.CreateEvent(t.Context(), client.NewEvent{
		TenantID: "acme", Type: "a", Payload: []byte("1"), IdempotencyKey: &key,
	}, client.CreateEventParams{})
	require.NoError(t, err)
	person := b.login(adminKey)
	at := func(text string) string { return person.get("/console/find?q=" + url.QueryEscape(text)).location }
	require.Equal(t, "/console/events/"+w.event, at(w.event))
	require.Equal(t, "/console/events/"+w.event, at(" webhook-id: "+w.event))
	require.Equal(t, "/console/endpoints/"+w.endpoint, at("https://hooks.acme.example/webhooks?x"))
	require.Equal(t, "/console/tenants/acme", at("acme"))
	require.Equal(t, "/console/tenants/a%2Fb%20c%3F", at("a/b c?"))

	several := person.get("/console/find?q=main")
	requirePage(t, several, "2 things with the name")
	require.Contains(t, several.body, "hooks.acme.example/webhooks/incoming")
	require.Contains(t, several.body, "api.globex.example")
	nothing := person.get("/console/find?q=order-7")
	requirePage(t, nothing, "say whose")
	require.Equal(t, "/console/events/"+keyed.ID, person.get("/console/find?q=order-7&tenant=acme").location)
	requirePage(t, person.get("/console/find?q="+strings.Repeat("x", 300)), "Nothing is called that")

	own := b.login(b.key("read", "acme").Key)
	require.Equal(t, "/console/events/"+keyed.ID, own.get("/console/find?q=order-7").location)
	require.Equal(t, "/console/endpoints/"+w.endpoint, own.get("/console/find?q=main").location)
	for _, foreign := range []string{"globex", "api.globex.example", "a/b c?"} {
		a := own.get("/console/find?q=" + url.QueryEscape(foreign))
		requirePage(t, a, "Nothing is called that")
		require.NotContains(t, a.body, "say whose")
	}

	b.exec(`INSERT INTO outhook.endpoints (id, tenant_id, url) SELECT outhook.uuid_v7(clock_timestamp(), i), 't' || i, 'https://many.example/' || i
		FROM generate_series(1, 11) AS i`)
	requirePage(t, person.get("/console/find?q=many.example"), `href="/console/endpoints?host=many.example"`)
}
