package portal_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// Why an event is not there, in plain words.
func TestMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.publish("acme", "order.paid", `1`)
	all, invoices := b.endpoint("acme", "https://all.acme.example"), b.endpoint("acme", "https://invoices.acme.example", "invoice.*")
	disabled := b.endpoint("acme", "https://disabled.acme.example")
	status := func(id, to string) {
		_, err := b.api.UpdateEndpoint(t.Context(), id, client.EndpointChange{Status: client.Set(to)}, client.UpdateEndpointParams{})
		require.NoError(t, err)
	}
	status(disabled, "disabled")
	second := b.publish("acme", "order.paid", `2`)
	status(all, "paused")
	foreign := b.publish("globex", "order.paid", `3`)

	w := b.open(b.link("acme"))
	requirePage(t, w.get("/portal/missing"), "Look for it", `<option value="order.paid">`)
	a := w.get("/portal/missing?id=" + second)
	require.Equal(t, "/portal/events/"+second, a.header.Get("Location"))
	requirePage(t, w.get("/portal/events/"+second), "The endpoint is paused: it is sent once you enable it.",
		"did not get this type of event then, only: invoice.*", "The endpoint was disabled at that time.")
	status(disabled, "enabled")
	requirePage(t, w.get("/portal/events/"+second), "The endpoint was disabled at that time. To get it, recover what the endpoint missed.")
	requirePage(t, w.get("/portal/events/"+first), "The endpoint was added later.")
	requirePage(t, w.get("/portal/missing?type=order.paid&within=1h"), "/portal/events/"+first, "/portal/events/"+second, "no endpoint", "1 endpoint")

	for _, id := range []string{foreign, uuid.NewString(), uuid.Must(uuid.NewV7()).String()} {
		requirePage(t, w.get("/portal/missing?id="+id), "You have no event with this id")
	}
	requirePage(t, w.get("/portal/missing?id="+foreign), "An event with it would be of this time:")
	requirePage(t, w.get("/portal/missing?id=x%27y"), "This is no id of an event.")
	requirePage(t, w.get("/portal/missing?type=invoice.paid&within=24h"), "Nothing like it happened in this time")
	requirePage(t, w.get("/portal/missing?type=%20%2A&within=24h"), "This is no type of events.")
	require.NotContains(t, w.get("/portal/missing?within=720h").body, foreign)
	requirePage(t, w.get("/portal/activity?endpoint="+all+"&state=pending"), "order.paid", "all.acme.example")
	requirePage(t, w.get("/portal/activity?endpoint="+invoices), "Nothing matches")
}

// What the catalogue says is what a customer reads and chooses from, but for what is the operator's.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NotContains(t, b.open(b.link("acme")).get("/portal/help").body, "/portal/event-types/")
	b.describe()

	w := b.open(b.link("acme", with("endpoints")))
	requirePage(t, w.get("/portal/help"), `href="/portal/event-types/invoice.paid"`, "An invoice was paid")
	requirePage(t, w.get("/portal/event-types/invoice.paid"), "Once for each invoice.", "customer.id", "In cents.", "&#34;amount&#34;: 4200")
	requirePage(t, w.get("/portal/endpoints/new"), `value="invoice.paid"`)
	require.Equal(t, http.StatusNotFound, w.get("/portal/event-types/invoice.audited").status)
	for _, path := range []string{"/portal/help", "/portal/endpoints/new", "/portal/missing"} {
		require.NotContains(t, w.get(path).body, "invoice.audited", path)
	}
}

// Each page with each object of another tenant is the same 404 as with none at all, and no list knows of it.
func TestOthersDoNotExist(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	endpoint := b.endpoint("globex", "https://hooks.globex.example", "globex.happened")
	event := b.publish("globex", "globex.happened", `{"of":"globex"}`)
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', reason = 'exhausted', completed_at = now(), next_attempt_at = NULL`)
	own := b.endpoint("acme", "https://hooks.acme.example")
	ownEvent := b.publish("acme", "acme.happened", `{}`)
	w := b.open(b.link("acme"))

	tried := 0
	for _, pattern := range b.portal.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		if !strings.Contains(path, "{") {
			continue
		}
		tried++
		at := func(endpoint, event string) answer {
			return w.do(method, strings.NewReplacer("{endpoint}", endpoint, "{event}", event, "{type}", "no.type").Replace(path),
				url.Values{"status": {"paused"}, "since": {"2026-01-02T03:04:05Z"}, "etag": {`"x"`}}, "Sec-Fetch-Site", "same-origin")
		}
		missing := at(uuid.NewString(), uuid.NewString())
		require.Equal(t, http.StatusNotFound, missing.status, "%s: %s", pattern, missing.body)
		for _, theirs := range []answer{at(endpoint, event), at(endpoint, ownEvent), at(own, event)} {
			if theirs.status != http.StatusNotFound {
				require.False(t, strings.Contains(path, "{event}") && strings.Contains(path, "{endpoint}"), pattern)
				require.NotContains(t, theirs.body, "globex", pattern) // it is of their own object
				continue
			}
			require.Equal(t, strip(missing.body), strip(theirs.body), pattern)
		}
	}
	require.Greater(t, tried, 9)

	for _, path := range []string{
		"/portal", "/portal/activity", "/portal/activity?endpoint=" + endpoint, "/portal/missing?within=720h&type=globex.happened",
		"/portal/endpoints/new", "/portal/activity?cursor=" + endpoint, "/portal?tenant_id=globex", "/portal/activity?tenant_id=globex",
	} {
		a := w.get(path)
		for _, trace := range []string{"hooks.globex", event} {
			require.NotContains(t, a.body, trace, path)
		}
	}
	e, err := b.api.GetEndpoint(t.Context(), endpoint, client.GetEndpointParams{})
	require.NoError(t, err)
	require.Equal(t, "enabled", e.Status)
}

// strip removes what differs from one answer to the next: the nonce and the request's id.
func strip(body string) string {
	for _, mark := range []string{`nonce="`, "Request <code>"} {
		before, rest, found := strings.Cut(body, mark)
		if !found {
			continue
		}
		_, rest, _ = strings.Cut(rest, map[bool]string{true: "<", false: `"`}[strings.HasSuffix(mark, ">")])
		body = before + rest
	}
	return body
}
