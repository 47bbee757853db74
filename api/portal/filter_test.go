package portal_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// Conditions become a filter, and a filter that conditions can say becomes them again.
func TestFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	for _, payload := range []string{`{"amount": 500, "plan": "gold"}`, `{"amount": 4200, "plan": "gold"}`, `{"amount": 4200, "plan": "free", "deep": {"er": [{"sku": "a-1"}]}}`} {
		b.publish("acme", "invoice.paid", payload)
	}
	w := b.open(b.link("acme"))
	asked := w.get("/portal/endpoints/new")
	requirePage(t, asked, `<option value="amount">`, `<option value="deep.er.sku">`, "Try it on past events")

	form := url.Values{
		"token": {hidden(t, asked, "token")}, "url": {"https://hooks.acme.example"},
		"path_0": {"amount"}, "operator_0": {"$gte"}, "value_0": {"1000"},
		"path_1": {"data.plan"}, "operator_1": {"$eq"}, "value_1": {"gold"},
	}
	requirePage(t, w.post("/portal/preview", form), "1 of your last 3 events would be sent.", `value="https://hooks.acme.example"`)
	made := w.post("/portal/endpoints", form)
	requirePage(t, made, "Your endpoint answered the test.")
	path := endpointAt.FindString(made.body)
	stored, err := b.api.GetEndpoint(t.Context(), path[len("/portal/endpoints/"):], client.GetEndpointParams{})
	require.NoError(t, err)
	require.JSONEq(t, `{"$and":[{"data":{"amount":{"$gte":1000}}},{"data":{"plan":{"$eq":"gold"}}}]}`, string(stored.Filter))
	requirePage(t, w.get(path+"/edit"), `value="amount"`, `value="1000"`, `value="plan"`, `value="gold"`)

	form.Set("filter", "{")
	a := w.post("/portal/preview", form)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.body, "It is no JSON object like")
	require.Equal(t, http.StatusForbidden, b.open(b.link("acme", with("endpoints"))).post("/portal/preview", url.Values{}).status)
}
