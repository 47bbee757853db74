package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
)

// mark stands in a body where a text is going to be put.
const mark = `"@@"`

// leaf is a place of a body that takes a text. set puts the mark there and keeps the rest of a body.
type leaf struct {
	at  string
	set func(base any) any
}

// leaves lists the places of a schema that take texts, also names of members that are free.
func leaves(schemas huma.Registry, s *huma.Schema, at string) (list []leaf) {
	for s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	switch s.Type {
	case huma.TypeString:
		return []leaf{{at, func(any) any { return json.RawMessage(mark) }}}
	case huma.TypeArray:
		for _, inner := range leaves(schemas, s.Items, at+"[]") {
			list = append(list, leaf{inner.at, func(base any) any {
				items, _ := base.([]any)
				return []any{inner.set(append(items, nil)[0])}
			}})
		}
	case huma.TypeObject:
		for name, member := range s.Properties {
			for _, inner := range leaves(schemas, member, at+"."+name) {
				list = append(list, leaf{inner.at, func(base any) any {
					copied := object{}
					if given, ok := base.(object); ok {
						maps.Copy(copied, given)
					}
					copied[name] = inner.set(copied[name])
					return copied
				}})
			}
		}
		if _, ok := s.AdditionalProperties.(*huma.Schema); ok {
			list = append(list, leaf{at + ".*", func(any) any { return object{"x-a": json.RawMessage(mark)} }},
				leaf{at + " (name)", func(any) any { return object{"@@": "a"} }})
		}
	}
	return list
}

// Every text of every operation: what can't be stored is refused, and what is no ASCII is not damaged.
func TestTextsOfEveryOperation(t *testing.T) {
	t.Parallel()
	if testing.Short() { // with the race detector
		t.Skip("it makes one request after the other")
	}
	m := setupMatrix(t)
	var bodies, parameters int
	for _, item := range m.api.OpenAPI().Paths {
		for method, op := range methods(item) {
			e := matrix()[op.OperationID]
			o := m.newObjects(ownTenant)
			if op.RequestBody != nil {
				bodies += m.testBodyTexts(method, e, o, op)
			}
			for _, p := range op.Parameters {
				if p.Schema.Type == huma.TypeString {
					parameters++
					m.testParameter(method, e, o, p)
				}
			}
		}
	}
	require.Greater(t, bodies, 20)
	require.Greater(t, parameters, 30)
	t.Logf("%d places of bodies, %d parameters", bodies, parameters)
}

func (m *matrixBundle) testBodyTexts(method string, e entry, o objects, op *huma.Operation) int {
	m.t.Helper()
	schema := op.RequestBody.Content["application/json"].Schema
	base := decode[any](m.t, response{body: []byte(e.body(o))})
	list := leaves(m.api.OpenAPI().Components.Schemas, schema, "body")
	for _, l := range list {
		encoded, err := json.Marshal(l.set(base))
		require.NoError(m.t, err)
		require.Equal(m.t, 1, strings.Count(string(encoded), mark), l.at)
		send := func(text string) response {
			return m.as(adminKey, method, e.path(o), strings.Replace(string(encoded), mark, text, 1))
		}
		for _, bad := range []string{
			`"a\u0000b"`, "\"a\x00b\"", `"\ud800"`, `"\udc00x"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"",
			strings.Repeat("[", 20_000), `"` + strings.Repeat("x", 300_000) + `"`,
		} {
			r := m.refusedWith([]int{400, 413, 422}, op.OperationID+" "+l.at+" "+bad[:min(len(bad), 20)], func() response { return send(bad) })
			require.NotContains(m.t, string(r.body), "xxxx", "it repeats the input")
		}
		for _, good := range []string{"Grüße 🎉", "e\u0301", "\u202ertl", "名前", "a\u2028b"} {
			quoted, err := json.Marshal(good)
			require.NoError(m.t, err)
			r := send(string(quoted))
			require.Less(m.t, r.status, 500, "%s %s: %s", op.OperationID, l.at, r.body)
			free := []string{"body.tenant_id", "body.description", "body.metadata.*", "body.metadata (name)", "body.name"}
			if slices.Contains(free, l.at) && !slices.Contains([]string{"resume-deliveries", "preview-filter"}, op.OperationID) { // which say nothing of it
				require.Less(m.t, r.status, 300, "%s %s: %s", op.OperationID, l.at, r.body)
				require.True(m.t, holds(decode[any](m.t, r), good), "%s %s: %s", op.OperationID, l.at, r.body)
			}
		}
	}
	return len(list)
}

// holds tells whether a JSON value has a text in it.
func holds(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return v == text
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return holds(item, text) })
	case object:
		for name, member := range v {
			if name == text || holds(member, text) {
				return true
			}
		}
	}
	return false
}

func (m *matrixBundle) refusedWith(statuses []int, name string, call func() response) response {
	m.t.Helper()
	before := m.state()
	r := call()
	require.Contains(m.t, statuses, r.status, "%s: %s", name, r.body)
	require.Equal(m.t, before, m.state(), name)
	return r
}

func (m *matrixBundle) testParameter(method string, e entry, o objects, p *huma.Param) {
	m.t.Helper()
	body := ""
	if e.body != nil {
		body = e.body(o)
	}
	for _, bad := range []string{"a\x00b", "\xff", "\xed\xa0\x80", "\xc0\x80", strings.Repeat("\xff", 55), strings.Repeat("x", 300)} {
		send := func() response { return m.do(method, e.path(o)+"?"+p.Name+"="+url.QueryEscape(bad), body) }
		switch p.In {
		case "path":
			path := strings.Replace(e.path(o), "/tenants/"+o.tenant, "/tenants/"+url.PathEscape(bad), 1)
			path = strings.Replace(path, "/event-types/of.the.matrix", "/event-types/"+url.PathEscape(bad), 1)
			for _, id := range []string{o.event, o.endpoint, o.key, o.erasure, o.operation, o.session} {
				path = strings.Replace(path, id, url.PathEscape(bad), 1)
			}
			path = regexp.MustCompile(`put-[0-9a-f-]{36}`).ReplaceAllLiteralString(path, url.PathEscape(bad))
			send = func() response { return m.do(method, path, body) }
		case "header":
			if strings.Contains(bad, "\x00") {
				continue // net/http refuses such a request, and sends none either
			}
			r := m.do(method, e.path(o), body, p.Name, bad)
			require.Less(m.t, r.status, 500, "%s: %s", p.Name, r.body)
			if p.Name == "Idempotency-Key" {
				require.Equal(m.t, http.StatusUnprocessableEntity, r.status)
			}
			continue
		}
		m.refusedWith([]int{400, 404, 422}, p.Name, send)
	}
}
