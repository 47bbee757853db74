package docspage

import (
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
)

// Older returns the document as OpenAPI 3.0, without what huma leaves in it that 3.0 does not know.
func Older(oapi *huma.OpenAPI) ([]byte, error) {
	text, err := oapi.Downgrade()
	if err != nil {
		return nil, fmt.Errorf("encoding the OpenAPI document as 3.0: %w", err)
	}

	var older map[string]any
	if err := json.Unmarshal(text, &older); err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document as 3.0: %w", err)
	}
	if about, ok := older["info"].(map[string]any); ok {
		if license, ok := about["license"].(map[string]any); ok {
			delete(license, "identifier")
		}
	}
	nullable(older)

	text, err = json.MarshalIndent(older, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the OpenAPI document as 3.0: %w", err)
	}
	return text, nil
}

// nullable says of each choice that has null what 3.0 says of it: null is no type there.
func nullable(value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			nullable(item)
		}
	case map[string]any:
		for _, member := range v {
			nullable(member)
		}

		choices, _ := v["oneOf"].([]any)
		var rest []any
		for _, choice := range choices {
			if c, ok := choice.(map[string]any); ok && c["type"] == "null" {
				v["nullable"] = true
				continue
			}
			rest = append(rest, choice)
		}
		if choices != nil {
			v["oneOf"] = rest
		}
	}
}
