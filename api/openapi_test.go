package api_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Clients are generated from the document, and people copy its examples: each is one that the schema admits.
func TestTheDocumentIsComplete(t *testing.T) {
	t.Parallel()
	b := setup(t)
	doc := b.api.OpenAPI()
	require.NotEmpty(t, doc.Servers)
	for path, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			at := op.Method + " " + path
			for code, response := range op.Responses {
				require.Contains(t, response.Headers, "X-Request-Id", at)
				status, err := strconv.Atoi(code)
				require.NoError(t, err, at)
				if status == 429 || status == 503 || strings.Contains(response.Description, "`idempotency_key_in_use`") {
					require.Contains(t, response.Headers, "Retry-After", at)
				} else {
					require.NotContains(t, response.Headers, "Retry-After", at+" "+code)
				}
				for _, media := range response.Content {
					requireValid(t, doc, media, at+" "+code)
				}
			}
			if op.RequestBody != nil {
				for _, media := range op.RequestBody.Content {
					requireValid(t, doc, media, at)
				}
			}
		}
	}
	for name, schema := range doc.Components.Schemas.Map() {
		for member, s := range schema.Properties {
			require.Nil(t, s.Default, "generators make %s.%s a member that must be given", name, member)
		}
	}
}

func requireValid(t *testing.T, doc *huma.OpenAPI, media *huma.MediaType, at string) {
	t.Helper()
	require.NotNil(t, media.Example, at)
	data, err := json.Marshal(media.Example)
	require.NoError(t, err)
	var value any
	require.NoError(t, json.Unmarshal(data, &value))
	result := &huma.ValidateResult{}
	huma.Validate(doc.Components.Schemas, media.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, result)
	require.Empty(t, result.Errors, "%s: %s", at, data)
}

// An example of a body that is refused would be found by everybody who copies it.
func TestExamplesOfBodiesAreAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint, event := b.newEndpoint("acme", ""), b.newEvent("acme", "a")
	ids := strings.NewReplacer("{event_id}", event.String(), "{endpoint_id}", endpoint.String(), "{id}", endpoint.String())
	for path, item := range b.api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Post, item.Put, item.Patch} {
			if op == nil || op.RequestBody == nil {
				continue
			}
			body, err := json.Marshal(op.RequestBody.Content["application/json"].Example)
			require.NoError(t, err)
			r := b.do(op.Method, strings.ReplaceAll(ids.Replace(path), "{uid}", "u-"+uuid.NewString()), string(body))
			require.NotContains(t, []int{400, 415, 422}, r.status, "%s %s: %s answers %s", op.Method, path, body, r.body)
		}
	}
}
