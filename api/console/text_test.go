package console_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages/pagetest"
	"github.com/outhook/outhook/api/web"
)

// page of texts, for the script.
type textPage struct {
	Name  string   `json:"name"`
	Path  string   `json:"path"`
	Texts []string `json:"texts"`
}

// Texts that are not ours stay texts, in whatever field they stand: none runs, none becomes an element, and each is shown.
func TestTextsStayTexts(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/texts.txt")
	require.NoError(t, err)
	texts := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	require.GreaterOrEqual(t, len(texts), 60)

	b := setup(t)
	var pages []textPage
	for i, text := range texts {
		pages = append(pages, b.spread(i, text)...)
	}
	last := texts[len(texts)-1]
	for _, list := range []string{"/console", "/console/events", "/console/deliveries", "/console/endpoints", "/console/tenants"} {
		pages = append(pages, textPage{Name: list, Path: list, Texts: []string{last}})
	}
	// What ended half a minute ago is not on the live page any more, so that nothing runs is all that is sure.
	pages = slices.Insert(pages, 0, textPage{Name: "live", Path: "/console/live", Texts: []string{}})
	b.exec(`UPDATE outhook.deliveries SET state = 'failed', completed_at = now(), next_attempt_at = NULL, reason = 'exhausted'`)

	var found []string
	pagetest.Drive(t, "texts.mjs", map[string]any{"base": b.base, "key": b.key("admin", "").Key, "pages": pages}, &found)
	require.Empty(t, found)
}

// spread puts a text into every field that can have it, and returns the pages that show it.
func (b *bundle) spread(i int, text string) []textPage {
	b.t.Helper()
	ctx := b.t.Context()
	headers := map[string]string{}
	if !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
		headers["x-text"] = text // its value is visible ASCII
	}
	endpoint, err := b.api.CreateEndpoint(ctx, client.NewEndpoint{
		TenantID: text, URL: fmt.Sprintf("https://host-%d.example/%s", i, url.PathEscape(text)), Description: &text,
		Headers: headers, Metadata: map[string]string{"m": text},
	}, client.CreateEndpointParams{})
	require.NoError(b.t, err, text)
	_, err = b.api.PutTenant(ctx, text, client.NewTenant{Name: &text, Metadata: map[string]string{text: text}}, client.PutTenantParams{})
	require.NoError(b.t, err, text)
	payload, err := json.Marshal(map[string]any{text: []string{text}})
	require.NoError(b.t, err)
	// As a publisher in another language would write it, without escapes.
	raw := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(payload))
	event, err := b.api.CreateEvent(ctx, client.NewEvent{TenantID: text, Type: "a", Payload: []byte(raw)}, client.CreateEventParams{})
	require.NoError(b.t, err, text)
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code, error,
			remote_addr, request_headers, response_headers, response_body)
		VALUES ($1, $2, 1, now(), 1, 'unknown', NULL, $3::text, $3, jsonb_build_object($3::text, $3::text), jsonb_build_object($3::text, $3::text), $3)`,
		event.ID, endpoint.ID, text)

	described, err := json.Marshal(map[string]any{"dry_run": false, "note": text, "document": map[string]any{
		"openapi": "3.1.0", "info": map[string]any{"title": text, "version": text}, "webhooks": map[string]any{
			fmt.Sprintf("text.n%d", i): map[string]any{
				"summary": text, "description": text, "x-outhook-group": text, "post": map[string]any{"requestBody": map[string]any{
					"content": map[string]any{"application/json": map[string]any{
						"schema":  map[string]any{"properties": map[string]any{"m": map[string]any{"description": text, "const": text}}},
						"example": map[string]any{"m": text},
					}},
				}},
			},
		},
	}})
	require.NoError(b.t, err)
	_, err = b.api.PushCatalog(ctx, client.NewCatalog{}, client.PushCatalogParams{}, client.WithBody(described))
	require.NoError(b.t, err, text)

	_, shown, _ := strings.Cut(raw, `:["`)
	name := func(what string) string { return fmt.Sprintf("%s %d", what, i) }
	return []textPage{
		{name("event"), "/console/events/" + event.ID, []string{text, strings.TrimSuffix(shown, `"]}`)}},
		{name("endpoint"), "/console/endpoints/" + endpoint.ID, []string{text}},
		{name("delivery"), "/console/deliveries/" + event.ID + "/" + endpoint.ID, []string{text}},
		{name("tenant"), web.TenantHref(text), []string{text}},
		{name("event type"), web.EventTypeHref(fmt.Sprintf("text.n%d", i)), []string{text}},
		{name("public type"), fmt.Sprintf("/catalog/text.n%d", i), []string{text}},
		{name("entry"), web.TenantHref(text) + "/edit", []string{text}},
		{name("find"), "/console/find?" + url.Values{"q": {text + "x"}}.Encode(), []string{text + "x"}},
		{name("filter"), "/console/deliveries?" + url.Values{"tenant": {text}, "type": {"a"}}.Encode(), []string{text}},
	}
}
