package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/outhook/outhook/internal/problem"
)

var (
	//go:embed docs.html
	docsHTML string

	//go:embed docs.css
	docsCSS string
)

// maxFieldDepth is how deep the fields of a body are listed.
const maxFieldDepth = 4

// docsPage is what docs.html shows.
type docsPage struct {
	Info   *huma.Info
	Text   []string // paragraphs
	Style  template.CSS
	Groups []docsGroup
	Errors []docsField // of a problem
}

type docsGroup struct {
	Tag        *huma.Tag
	Operations []docsOperation
}

type docsOperation struct {
	*huma.Operation
	Params  []docsField
	Body    []docsField
	Curl    string
	Scopes  []string // of the keys that are admitted
	Answers []docsAnswer
	Errors  []string // statuses
}

type docsAnswer struct {
	Status string
	Text   string
	Fields []docsField
}

type docsField struct {
	Name     string
	Type     string
	Text     string
	Required bool
}

// renderDocs makes one page of the document, and the Content-Security-Policy that it needs: one style, nothing else.
func renderDocs(oapi *huma.OpenAPI) (page []byte, policy string, err error) {
	t, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, "", fmt.Errorf("parsing docs.html: %w", err)
	}

	d := docs{oapi}
	data := docsPage{Info: oapi.Info, Style: template.CSS(docsCSS)} //nolint:gosec // G203: our own file
	data.Text = strings.Split(strings.ReplaceAll(oapi.Info.Description, "`", ""), "\n\n")
	data.Errors = d.fields(nil, "", &huma.Schema{Ref: schemaPrefix + "Problem"}, 1)
	for _, tag := range oapi.Tags {
		data.Groups = append(data.Groups, d.group(tag))
	}

	var buf bytes.Buffer
	if err := t.Execute(&buf, data); err != nil {
		return nil, "", fmt.Errorf("executing docs.html: %w", err)
	}

	hash := sha256.Sum256([]byte(docsCSS))
	policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return buf.Bytes(), policy, nil
}

// docs reads the OpenAPI document.
type docs struct{ oapi *huma.OpenAPI }

func (d docs) group(tag *huma.Tag) docsGroup {
	g := docsGroup{Tag: tag}
	for _, path := range sortedPaths(d.oapi) {
		for _, op := range operations(d.oapi.Paths[path]) {
			if slices.Contains(op.Tags, tag.Name) {
				g.Operations = append(g.Operations, d.operation(op))
			}
		}
	}
	return g
}

func (d docs) operation(op *huma.Operation) docsOperation {
	o := docsOperation{Operation: op, Scopes: op.Security[0][securityScheme]}
	for _, p := range op.Parameters {
		f := d.field(p.Name, p.Schema, p.Required)
		f.Type += ", " + p.In
		f.Text = strings.TrimSpace(p.Description + defaultText(p.Schema))
		o.Params = append(o.Params, f)
	}

	var body *huma.Schema
	if op.RequestBody != nil {
		body = op.RequestBody.Content["application/json"].Schema
		o.Body = d.fields(nil, "", body, 1)
	}
	o.Curl = d.curl(op, body)

	for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[code]
		if r.Content[problem.MediaType] != nil {
			o.Errors = append(o.Errors, code+" "+r.Description)
			continue
		}
		a := docsAnswer{Status: code, Text: r.Description}
		if media := r.Content["application/json"]; media != nil {
			a.Fields = d.fields(nil, "", media.Schema, 1)
		}
		o.Answers = append(o.Answers, a)
	}
	return o
}

func (d docs) resolve(s *huma.Schema) *huma.Schema {
	for s.Ref != "" {
		s = d.oapi.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// fields lists the members of an object and of the objects in it, the required ones first.
func (d docs) fields(list []docsField, prefix string, s *huma.Schema, level int) []docsField {
	s = d.resolve(s)
	names := slices.SortedFunc(maps.Keys(s.Properties), func(a, b string) int {
		if required := slices.Contains(s.Required, a); required != slices.Contains(s.Required, b) {
			if required {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})

	for _, name := range names {
		member := s.Properties[name]
		list = append(list, d.field(prefix+name, member, slices.Contains(s.Required, name)))

		inner, suffix := d.resolve(member), "."
		if inner.Type == huma.TypeArray {
			inner, suffix = d.resolve(inner.Items), "[]."
		}
		if len(inner.Properties) > 0 && level < maxFieldDepth {
			list = d.fields(list, prefix+name+suffix, inner, level+1)
		}
	}
	return list
}

func (d docs) field(name string, s *huma.Schema, required bool) docsField {
	return docsField{Name: name, Type: d.typeOf(s), Text: s.Description + defaultText(s), Required: required}
}

func (d docs) typeOf(s *huma.Schema) string {
	s = d.resolve(s)
	text := s.Type

	switch {
	case s.Type == "":
		text = "any JSON"
	case len(s.Enum) > 0:
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = fmt.Sprint(v)
		}
		text = strings.Join(values, " | ")
	case s.Type == huma.TypeArray:
		text = "array of " + d.typeOf(s.Items)
	case s.Format == "date-time", s.Format == "uuid":
		text = s.Format
	}

	if s.Nullable {
		text += " or null"
	}
	return text
}

func defaultText(s *huma.Schema) string {
	if s.Default == nil {
		return ""
	}
	return fmt.Sprintf(" Default: %v.", s.Default)
}

// curl returns a command that can be pasted, with the examples of the body's members.
func (d docs) curl(op *huma.Operation, body *huma.Schema) string {
	const next = " \\\n  "
	command := "curl"
	if op.Method != http.MethodGet {
		command += " -X " + op.Method
	}

	command += " http://localhost:8080" + op.Path + next + "-H 'Authorization: Bearer '\"$OUTHOOK_API_KEY\""
	if body != nil {
		command += next + "-H 'Content-Type: application/json'" + next + "-d '" + string(d.example(body)) + "'"
	}
	return command
}

// example makes a value of the examples in a schema: of an object the required members, and those with an example.
func (d docs) example(s *huma.Schema) []byte {
	data, err := json.MarshalIndent(d.exampleValue(s), "  ", "  ")
	if err != nil {
		return []byte("{}") // an example that could not be encoded would have failed when the schema was made
	}
	return data
}

func (d docs) exampleValue(s *huma.Schema) any {
	if len(s.Examples) > 0 {
		return s.Examples[0]
	}

	s = d.resolve(s)
	switch s.Type {
	case huma.TypeArray:
		return []any{d.exampleValue(s.Items)}
	case huma.TypeObject:
		object := map[string]any{}
		for name, member := range s.Properties {
			if slices.Contains(s.Required, name) || len(member.Examples) > 0 {
				object[name] = d.exampleValue(member)
			}
		}
		return object
	}
	return s.Type
}
