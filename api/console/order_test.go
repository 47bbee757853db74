package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// confirmed returns what the button of a page that asks for an order sends.
func confirmed(t *testing.T, a answer) url.Values {
	t.Helper()
	_, form, found := strings.Cut(a.body, `class="card confirm"`)
	require.True(t, found, a.body)
	form, _, _ = strings.Cut(form, "</form>")
	values := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(form, -1) {
		values.Add(m[1], html.UnescapeString(m[2]))
	}
	require.NotEmpty(t, values)
	return values
}

// Each form does what its button says.
func TestOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	person := b.login(adminKey)
	state := func(endpoint string) *client.Delivery {
		t.Helper()
		d, err := b.api.GetDelivery(t.Context(), w.event, endpoint, client.GetDeliveryParams{})
		require.NoError(t, err)
		return d
	}
	order := func(path string, form url.Values, done string) {
		t.Helper()
		a := person.post(path, form)
		require.Equal(t, http.StatusSeeOther, a.status, a.body)
		require.Contains(t, a.location, "?done="+done)
		requirePage(t, person.get(a.location), `class="toast ok"`)
	}
	event, endpoint := "/console/events/"+w.event, "/console/endpoints/"+w.endpoint
	delivery := "/console/deliveries/" + w.event + "/"

	require.Equal(t, "succeeded", state(w.endpoint).State)
	order(event+"/replay", url.Values{}, "replayed")
	require.Equal(t, "pending", state(w.endpoint).State)

	order(delivery+w.failing+"/cancel", url.Values{}, "cancelled")
	require.Equal(t, "cancelled", state(w.failing).State)
	a := person.post(delivery+w.failing+"/cancel", url.Values{})
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.body, "It has changed in the meantime")
	order(delivery+w.failing+"/replay", url.Values{}, "replayed")
	before := *state(w.failing).NextAttemptAt
	order(delivery+w.failing+"/replay", url.Values{"now": {"true"}}, "replayed")
	require.False(t, state(w.failing).NextAttemptAt.After(before.Add(soon)))

	at := time.Now().Add(time.Hour)
	later, err := b.api.CreateEvent(t.Context(), client.NewEvent{
		TenantID: "acme", Type: "invoice.paid", Payload: []byte(`{}`), DeliverAt: &at,
	}, client.CreateEventParams{})
	require.NoError(t, err)
	requirePage(t, person.get("/console/events/"+later.ID), "Take back")
	order("/console/events/"+later.ID+"/cancel", url.Values{}, "cancelled")
	back := person.get("/console/events/" + later.ID)
	requirePage(t, back, "Taken back")
	require.NotContains(t, back.body, "Take back")
	require.Equal(t, http.StatusConflict, person.post(event+"/cancel", url.Values{}).status)

	for _, to := range []string{"paused", "enabled"} {
		order(endpoint+"/status", url.Values{"status": {to}}, to)
		got, err := b.api.GetEndpoint(t.Context(), w.endpoint, client.GetEndpointParams{})
		require.NoError(t, err)
		require.Equal(t, to, got.Status)
	}
	require.Equal(t, http.StatusUnprocessableEntity, person.post(endpoint+"/status", url.Values{"status": {"gone"}}).status)

	// A recover says first how much it delivers again, and orders just that.
	failing := "/console/endpoints/" + w.failing + "/recover"
	asked := person.get(failing + "?since=1h&missed=true")
	requirePage(t, asked, "This orders <b>3 deliveries of 1 endpoint</b>")
	requirePage(t, person.get(endpoint+"/recover?since=1h"), "Nothing to deliver again")
	order(failing, confirmed(t, asked), "recovering")
	operations, err := b.api.ListOperations(t.Context(), client.ListOperationsParams{})
	require.NoError(t, err)
	require.Len(t, operations.Items, 1)
	require.True(t, operations.Items[0].Missed)

	secrets, err := b.api.GetSecret(t.Context(), w.endpoint, client.GetSecretParams{})
	require.NoError(t, err)
	requirePage(t, person.post(endpoint+"/reveal", url.Values{}), secrets.Secrets[0].Secret)
	rotated := person.post(endpoint+"/rotate", url.Values{})
	requirePage(t, rotated, "whsec_")
	require.NotContains(t, rotated.body, secrets.Secrets[0].Secret)
	require.NotContains(t, person.get(endpoint).body, "whsec_")

	order(event+"/erase", url.Values{}, "erased")
	requirePage(t, person.get(event), "The payload is gone")
	order(endpoint+"/delete", url.Values{}, "deleted")
	require.Equal(t, http.StatusNotFound, person.get(endpoint).status)
}

// A payload is shown as it was published, but for white space.
func TestPayloadIsShownAsPublished(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stored, err := b.api.CreateEvent(t.Context(), client.NewEvent{
		TenantID: "acme", Type: "a", Payload: []byte(`{"n":12345678901234567890.10,"n":1e5,"t":"\u00e9"}`),
	}, client.CreateEventParams{})
	require.NoError(t, err)
	requirePage(t, b.login(adminKey).get("/console/events/"+stored.ID),
		"{\n  &#34;n&#34;: 12345678901234567890.10,\n  &#34;n&#34;: 1e5,\n  &#34;t&#34;: &#34;\\u00e9&#34;\n}")
}
