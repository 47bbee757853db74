package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/pages/pagetest"
)

// tried says what a page's pattern is tried with: paths, by the name of what they show. Those that change something have
// tests of their own, which are named.
func tried(w world) map[string]map[string]string {
	return map[string]map[string]string{
		"GET /console": {"overview": "/console", "overview of a tenant": "/console?tenant=acme&range=15m"},

		"GET /console/login":   {"login": "/console/login?kept=no"},
		"POST /console/login":  nil, // TestLogin
		"GET /console/enter":   {"enter": "/console/enter"},
		"POST /console/logout": nil, // TestLogout
		"POST /console/theme":  nil, // TestTheme

		"GET /console/events": {"events": "/console/events", "no event matches": "/console/events?tenant=nobody"},
		"GET /console/events/{event}": {
			"event": "/console/events/" + w.event, "event for nobody": "/console/events/" + w.lonely,
			"event without payload": "/console/events/" + w.erased,
		},
		"POST /console/events/{event}/replay": nil, // TestOrders
		"POST /console/events/{event}/cancel": nil,
		"POST /console/events/{event}/erase":  nil,

		"GET /console/deliveries": {
			"deliveries": "/console/deliveries", "failed deliveries": "/console/deliveries?state=failed",
			"no delivery matches": "/console/deliveries?tenant=nobody",
		},
		"GET /console/deliveries/{event}/{endpoint}": {
			"delivery":         "/console/deliveries/" + w.event + "/" + w.endpoint,
			"pending delivery": "/console/deliveries/" + w.event + "/" + w.failing,
		},
		"POST /console/deliveries/{event}/{endpoint}/replay": nil,
		"POST /console/deliveries/{event}/{endpoint}/cancel": nil,

		"GET /console/endpoints": {"endpoints": "/console/endpoints", "no endpoint matches": "/console/endpoints?host=nowhere.example"},
		"GET /console/endpoints/{endpoint}": {
			"endpoint": "/console/endpoints/" + w.endpoint, "failing endpoint": "/console/endpoints/" + w.failing,
			"paused endpoint": "/console/endpoints/" + w.paused, "disabled endpoint": "/console/endpoints/" + w.disabled,
		},
		"POST /console/endpoints/{endpoint}/status": nil,
		"POST /console/endpoints/{endpoint}/test":   nil,
		"GET /console/endpoints/{endpoint}/recover": {
			"recover": "/console/endpoints/" + w.failing + "/recover", "nothing to recover": "/console/endpoints/" + w.endpoint + "/recover?since=1h",
		},
		"POST /console/endpoints/{endpoint}/recover": nil,
		"POST /console/endpoints/{endpoint}/rotate":  nil,
		"POST /console/endpoints/{endpoint}/reveal":  nil,
		"POST /console/endpoints/{endpoint}/delete":  nil,

		"GET /console/find":        {"find": "/console/find", "found": "/console/find?q=main", "not found": "/console/find?q=nobody"},
		"GET /console/live":        {"live": "/console/live", "live failures": "/console/live?outcome=failed"},
		"GET /console/live/stream": {}, // TestLive

		"GET /console/endpoints/new": {"new endpoint": "/console/endpoints/new"},
		"POST /console/endpoints":    nil, // TestEndpointForm
		"GET /console/endpoints/{endpoint}/history": {
			"history": "/console/endpoints/" + w.disabled + "/history", "history of one thing": "/console/endpoints/" + w.endpoint + "/history",
		},
		"GET /console/endpoints/{endpoint}/edit":  {"edit endpoint": "/console/endpoints/" + w.endpoint + "/edit"},
		"POST /console/endpoints/{endpoint}/edit": nil,

		"GET /console/tenants": {"tenants": "/console/tenants"},
		"GET /console/tenants/{tenant}": {
			"tenant": "/console/tenants/acme?erasure=" + w.erasure, "tenant without an entry": "/console/tenants/initech",
			"unknown tenant": "/console/tenants/nobody",
		},
		"GET /console/tenants/{tenant}/edit":    {"edit tenant": "/console/tenants/acme/edit", "note tenant": "/console/tenants/initech/edit"},
		"POST /console/tenants/{tenant}/edit":   nil, // TestTenantForm
		"POST /console/tenants/{tenant}/pause":  nil, // TestTenantOrders
		"POST /console/tenants/{tenant}/resume": nil,
		"POST /console/tenants/{tenant}/delete": nil, // TestTenantFormConflict
		"POST /console/tenants/{tenant}/erase":  nil, // TestTenantOrders

		"GET /console/event-types": {
			"event types": "/console/event-types", "no event type matches": "/console/event-types?group=nothing",
		},
		"GET /console/event-types/{type}":       {"event type": "/console/event-types/customer.created", "event type with an example": "/console/event-types/invoice.paid"},
		"GET /console/event-types/{type}/edit":  {"change event type": "/console/event-types/invoice.paid/edit"},
		"POST /console/event-types/{type}/edit": nil, // TestEventTypePages

		"GET /console/operations": {
			"operations": "/console/operations", "no operation matches": "/console/operations?tenant=nobody",
		},
		"GET /console/operations/new": {"new operation": "/console/operations/new"},
		"POST /console/operations":    nil, // TestOperationOrders
		"GET /console/operations/{operation}": {
			"running operation": "/console/operations/" + w.running, "paused operation": "/console/operations/" + w.halted,
			"completed operation": "/console/operations/" + w.completed,
		},
		"POST /console/operations/{operation}/pause":  nil,
		"POST /console/operations/{operation}/resume": nil,
		"POST /console/operations/{operation}/cancel": nil,

		"GET /console/keys":               {"keys": "/console/keys", "no key matches": "/console/keys?tenant=nobody"},
		"GET /console/keys/new":           {"new key": "/console/keys/new"},
		"POST /console/keys":              nil, // TestKeyOrders
		"POST /console/keys/{key}/revoke": nil,
		"GET /console/audit":              {"audit": "/console/audit", "no entry matches": "/console/audit?action=nothing"},
		"GET /console/system":             {"system": "/console/system"},

		"GET /console/": {"nothing": "/console/nothing"},
	}
}

// What package pagetest calls so.
type (
	formView = pagetest.FormView
	order    = pagetest.Order
)

func view(name, path string, status int) pagetest.View {
	return pagetest.View{Name: name, Path: path, Status: status}
}

// answered are the pages that only a form leads to, and menus.
func answered(w world) (list []formView) {
	endpoint := "/console/endpoints/" + w.endpoint
	for _, v := range []struct {
		name, path string
		status     int
		form       string
		fill       map[string]string
	}{
		{"secret shown", endpoint, http.StatusOK, `form[action$="/reveal"]`, nil},
		{"key shown", "/console/keys/new", http.StatusOK, "form.long", map[string]string{"name": "billing"}},
		{"endpoint with faults", endpoint + "/edit", http.StatusUnprocessableEntity, "form.long", map[string]string{
			"url": "http://hooks.acme.example", "timeout_ms": "soon", "event_types": "*",
		}},
		{"key with faults", "/console/keys/new", http.StatusUnprocessableEntity, "form.long", map[string]string{"name": ""}},
		{"endpoint has changed", endpoint + "/edit", http.StatusPreconditionFailed, "form.long", map[string]string{
			"etag": `"before"`, "description": "Mine",
		}},
		{"operation counted", "/console/operations/new", http.StatusOK, "form.long", nil},
		{"operation with faults", "/console/operations/new", http.StatusUnprocessableEntity, "form.long", map[string]string{"types": "*"}},
		{"wrong login", "/console/login", http.StatusUnauthorized, "form.stack", map[string]string{"key": "ohk_wrong"}},
	} {
		list = append(list, formView{View: view(v.name, v.path, v.status), Form: v.form, Fill: v.fill})
	}
	for name, menu := range map[string]string{"menu of an endpoint": "#more", "menu of the session": "#account"} {
		list = append(list, formView{View: view(name, endpoint, http.StatusOK), Open: menu})
	}
	return list
}

// publicPages are those of api/public, for everybody.
func publicPages() []pagetest.View {
	return []pagetest.View{
		view("public catalogue", "/catalog", http.StatusOK),
		view("public type", "/catalog/invoice.paid", http.StatusOK),
		view("public type that is deprecated", "/catalog/customer.created", http.StatusOK),
		view("no public type", "/catalog/no.type", http.StatusNotFound),
	}
}

// Every page in both themes, wide and narrow: no error in the console, nothing against its own policy, nothing that axe
// finds, nothing beside the window, and no more than 150 KB.
func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	b.administer(&w)
	b.note()
	b.describe()
	w.erasure = b.maintain()
	pages := tried(w)
	o := order{Base: b.base, Key: adminKey, Looks: pagetest.Looks(), Shots: pagetest.Shots()}
	for _, pattern := range b.console.Patterns() {
		paths, ok := pages[pattern]
		require.True(t, ok, "the page %s is tried with nothing: give it a path", pattern)
		require.Equal(t, strings.HasPrefix(pattern, "GET "), paths != nil, pattern)
		for name, path := range paths {
			v := pagetest.View{Name: name, Path: path, Status: http.StatusOK}
			if name == "nothing" {
				v.Status = http.StatusNotFound
			}
			o.Pages = append(o.Pages, v)
		}
	}
	require.Len(t, pages, len(b.console.Patterns()), "a path without a page")
	o.Answers = answered(w)
	o.Pages = append(o.Pages, publicPages()...)

	var found []string
	pagetest.Drive(t, "pages.mjs", o, &found)
	require.Empty(t, found)
}

// The same of a database that has nothing yet, and of a key that may only read.
func TestPagesWithNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order{
		Base: b.base, Key: b.key("read", "acme").Key, Looks: pagetest.Looks()[:2], Shots: pagetest.Shots(),
		Pages: []pagetest.View{
			view("first overview", "/console", 200),
			view("no events", "/console/events", 200),
			view("no deliveries", "/console/deliveries", 200),
			view("no endpoints", "/console/endpoints", 200),
			view("no operations", "/console/operations", 200),
			view("no event types", "/console/event-types", 200),
			view("empty public catalogue", "/catalog", 200),
			view("no entry", "/console/tenants/acme", 200),
			view("no right", "/console/keys", 403),
			view("no right to a form", "/console/endpoints/new", 403),
			view("gone", "/console/operations/"+uuid.NewString(), 404),
		},
	}
	var found []string
	pagetest.Drive(t, "pages.mjs", o, &found)
	require.Empty(t, found)
}
