package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// rowOf returns the row of a page's table that holds a text.
func rowOf(t *testing.T, page answer, text string) string {
	t.Helper()
	require.Equal(t, http.StatusOK, page.status, page.body)
	for row := range strings.SplitSeq(page.body, "<tr>") {
		row, _, _ = strings.Cut(row, "</tr>")
		if strings.Contains(row, text) {
			return row
		}
	}
	require.Fail(t, "no row has it", text)
	return ""
}

// An event says of each endpoint that did not get it why.
func TestNotDeliveredTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	person := b.login(adminKey)
	require.NotContains(t, person.get("/console/events/"+w.event).body, "Not delivered to", "each endpoint got it")
	requirePage(t, person.get("/console/events/"+w.lonely), "The tenant had no endpoint when the event was published.")

	stored, err := b.api.CreateEvent(t.Context(), client.NewEvent{TenantID: "acme", Type: "customer.created", Payload: []byte(`1`)}, client.CreateEventParams{})
	require.NoError(t, err)
	later, err := b.api.CreateEndpoint(t.Context(), client.NewEndpoint{TenantID: "acme", URL: "https://later.example"}, client.CreateEndpointParams{})
	require.NoError(t, err)
	page := person.get("/console/events/" + stored.ID)
	requirePage(t, page, "<h2>Not delivered to</h2>")
	_, page.body, _ = strings.Cut(page.body, "<h2>Not delivered to</h2>")

	disabled := rowOf(t, page, "old.acme.example")
	require.Contains(t, disabled, "Was disabled")
	require.Contains(t, disabled, "The endpoint had been disabled by OUTHOOK_API_KEY since")
	require.Contains(t, rowOf(t, page, "later.example"), "Created later")
	require.Contains(t, rowOf(t, page, later.ID), "Created later")
	require.Contains(t, rowOf(t, page, "eu.acme-warehouse.example"), "Not subscribed")
	require.Less(t, strings.Index(page.body, "Was disabled"), strings.Index(page.body, "Not subscribed"), "what is usual comes last")
	require.NotContains(t, page.body, "staging.acme.example", "a paused endpoint gets it when it is enabled")
}

// The history of an endpoint says what was changed, from what to what, and by whom.
func TestHistory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, err := b.api.CreateEndpoint(t.Context(), client.NewEndpoint{
		TenantID: "acme", URL: "https://hooks.example", EventTypes: []string{"invoice.*"},
	}, client.CreateEndpointParams{})
	require.NoError(t, err)
	change := func(c client.EndpointChange) {
		t.Helper()
		_, err := b.api.UpdateEndpoint(t.Context(), made.ID, c, client.UpdateEndpointParams{})
		require.NoError(t, err)
	}
	change(client.EndpointChange{EventTypes: client.Set([]string{"invoice.paid", "order.*"}), TimeoutMS: client.Set(5000)})
	change(client.EndpointChange{RateLimit: client.Set(client.RateLimit{Requests: 5, Per: "minute", Burst: 2})})
	b.exec(`UPDATE outhook.endpoints SET status = 'disabled', status_reason = 'answered 410 Gone', status_changed_at = now() WHERE id = $1`, made.ID)

	person := b.login(adminKey)
	path := "/console/endpoints/" + made.ID + "/history"
	requirePage(t, person.get("/console/endpoints/"+made.ID), `href="`+path+`"`)
	page := person.get(path)
	types := rowOf(t, page, "event types")
	require.Contains(t, types, "OUTHOOK_API_KEY")
	require.Contains(t, types, "update-endpoint")
	require.Contains(t, types, `<span class="before">invoice.*</span>`)
	require.Contains(t, types, `<span class="after">invoice.paid, order.*</span>`)
	require.Contains(t, types, `<span class="after">5 s</span>`)
	limit := rowOf(t, page, "rate limit")
	require.Contains(t, limit, `<span class="before">none</span>`)
	require.Contains(t, limit, `<span class="after">5 a minute, bursts of 2</span>`)
	gone := rowOf(t, page, "answered 410 Gone")
	require.Contains(t, gone, "Outhook itself")
	require.Contains(t, gone, `<span class="after">disabled</span>`)
	require.Contains(t, rowOf(t, page, "Created."), "create-endpoint")

	// It is there, and says so, when the endpoint is gone. Another tenant sees nothing.
	require.NoError(t, b.api.DeleteEndpoint(t.Context(), made.ID, client.DeleteEndpointParams{}))
	require.Contains(t, rowOf(t, person.get(path), "<b>deleted</b>"), "delete-endpoint")
	require.Equal(t, http.StatusNotFound, b.login(b.key("read", "globex").Key).get(path).status)

	// What the last one of a page has changed stands on the next page.
	b.exec(`INSERT INTO outhook.endpoint_revisions
		SELECT (jsonb_populate_record(NULL::outhook.endpoint_revisions, to_jsonb(r) || jsonb_build_object('id', outhook.uuid_v7(),
			'timeout_ms', 1000, 'changed', '["timeout_ms"]'::jsonb))).*
		FROM (SELECT * FROM outhook.endpoint_revisions AS r WHERE r.endpoint_id = $1 ORDER BY r.id DESC LIMIT 1) AS r,
			generate_series(1, 60) AS n`, made.ID)
	first := person.get(path)
	require.Contains(t, first.body, "Next page")
	require.Equal(t, 50, strings.Count(first.body, `<span class="before">1 s</span>`), "also of the last")
}
