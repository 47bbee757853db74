package portal_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// A customer without help: adds an endpoint, sees its test fail, mends it, and goes on.
func TestANewEndpointMustAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	b.publish("acme", "invoice.paid", `{"amount": 1}`)
	w := b.open(b.link("acme"))
	requirePage(t, w.get("/portal"), "No endpoints yet", `href="/portal/endpoints/new"`)
	asked := w.get("/portal/endpoints/new")
	requirePage(t, asked, `value="invoice.paid"`, "Add and test it")
	token := hidden(t, asked, "token")

	a := w.post("/portal/endpoints", url.Values{"token": {token}, "url": {"http://bad.acme.example"}})
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.body, `value="http://bad.acme.example"`)
	require.Contains(t, a.body, "must start with https://")
	a = w.post("/portal/endpoints", url.Values{
		"token": {hidden(t, a, "token")}, "url": {"https://bad.acme.example/hook"}, "description": {"Production"},
		"types": {"invoice.paid"}, "other_types": {"order.*\norder.paid"}, "filter": {`{"data":{"amount":{"$gte":10}}}`},
	})
	requirePage(t, a, "whsec_", "The test was not answered.", "wrong signature", "It is not used yet", "Test again", "401 Unauthorized")
	path := endpointAt.FindString(a.body)
	id := path[len("/portal/endpoints/"):]
	made, err := b.api.GetEndpoint(t.Context(), id, client.GetEndpointParams{})
	require.NoError(t, err)
	require.Equal(t, []any{"acme", "paused", "Production", []string{"invoice.paid", "order.*", "order.paid"}},
		[]any{made.TenantID, made.Status, made.Description, made.EventTypes})
	require.JSONEq(t, `{"data":{"amount":{"$gte":10}}}`, string(made.Filter))
	requirePage(t, w.get("/portal"), "bad.acme.example/hook", "Paused")

	requirePage(t, w.post(path+"/test", url.Values{}), "The test was not answered.", "It is not used yet")
	edit := w.get(path + "/edit")
	requirePage(t, edit, `value="https://bad.acme.example/hook"`, "order.*\norder.paid</textarea>")
	saved := w.post(path+"/edit", url.Values{
		"etag": {html.UnescapeString(hidden(t, edit, "etag"))}, "url": {"https://good.acme.example/hook"}, "types": {"invoice.paid"},
	})
	require.Equal(t, http.StatusSeeOther, saved.status, saved.body)
	a = w.post(path+"/test", url.Values{})
	requirePage(t, a, "Your endpoint answered the test.")
	require.NotContains(t, a.body, "It is not used yet")
	made, err = b.api.GetEndpoint(t.Context(), id, client.GetEndpointParams{})
	require.NoError(t, err)
	require.Equal(t, "enabled", made.Status)
	require.Equal(t, "null", string(made.Filter))

	// What somebody else has changed meanwhile is not overwritten.
	stale := w.post(path+"/edit", url.Values{"etag": {html.UnescapeString(hidden(t, edit, "etag"))}, "url": {"https://old.acme.example"}})
	require.Equal(t, http.StatusPreconditionFailed, stale.status)

	// One that answers is used at once, and sent twice the form makes one.
	form := url.Values{"token": {hidden(t, w.get("/portal/endpoints/new"), "token")}, "url": {"https://second.acme.example"}}
	requirePage(t, w.post("/portal/endpoints", form), "whsec_", "Your endpoint answered the test.")
	requirePage(t, w.post("/portal/endpoints", form), "whsec_")
	list, err := b.api.ListEndpoints(t.Context(), client.ListEndpointsParams{TenantID: "acme"})
	require.NoError(t, err)
	require.Len(t, list.Items, 2)
}

func TestSecretsAndStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	id := b.endpoint("acme", "https://hooks.acme.example")
	w := b.open(b.link("acme"))
	path := "/portal/endpoints/" + id
	secret := regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`)

	shown := w.post(path+"/reveal", url.Values{})
	requirePage(t, shown, "whsec_")
	rotated := w.post(path+"/rotate", url.Values{})
	requirePage(t, rotated, "This is the new one")
	require.NotEqual(t, secret.FindString(shown.body), secret.FindString(rotated.body))
	requirePage(t, w.post(path+"/reveal", url.Values{}), secret.FindString(shown.body), secret.FindString(rotated.body), "until")

	for _, to := range []string{"paused", "enabled"} {
		a := w.post(path+"/status", url.Values{"status": {to}})
		require.Equal(t, path+"?done="+to, a.header.Get("Location"))
		requirePage(t, w.get(path+"?done="+to), `class="toast ok"`)
	}
	require.Equal(t, http.StatusUnprocessableEntity, w.post(path+"/status", url.Values{"status": {"disabled"}}).status)

	event := b.publish("acme", "invoice.paid", `{"amount":1}`)
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', reason = 'exhausted', completed_at = now(), next_attempt_at = NULL`)
	requirePage(t, w.get("/portal/events/"+event), "Every attempt failed", "Send again", "&#34;amount&#34;: 1")
	asked := w.get(path + "/recover?since=1h")
	requirePage(t, asked, "1 event is delivered again")
	a := w.post(path+"/recover", url.Values{
		"token": {hidden(t, asked, "token")}, "since": {hidden(t, asked, "since")}, "until": {hidden(t, asked, "until")},
	})
	require.Equal(t, path+"?done=recovering", a.header.Get("Location"), a.body)
	requirePage(t, w.get(path), "What was missed is delivered again")
	a = w.post("/portal/events/"+event+"/"+id+"/retry", url.Values{})
	require.Equal(t, "/portal/events/"+event+"?done=retried", a.header.Get("Location"), a.body)

	a = w.post(path+"/delete", url.Values{})
	require.Equal(t, "/portal?done=deleted", a.header.Get("Location"))
	require.Equal(t, http.StatusNotFound, w.get(path).status)
	requirePage(t, w.get("/portal/events/"+event), "A deleted endpoint")
}

// A page offers what the session can do, and the API refuses everything else.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	id := b.endpoint("acme", "https://hooks.acme.example")
	event := b.publish("acme", "invoice.paid", `{"amount":987654321}`)
	path := "/portal/endpoints/" + id
	for capability, offers := range map[string][]string{
		"endpoints":      {path + "/status", path + "/delete", path + "/edit"},
		"secrets:read":   {path + "/reveal"},
		"secrets:rotate": {path + "/rotate"},
		"test":           {path + "/test"},
		"replay":         {path + "/recover"},
		"payloads":       nil,
		"view":           nil,
	} {
		w := b.open(b.link("acme", with(capability)))
		page := w.get(path)
		requirePage(t, page, "hooks.acme.example")
		var offered []string
		for _, m := range regexp.MustCompile(`(?:action|href)="(`+path+`/[a-z]+)"`).FindAllStringSubmatch(page.body, -1) {
			offered = append(offered, m[1])
		}
		require.ElementsMatch(t, offers, offered, capability)
		require.Equal(t, capability == "payloads", strings.Contains(w.get("/portal/events/"+event).body, "987654321"), capability)
		require.Equal(t, capability == "endpoints", strings.Contains(w.get("/portal").body, "/portal/endpoints/new"), capability)

		for _, verb := range []string{"reveal", "rotate", "test", "recover", "edit", "delete"} {
			if !strings.Contains(strings.Join(offers, " "), "/"+verb) {
				a := w.post(path+"/"+verb, url.Values{"since": {"2026-01-02T03:04:05Z"}})
				require.Contains(t, []int{http.StatusForbidden, http.StatusOK}, a.status, verb)
				require.NotContains(t, a.body, "whsec_")
				if verb != "test" { // which says on the endpoint's page why there was none
					require.Equal(t, http.StatusForbidden, a.status, "%s with %s", verb, capability)
				}
			}
		}
		if capability != "endpoints" {
			require.Equal(t, http.StatusForbidden, w.get("/portal/endpoints/new").status)
			require.Equal(t, http.StatusForbidden, w.post("/portal/endpoints", url.Values{"url": {"https://x.example"}}).status)
		} else {
			require.Equal(t, http.StatusSeeOther, w.post(path+"/status", url.Values{"status": {"paused"}}).status)
			require.Equal(t, http.StatusSeeOther, w.post(path+"/status", url.Values{"status": {"enabled"}}).status)
		}
		if capability != "replay" {
			require.Equal(t, http.StatusForbidden, w.post("/portal/events/"+event+"/"+id+"/retry", url.Values{}).status)
		}
	}
}
