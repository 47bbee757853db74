package docspage

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// The values of examples whose schema names none.
const (
	exampleTime = "2026-01-02T15:04:05Z"
	exampleID   = "019b7cbd-6d4a-7c3e-9c5f-0f3a1e8f7a10" // a UUID of version 7
)

// curl returns a command that can be pasted, with the examples of the body's members.
func (d document) curl(op *huma.Operation, body *huma.Schema) string {
	const next = " \\\n  "
	command := "curl"
	if op.Method != http.MethodGet {
		command += " -X " + op.Method
	}

	command += " http://localhost:8080" + op.Path + next + "-H 'Authorization: Bearer '\"$OUTHOOK_API_KEY\""
	if body != nil {
		command += next + "-H 'Content-Type: application/json'" + next + "-d '" + d.exampleText(body) + "'"
	}
	return command
}

func (d document) exampleText(s *huma.Schema) string {
	data, err := json.MarshalIndent(RequestExample(d.oapi, s), "  ", "  ")
	if err != nil {
		return "{}" // an example that could not be encoded would have failed when the schema was made
	}
	return string(data)
}

// RequestExample returns a short body that a schema admits: of an object the required members, and those with an
// example.
func RequestExample(oapi *huma.OpenAPI, s *huma.Schema) any {
	return exampler{document{oapi}, false}.value(s)
}

// AnswerExample returns a whole value of a schema: of an object all members.
func AnswerExample(oapi *huma.OpenAPI, s *huma.Schema) any {
	return exampler{document{oapi}, true}.value(s)
}

// exampler makes values of the examples in schemas.
type exampler struct {
	document
	whole bool
}

func (e exampler) value(s *huma.Schema) any {
	if len(s.Examples) > 0 {
		return s.Examples[0]
	}

	nullable := s.Nullable
	s = e.resolve(s)
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.OneOf) > 0:
		return e.value(s.OneOf[0])
	case nullable || s.Nullable:
		return nil
	}
	return e.ofType(s)
}

func (e exampler) ofType(s *huma.Schema) any {
	switch s.Type {
	case huma.TypeArray:
		return []any{e.value(s.Items)}
	case huma.TypeObject:
		object := map[string]any{}
		for name, member := range s.Properties {
			if e.whole || slices.Contains(s.Required, name) || len(member.Examples) > 0 {
				object[name] = e.value(member)
			}
		}
		return object

	case huma.TypeString:
		return exampleString(s)
	case huma.TypeInteger, huma.TypeNumber:
		return exampleNumber(s)
	case huma.TypeBoolean:
		return false
	}
	return map[string]any{"any": "JSON"}
}

func exampleString(s *huma.Schema) string {
	switch s.Format {
	case "date-time":
		return exampleTime
	case "uuid":
		return exampleID
	}
	return ""
}

func exampleNumber(s *huma.Schema) float64 {
	if s.Minimum != nil {
		return *s.Minimum
	}
	return 0
}

func (d document) resolve(s *huma.Schema) *huma.Schema {
	for s.Ref != "" {
		s = d.oapi.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}
