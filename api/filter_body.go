package api

import (
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"
)

// filterBody is a filter as people write it. The empty one is null.
type filterBody struct{ json.RawMessage }

// Schema is that of the OpenAPI document.
func (filterBody) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Nullable: true, AdditionalProperties: true,
		Examples: []any{map[string]any{"data": map[string]any{"amount": map[string]any{"$gte": 1000}}}},
	}
}
