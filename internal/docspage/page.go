// Package docspage makes a page for people of an OpenAPI document: what each operation takes and answers, with a
// command that can be pasted. It needs no scripts and nothing from elsewhere.
//
// [Render] is all of it: it fills docs.html, whose style is docs.css.
package docspage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
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

// page is what docs.html shows.
type page struct {
	Info   *huma.Info
	Text   []string // paragraphs
	Style  template.CSS
	Groups []group
	Errors []field // of a problem
}

type group struct {
	Tag        *huma.Tag
	Operations []operation
}

type operation struct {
	*huma.Operation
	Params  []field
	Body    []field
	Curl    string
	Scopes  []string // of the keys that are admitted
	Answers []answer
	Errors  []string // statuses
}

type answer struct {
	Status string
	Text   string
	Fields []field
}

type field struct {
	Name     string
	Type     string
	Text     string
	Required bool
}

// Render makes one page of the document, and the Content-Security-Policy that it needs: one style, nothing else. An
// answer of the media type of problems is shown as an error, with the fields of the schema Problem.
func Render(oapi *huma.OpenAPI) (html []byte, policy string, err error) {
	t, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, "", fmt.Errorf("parsing docs.html: %w", err)
	}

	d := document{oapi}
	data := page{Info: oapi.Info, Style: template.CSS(docsCSS)} //nolint:gosec // G203: our own file
	data.Text = strings.Split(strings.ReplaceAll(oapi.Info.Description, "`", ""), "\n\n")
	data.Errors = d.fields(nil, "", d.oapi.Components.Schemas.Map()["Problem"], 1)
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

// document is the OpenAPI document.
type document struct{ oapi *huma.OpenAPI }

func (d document) group(tag *huma.Tag) group {
	g := group{Tag: tag}
	for _, path := range slices.Sorted(maps.Keys(d.oapi.Paths)) {
		for _, op := range operations(d.oapi.Paths[path]) {
			if slices.Contains(op.Tags, tag.Name) {
				g.Operations = append(g.Operations, d.operation(op))
			}
		}
	}
	return g
}

// operations returns the operations of a path in the order in which people look for them.
func operations(item *huma.PathItem) []*huma.Operation {
	all := []*huma.Operation{item.Post, item.Get, item.Put, item.Patch, item.Delete}
	return slices.DeleteFunc(all, func(op *huma.Operation) bool { return op == nil })
}

func (d document) operation(op *huma.Operation) operation {
	o := operation{Operation: op}
	for _, scheme := range op.Security {
		for _, scopes := range scheme {
			o.Scopes = append(o.Scopes, scopes...)
		}
	}

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
		a := answer{Status: code, Text: r.Description}
		if media := r.Content["application/json"]; media != nil {
			a.Fields = d.fields(nil, "", media.Schema, 1)
		}
		o.Answers = append(o.Answers, a)
	}
	return o
}

// fields lists the members of an object and of the objects in it, the required ones first.
func (d document) fields(list []field, prefix string, s *huma.Schema, level int) []field {
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

func (d document) field(name string, s *huma.Schema, required bool) field {
	return field{Name: name, Type: d.typeOf(s), Text: s.Description + defaultText(s), Required: required}
}

func (d document) typeOf(s *huma.Schema) string {
	s = d.resolve(s)
	text := s.Type

	switch {
	case len(s.OneOf) > 0:
		forms := make([]string, len(s.OneOf))
		for i, form := range s.OneOf {
			forms[i] = d.typeOf(form)
		}
		text = strings.Join(forms, " | ")
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
