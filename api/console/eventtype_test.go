package console_test

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// describe pushes a catalogue of which one type has changed, and has been broken, and sees one that is not in it.
func (b *bundle) describe() {
	b.t.Helper()
	doc, err := os.ReadFile("../../internal/catalog/testdata/stripe.json")
	require.NoError(b.t, err)
	for _, text := range []string{string(doc), strings.Replace(string(doc), `"email": {"type": ["string", "null"]},`, "", 1)} {
		_, err := b.api.PushCatalog(b.t.Context(), client.NewCatalog{}, client.PushCatalogParams{},
			client.WithBody([]byte(`{"allow_breaking":true,"note":"GDPR","document":`+text+`}`)))
		require.NoError(b.t, err)
	}
	b.exec(`INSERT INTO outhook.event_type_samples (type, version, checked, violations, seen_at, event_id, pointer, problem)
		VALUES ('invoice.paid', 2, 1200, 7, now(), gen_random_uuid(), '/data/object/amount_paid', 'must be integer'),
			('invoice.voided', NULL, 20, 0, now(), NULL, '', '')`)
	_, err = b.api.UpdateEventType(b.t.Context(), "invoice.paid", client.EventTypeChange{Enforce: client.Set("guard")}, client.UpdateEventTypeParams{})
	require.NoError(b.t, err)
}

// The catalogue is looked at and changed, by whom the API lets.
func TestEventTypePages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	admin := b.login(adminKey)
	require.Contains(t, admin.get("/console/event-types").body, "The catalogue is empty")
	b.describe()

	list := admin.get("/console/event-types").body
	for _, text := range []string{"invoice.paid", "Invoices", "7 of 1,200", "customer.created", "Deprecated", "Seen but not described", "invoice.voided"} {
		require.Contains(t, list, text)
	}
	require.NotContains(t, admin.get("/console/event-types?state=deprecated").body, "invoice.paid</a>")
	page := admin.get("/console/event-types/invoice.paid").body
	for _, text := range []string{"Occurs whenever an invoice", "must be integer at ", "/data/object/amount_paid", "amount_paid&#34;: 1.0e3", "exists ($.", "It is the first"} {
		require.Contains(t, page, text)
	}
	changed := admin.get("/console/event-types/customer.created").body
	for _, text := range []string{"Version 2", "Breaking", "GDPR", "/data/object/email", "is gone", "Version 1"} {
		require.Contains(t, changed, text)
	}
	require.Equal(t, http.StatusNotFound, admin.get("/console/event-types/no.type").status)

	// The form changes what it says, once it was shown.
	const path = "/console/event-types/customer.created/edit"
	etag := regexp.MustCompile(`name="etag" value="([^"]*)"`).FindStringSubmatch(admin.get(path).body)
	require.Len(t, etag, 2)
	form := url.Values{"etag": {strings.ReplaceAll(etag[1], "&#34;", `"`)}, "state": {"active"}, "visibility": {"hidden"}, "enforce": {"reject"}}
	saved := admin.do(http.MethodPost, path, form)
	require.Equal(t, http.StatusSeeOther, saved.status, saved.body)
	require.Equal(t, "/console/event-types/customer.created?done=saved", saved.location)
	got, err := b.api.GetEventType(t.Context(), "customer.created")
	require.NoError(t, err)
	require.Equal(t, []string{"active", "hidden", "reject"}, []string{got.State, got.Visibility, got.Enforce})
	again := admin.do(http.MethodPost, path, form)
	require.Equal(t, http.StatusPreconditionFailed, again.status)
	require.Contains(t, again.body, "Somebody has changed customer.created")
	form.Set("enforce", "all")
	require.Equal(t, http.StatusUnprocessableEntity, admin.do(http.MethodPost, path, form).status)

	// The button of a test asks for the example, of what the endpoint gets.
	endpoint, err := b.api.CreateEndpoint(t.Context(), client.NewEndpoint{
		TenantID: "acme", URL: "https://example.com/hook", EventTypes: []string{"invoice.*"},
	}, client.CreateEndpointParams{})
	require.NoError(t, err)
	shown := admin.get("/console/endpoints/" + endpoint.ID).body
	require.Contains(t, shown, `<option value="invoice.paid">invoice.paid</option>`)
	require.NotContains(t, shown, `<option value="customer.created">`)
	require.Contains(t, shown, `action="/console/endpoints/`+endpoint.ID+`/test"`)
	refused := admin.do(http.MethodPost, "/console/endpoints/"+endpoint.ID+"/test", url.Values{"type": {"no.type"}})
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.body, "is not in the catalogue")

	// A tenant's key is shown what is public, and changes nothing.
	tenant := b.login(b.key("tenant", "acme").Key)
	require.NotContains(t, tenant.get("/console/event-types").body, "customer.created")
	require.NotContains(t, tenant.get("/console/event-types").body, "invoice.voided")
	require.NotContains(t, tenant.get("/console/event-types/invoice.paid").body, "/edit")
	require.Equal(t, http.StatusNotFound, tenant.get("/console/event-types/customer.created").status)
	require.Equal(t, http.StatusForbidden, tenant.get("/console/event-types/invoice.paid/edit").status)
	require.Equal(t, http.StatusForbidden, tenant.do(http.MethodPost, "/console/event-types/invoice.paid/edit", form).status)
}
