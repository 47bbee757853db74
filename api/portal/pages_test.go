package portal_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages/pagetest"
)

// tried says what a page's pattern is tried with: paths, by the name of what they show. Those that change something have
// tests of their own, which are named.
func tried(w pagetest.World) map[string]map[string]string {
	at := func(id string) string { return "/portal/endpoints/" + id }
	return map[string]map[string]string{
		"GET /portal/enter":    {"enter": "/portal/enter"},
		"POST /portal/session": nil, // TestALinkOpensOnce
		"POST /portal/logout":  nil, // TestSessionsEnd

		"GET /portal":               {"endpoints": "/portal"},
		"GET /portal/endpoints/new": {"new endpoint": "/portal/endpoints/new"},
		"POST /portal/endpoints":    nil, // TestANewEndpointMustAnswer
		"POST /portal/preview":      nil, // TestFilters
		"GET /portal/endpoints/{endpoint}": {
			"endpoint": at(w.Endpoint), "failing endpoint": at(w.Failing), "paused endpoint": at(w.Paused), "disabled endpoint": at(w.Disabled),
		},
		"GET /portal/endpoints/{endpoint}/edit":    {"edit endpoint": at(w.Failing) + "/edit"},
		"POST /portal/endpoints/{endpoint}/edit":   nil, // TestANewEndpointMustAnswer
		"POST /portal/endpoints/{endpoint}/test":   nil,
		"POST /portal/endpoints/{endpoint}/status": nil, // TestSecretsAndStatus
		"POST /portal/endpoints/{endpoint}/reveal": nil,
		"POST /portal/endpoints/{endpoint}/rotate": nil,
		"GET /portal/endpoints/{endpoint}/recover": {
			"recover": at(w.Failing) + "/recover", "nothing to recover": at(w.Endpoint) + "/recover?since=1h",
		},
		"POST /portal/endpoints/{endpoint}/recover": nil,
		"POST /portal/endpoints/{endpoint}/delete":  nil,

		"GET /portal/activity": {"activity": "/portal/activity", "no activity matches": "/portal/activity?type=nothing"},
		"GET /portal/events/{event}": {
			"event": "/portal/events/" + w.Event, "event without payload": "/portal/events/" + w.Erased,
		},
		"POST /portal/events/{event}/{endpoint}/retry": nil, // TestSecretsAndStatus
		"GET /portal/missing": {
			"missing": "/portal/missing", "missing found": "/portal/missing?within=24h&type=order.paid",
			"missing not found": "/portal/missing?id=" + uuid.NewString(),
		},
		"GET /portal/help":               {"help": "/portal/help"},
		"GET /portal/event-types/{type}": {"event type": "/portal/event-types/invoice.paid"},
		"GET /portal/":                   {"nothing": "/portal/nothing"},
	}
}

// Every page in both themes, wide and narrow: no error in the console, nothing against its own policy, nothing that axe
// finds, nothing beside the window, and no more than 150 KB.
func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := pagetest.Seed(t, b.pool, b.api)
	b.work()
	b.describe()
	all := tried(w)
	o := pagetest.Order{Base: b.base, Looks: pagetest.Looks(), Shots: pagetest.Shots()}
	o.Link = b.link("acme", func(o *client.NewPortalLink) {
		later := 3600
		o.LinkExpiresInS, o.ReturnURL = &later, new("https://app.example.com")
	}).URL
	for _, pattern := range b.portal.Patterns() {
		paths, ok := all[pattern]
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
	require.Len(t, all, len(b.portal.Patterns()), "a path without a page")

	add := func(name, path string, status int, form string, fill map[string]string) {
		o.Answers = append(o.Answers, pagetest.FormView{View: pagetest.View{Name: name, Path: path, Status: status}, Form: form, Fill: fill})
	}
	add("secret shown", "/portal/endpoints/"+w.Endpoint, http.StatusOK, `form[action$="/reveal"]`, nil)
	add("test answered", "/portal/endpoints/"+w.Endpoint, http.StatusOK, `form[action$="/test"]`, nil)
	add("added", "/portal/endpoints/new", http.StatusOK, "form.long", map[string]string{"url": "https://bad.acme.example"})
	add("endpoint with faults", "/portal/endpoints/new", http.StatusUnprocessableEntity, "form.long", map[string]string{
		"url": "http://hooks.acme.example", "other_types": "*", "filter": "{",
	})
	add("link used", "/portal/enter", http.StatusUnauthorized, "form.stack", map[string]string{"key": "ohc_used"})

	var found []string
	pagetest.Drive(t, "pages.mjs", o, &found)
	require.Empty(t, found)

	ended := pagetest.Order{
		Base: b.base, Looks: pagetest.Looks(), Shots: pagetest.Shots(),
		Pages: []pagetest.View{{Name: "ended", Path: "/portal", Status: http.StatusUnauthorized}},
	}
	pagetest.Drive(t, "pages.mjs", ended, &found)
	require.Empty(t, found)
}

// Customers by keys alone, without a script, and in frames of other sites' pages get where they want to, and no further.
func TestJourneys(t *testing.T) {
	t.Parallel()
	var element, made func(w http.ResponseWriter)
	site := func(address string) *httptest.Server {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address+":0")
		require.NoError(t, err)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/element":
				element(w)
				return
			case "/link":
				made(w)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprintf(w, `<!DOCTYPE html><title>Their product</title><iframe title="Webhooks" src="%s" width="900" height="700"></iframe><p></p>
				<script>addEventListener('message', (e) => { document.querySelector('p').textContent += e.data.type + ' from ' + e.origin; });</script>`,
				strings.ReplaceAll(r.FormValue("src"), `"`, ""))
		}))
		_ = s.Listener.Close()
		s.Listener = listener
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	host, second, foreign := site("127.0.0.1"), site("127.0.0.2"), site("127.0.0.3")

	b := setupFor(t, host.URL, second.URL)
	failing := b.endpoint("acme", "https://failing.acme.example", "invoice.paid")
	event := b.publish("acme", "invoice.paid", `{"amount": 4200}`)
	b.publish("acme", "invoice.paid", `{"amount": 17}`)
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', reason = 'exhausted', completed_at = now(), next_attempt_at = NULL WHERE endpoint_id = $1`, failing)
	b.work()

	// The portal is at another host than the pages: cookies of a port are those of its host.
	at, err := url.Parse(b.base)
	require.NoError(t, err)
	base := "http://localhost:" + at.Port()
	var links []string
	for range 3 {
		later := 3600
		link := b.link("acme", func(o *client.NewPortalLink) { o.LinkExpiresInS = &later })
		links = append(links, strings.Replace(link.URL, b.base, base, 1))
	}

	element = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!DOCTYPE html><title>Their product</title><script type="module" src="%s/portal/embed.js"></script>
			<outhook-portal session-url="/link"></outhook-portal><p></p><script>
			document.querySelector('outhook-portal').addEventListener('session-expired', () => { document.querySelector('p').textContent = 'the session ended'; });
			</script>`, base)
	}
	made = func(w http.ResponseWriter) {
		link, err := b.api.CreatePortalSession(t.Context(), client.NewPortalLink{TenantID: "acme"}, client.CreatePortalSessionParams{})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"url": strings.Replace(link.URL, b.base, base, 1)})
	}

	var found []string
	pagetest.Drive(t, "portal.mjs", map[string]any{
		"base": base, "key": adminKey, "links": links, "event": event, "host": host.URL, "second": second.URL, "foreign": foreign.URL,
	}, &found)
	require.Empty(t, found)
}

// Texts that are not ours stay texts, in whatever field they stand: none runs, none becomes an element, and each is shown.
func TestTextsStayTexts(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../console/testdata/texts.txt")
	require.NoError(t, err)
	texts := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	require.GreaterOrEqual(t, len(texts), 60)

	type textPage struct {
		Name  string   `json:"name"`
		Path  string   `json:"path"`
		Texts []string `json:"texts"`
	}
	b := setup(t)
	ctx := t.Context()
	var list []textPage
	for i, text := range texts {
		endpoint, err := b.api.CreateEndpoint(ctx, client.NewEndpoint{
			TenantID: "acme", URL: fmt.Sprintf("https://host-%d.example/%s", i, url.PathEscape(text)), Description: &text,
			EventTypes: []string{fmt.Sprintf("t%d", i)},
		}, client.CreateEndpointParams{})
		require.NoError(t, err, text)
		payload, err := json.Marshal(map[string]any{text: []string{text}})
		require.NoError(t, err)
		raw := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(payload))
		event := b.publish("acme", fmt.Sprintf("t%d", i), raw)
		b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code, error,
				remote_addr, request_headers, response_headers, response_body)
			VALUES ($1, $2, 1, now(), 1, 'unknown', NULL, $3::text, $3, jsonb_build_object($3::text, $3::text), jsonb_build_object($3::text, $3::text), $3)`,
			event, endpoint.ID, text)

		_, shown, _ := strings.Cut(raw, `:["`)
		name := func(what string) string { return fmt.Sprintf("%s %d", what, i) }
		list = append(list,
			textPage{name("event"), "/portal/events/" + event, []string{text, strings.TrimSuffix(shown, `"]}`)}},
			textPage{name("endpoint"), "/portal/endpoints/" + endpoint.ID, []string{text}},
			textPage{name("missing"), "/portal/missing?" + url.Values{"id": {text + "x"}}.Encode(), nil},
		)
	}
	for i := range list {
		if list[i].Texts == nil {
			list[i].Texts = []string{}
		}
	}

	later := 3600
	link := b.link("acme", func(o *client.NewPortalLink) {
		o.LinkExpiresInS, o.ExpiresInS, o.Label = &later, &later, &texts[0]
	})
	var found []string
	pagetest.Drive(t, "texts.mjs", map[string]any{"base": b.base, "link": link.URL, "pages": list}, &found)
	require.Empty(t, found)
}
