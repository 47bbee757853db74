package docspage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/docspage"
	"github.com/outhook/outhook/internal/problem"
)

type size struct {
	Width int `json:"width" example:"3"`
}

type parcel struct {
	Note  *string `json:"note,omitempty" nullable:"true" doc:"For people."`
	Label string  `json:"label" example:"fragile" doc:"What <b> is in it."`
	State string  `json:"state" enum:"sent,lost"`
	Sizes []size  `json:"sizes"`
}

// newDocument has one operation with everything that a page shows.
func newDocument() *huma.OpenAPI {
	schemas := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		if t == reflect.TypeFor[problem.Error]() {
			return new(problem.Error).SchemaName()
		}
		return huma.DefaultSchemaNamer(t, hint)
	})
	body := schemas.Schema(reflect.TypeFor[parcel](), true, "")
	refusal := schemas.Schema(reflect.TypeFor[problem.Error](), true, "")
	return &huma.OpenAPI{
		Info:       &huma.Info{Title: "Post", Version: "1.2.3", Description: "One `thing`.\n\nAnd another."},
		Tags:       []*huma.Tag{{Name: "Parcels", Description: "A parcel is sent."}, {Name: "Nothing"}},
		Components: &huma.Components{Schemas: schemas},
		Paths: map[string]*huma.PathItem{"/parcels": {Post: &huma.Operation{
			OperationID: "send-parcel", Method: "POST", Path: "/parcels", Tags: []string{"Parcels"}, Summary: "Send a parcel",
			Security:    []map[string][]string{{"key": {"admin", "clerk"}}},
			Parameters:  []*huma.Param{{Name: "fast", In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean, Default: false}}},
			RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: body}}},
			Responses: map[string]*huma.Response{
				"202": {Description: "Accepted", Content: map[string]*huma.MediaType{"application/json": {Schema: body}}},
				"422": {Description: "Unprocessable Entity", Content: map[string]*huma.MediaType{problem.MediaType: {Schema: refusal}}},
			},
		}}},
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	html, policy, err := docspage.Render(newDocument())
	require.NoError(t, err)
	page := string(html)

	for _, shown := range []string{
		"Post API", "1.2.3", "<p>One thing.</p>", "<p>And another.</p>", "A parcel is sent.", "Send a parcel", `id="send-parcel"`,
		"admin", "clerk", "boolean, query", "Default: false.", "sent | lost", "sizes[].width", "array of object", "string or null",
		"What &lt;b&gt; is in it.", "422 Unprocessable Entity",
	} {
		require.Contains(t, page, shown)
	}
	require.Less(t, strings.Index(page, "<code>label</code>"), strings.Index(page, "<code>note</code>"), "required members come first")
	require.Contains(t, page, "curl -X POST http://localhost:8080/parcels")
	require.Contains(t, page, "&#34;label&#34;: &#34;fragile&#34;")
	require.NotContains(t, page, "ZgotmplZ")

	_, rest, _ := strings.Cut(page, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	require.Contains(t, policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
}
