package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
)

func TestDocs(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("RootLeadsThere", func(t *testing.T) {
		t.Parallel()
		r := b.do("GET", "/", "", "Authorization", "")
		require.Equal(t, 302, r.status)
		require.Equal(t, "/docs", r.header.Get("Location"))
	})

	t.Run("PageNeedsNothingElse", func(t *testing.T) {
		t.Parallel()
		r := b.do("GET", "/docs", "")
		page := string(r.body)
		require.Equal(t, "text/html; charset=UTF-8", r.header.Get("Content-Type"))
		for _, foreign := range []string{"<script", "<link", "<img", "src=", "@import", "url(", "style="} {
			require.NotContains(t, page, foreign)
		}
		_, rest, _ := strings.Cut(page, "<style>")
		style, _, _ := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(style))
		require.Contains(t, r.header.Get("Content-Security-Policy"), "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		for path, item := range b.api.OpenAPI().Paths {
			require.Contains(t, page, "<code>"+path+"</code>")
			if item.Post != nil {
				require.Contains(t, page, `id="`+item.Post.OperationID+`"`)
			}
		}
		require.Contains(t, page, "-d &#39;{")
		require.NotContains(t, page, "ZgotmplZ")
		require.Empty(t, regexp.MustCompile(`href="[^#/]`).FindString(page))
	})

	t.Run("DocumentHasEveryRouteOfTheAPI", func(t *testing.T) {
		t.Parallel()
		r := b.do("GET", "/openapi.json", "")
		require.Equal(t, "application/json", r.header.Get("Content-Type"))
		doc := decode[struct {
			OpenAPI    string `json:"openapi"`
			Paths      map[string]map[string]json.RawMessage
			Components struct{ Schemas map[string]json.RawMessage }
		}](t, r)
		require.Equal(t, "3.1.0", doc.OpenAPI)
		var routes int
		for _, route := range b.api.Routes() {
			method, path, _ := strings.Cut(route, " ")
			if !strings.HasPrefix(path, "/api/") {
				continue
			}
			routes++
			path = regexp.MustCompile(`:([a-z_]+)`).ReplaceAllString(path, "{$1}")
			require.Contains(t, doc.Paths[path], strings.ToLower(method), route)
		}
		require.Equal(t, 72, routes)
		require.NotContains(t, doc.Components.Schemas, "ErrorModel")
		for _, ref := range regexp.MustCompile(`#/components/schemas/([A-Za-z]+)`).FindAllSubmatch(r.body, -1) {
			require.Contains(t, doc.Components.Schemas, string(ref[1]))
		}
		require.NotContains(t, string(r.body), "$schema")
		older := b.requireObject(b.do("GET", "/openapi-3.0.json", ""), 200)
		require.Equal(t, "3.0.3", older["openapi"])
		require.Len(t, older["paths"], len(doc.Paths))
		require.NotContains(t, string(b.do("GET", "/openapi-3.0.json", "").body), `"type": "null"`, "3.0 has nullable")
	})
}

// The document is a promise to the programs that were generated from it, so a change of it must be meant.
func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.do("GET", "/openapi.json", "")
	golden := filepath.Join("testdata", "openapi.golden.json")
	if *update {
		require.NoError(t, os.WriteFile(golden, r.body, 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(r.body), "run the test with -update if this is meant")
}

// The document's bodies are written beside the code that reads them: each member that is documented must be known to
// the decoder.
func TestDocumentedMembersAreKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "")
	event := b.newEvent("acme", "a")
	b.requireObject(b.do("PUT", "/api/tenants/acme", "{}"), 201)
	schemas := b.api.OpenAPI().Components.Schemas
	for name, path := range map[string]string{
		"NewEvent": "POST /api/events", "NewBatch": "POST /api/events/batch", "NewEndpoint": "POST /api/endpoints", "NewKey": "POST /api/keys",
		"EndpointChange": "PATCH /api/endpoints/" + endpoint.String(),
		"NewTenant":      "PUT /api/tenants/acme", "TenantChange": "PATCH /api/tenants/acme",
		"ReplaysOrder": "POST /api/deliveries/replay",
		"ReplayOrder":  "POST /api/deliveries/" + event.String() + "/" + endpoint.String() + "/replay",
	} {
		schema := schemas.Map()[name]
		require.NotNil(t, schema, name)
		require.NotEmpty(t, schema.Properties)
		require.Equal(t, false, schema.AdditionalProperties)
		for member := range schema.Properties {
			if member == "payload" {
				continue // anything is right
			}
			method, path, _ := strings.Cut(path, " ")
			p := b.requireProblem(b.do(method, path, `{"`+member+`":[{}]}`), 422)
			require.NotEqual(t, "is unknown", p.Errors[0].Message, member)
			require.True(t, strings.HasPrefix(p.Errors[0].Location, "body."+member), p.Errors[0].Location)
		}
	}
}

// Answers have what is documented, no more and no less.
func TestAnswersAreAsDocumented(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", `,"headers":{"x":"y"},"retry_schedule":["1m"]`)
	event := b.newEvent("acme", "a")
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome) VALUES ($1, $2, 1, now(), 'unknown')`, event, endpoint)
	for _, c := range []struct{ method, path, body, schema string }{
		{"POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`, "Stored"},
		{"POST", "/api/events/batch", `{"events":[{"tenant_id":"acme","type":"a","payload":1}]}`, "StoredBatch"},
		{"GET", "/api/events", "", "PageEvent"},
		{"GET", "/api/events/" + event.String(), "", "FullEvent"},
		{"GET", "/api/events/" + event.String() + "/attempts", "", "PageAttempt"},
		{"GET", "/api/endpoints", "", "PageEndpoint"},
		{"GET", "/api/endpoints/" + endpoint.String(), "", "Endpoint"},
		{"GET", "/api/deliveries", "", "PageDelivery"},
		{"GET", "/api/deliveries/" + event.String() + "/" + endpoint.String(), "", "Delivery"},
		{"POST", "/api/keys", `{"name":"n","scope":"tenant","tenant_id":"acme","expires_at":"2999-01-01T00:00:00Z"}`, "Key"},
		{"GET", "/api/keys", "", "PageKey"},
		{"GET", "/api/audit", "", "PageAuditEntry"},
		{"PUT", "/api/tenants/acme", `{"metadata":{"a":"b"}}`, "Tenant"},
		{"GET", "/api/tenants", "", "PageTenant"},
		{"GET", "/api/events?limit=0", "", "Problem"},
	} {
		r := b.do(c.method, c.path, c.body)
		schemas := b.api.OpenAPI().Components.Schemas
		schema := schemas.Map()[c.schema]
		require.NotNil(t, schema, c.schema)
		var value any
		require.NoError(t, json.Unmarshal(r.body, &value))
		res := &huma.ValidateResult{}
		huma.Validate(schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, res)
		require.Empty(t, res.Errors, "%s %s: %s", c.method, c.path, r.body)
		requireDocumented(t, schemas, schema, value, c.schema)
	}
}

// requireDocumented fails if an object has a member that its schema does not name.
func requireDocumented(t *testing.T, schemas huma.Registry, schema *huma.Schema, value any, at string) {
	t.Helper()
	if schema.Ref != "" {
		schema = schemas.SchemaFromRef(schema.Ref)
	}
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			requireDocumented(t, schemas, schema.Items, item, at+"[]")
		}
	case object:
		for name, member := range v {
			if reflect.TypeOf(schema.AdditionalProperties) == reflect.TypeFor[*huma.Schema]() || schema.Type == "" {
				continue // a map, or a payload
			}
			require.Contains(t, schema.Properties, name, at)
			requireDocumented(t, schemas, schema.Properties[name], member, at+"."+name)
		}
	}
}
