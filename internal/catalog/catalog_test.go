package catalog_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/catalog"
	"github.com/outhook/outhook/internal/problem"
)

// document reads one of testdata, which is JSON or YAML.
func document(t *testing.T, name string) json.RawMessage {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	doc, err := catalog.FromYAML(text)
	require.NoError(t, err)
	return doc
}

func parse(t *testing.T, doc json.RawMessage) catalog.Catalog {
	t.Helper()
	c, err := catalog.Parse(doc, "body")
	require.NoError(t, err)
	return c
}

func typeOf(t *testing.T, c catalog.Catalog, name string) *catalog.Type {
	t.Helper()
	i := slices.IndexFunc(c.Types, func(t catalog.Type) bool { return t.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return &c.Types[i]
}

// What was read is written as it was, member by member: also as YAML.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"github.yaml", "stripe.json", "svix.yaml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := document(t, name)
			written := catalog.Document(parse(t, doc))
			require.True(t, catalog.Equal(doc, written), "%s\n%s", doc, written)
			require.JSONEq(t, string(doc), string(written), "the other oracle")

			text, err := catalog.ToYAML(written)
			require.NoError(t, err)
			again, err := catalog.FromYAML(text)
			require.NoError(t, err)
			require.Equal(t, string(written), string(again), "order, digits and all")

			read := parse(t, again)
			for i, before := range parse(t, doc).Types {
				require.Empty(t, catalog.Compare(&before, &read.Types[i]), before.Name)
			}
		})
	}
}

func TestTypesOfADocument(t *testing.T) {
	t.Parallel()
	forge := parse(t, document(t, "github.yaml"))
	require.Len(t, forge.Types, 2)
	opened := typeOf(t, forge, "issues.opened")
	require.Equal(t, "issues-opened", opened.Key)
	require.Equal(t, "An issue was opened", opened.Title)
	require.Equal(t, "issues", opened.Group, "its first tag")
	require.Len(t, opened.Examples, 1)
	require.Contains(t, string(opened.Examples[0]), `"id":9007199254740993`)
	push := typeOf(t, forge, "push")
	require.Equal(t, "Commits were pushed", push.Title)
	require.Empty(t, push.Examples)

	pay := parse(t, document(t, "stripe.json"))
	require.True(t, typeOf(t, pay, "customer.created").Deprecated)
	require.Equal(t, "customer.created", typeOf(t, pay, "customer.created").Title, "its schema's")
	require.Equal(t, "Invoices", typeOf(t, pay, "invoice.paid").Group)

	sold := parse(t, document(t, "svix.yaml"))
	require.Equal(t, catalog.Hidden, typeOf(t, sold, "benefit_grant.revoked").Visibility)
	require.Len(t, typeOf(t, sold, "benefit_grant.revoked").Examples, 2)
	require.Equal(t, catalog.Flagged, typeOf(t, sold, "subscription.canceled").Visibility)
	require.Equal(t, []string{"cancellation", "beta"}, typeOf(t, sold, "subscription.canceled").Flags)
	require.Equal(t, "Subscriptions", typeOf(t, sold, "subscription.created").Group)
}

// A schema stands alone: what it refers to is in it, and its examples satisfy it.
func TestStandaloneSchemas(t *testing.T) {
	t.Parallel()
	examples := 0
	for _, name := range []string{"github.yaml", "stripe.json", "svix.yaml"} {
		for _, et := range parse(t, document(t, name)).Types {
			require.NotContains(t, strings.ReplaceAll(string(et.Schema), "x-expansionResources", ""), `"$ref":"#/components/`+"parameters")
			schema, err := catalog.Compile(et.Schema)
			require.NoError(t, err)
			for _, example := range et.Examples {
				require.NoError(t, schema.Validate(example), et.Name)
				examples++
			}
		}
	}
	require.Equal(t, 4, examples)
}

// A folder with a file for each type is written as it was.
func TestFiles(t *testing.T) {
	t.Parallel()
	files := map[string]json.RawMessage{}
	for _, name := range []string{"order.placed", "order.lost"} {
		files[name] = document(t, filepath.Join("files", name+".json"))
	}
	doc, err := catalog.FromFiles(files)
	require.NoError(t, err)
	c := parse(t, doc)
	require.True(t, catalog.Equal(doc, catalog.Document(c)) || len(catalog.Document(c)) > len(doc), "but for the frame")

	placed := typeOf(t, c, "order.placed")
	require.Equal(t, "An order was placed", placed.Title)
	require.Equal(t, "Orders", placed.Group)
	require.True(t, typeOf(t, c, "order.lost").Deprecated)
	schema, err := catalog.Compile(placed.Schema)
	require.NoError(t, err)
	require.NoError(t, schema.Validate(placed.Examples[0]))
	require.Error(t, schema.Validate(json.RawMessage(`{"id":"1","total":{"amount":1,"currency":"€"}}`)))

	written := catalog.ToFiles(c)
	require.Len(t, written, 2)
	for name, file := range files {
		require.True(t, catalog.Equal(file, written[name]), "%s\n%s", file, written[name])
	}
}

// What came of a document with more than schemas becomes files that say as much as schemas can, and read the same.
func TestFilesOfADocument(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"github.yaml", "stripe.json", "svix.yaml"} {
		c := parse(t, document(t, name))
		doc, err := catalog.FromFiles(catalog.ToFiles(c))
		require.NoError(t, err)
		again := parse(t, doc)
		require.Len(t, again.Types, len(c.Types))
		for i, want := range c.Types {
			got := again.Types[i]
			require.Equal(t, want.Name, got.Name)
			require.Equal(t, want.Title, got.Title)
			require.Equal(t, want.Description, got.Description)
			require.Equal(t, want.Group, got.Group, got.Name)
			require.Equal(t, want.Visibility, got.Visibility)
			require.Equal(t, want.Flags, got.Flags)
			require.Equal(t, want.Deprecated, got.Deprecated)
			require.Equal(t, want.Examples, got.Examples)
			for _, change := range catalog.CompareSchemas(want.Schema, got.Schema) {
				require.Empty(t, change.Pointer, "%s: %v", want.Name, change)
				require.False(t, change.Breaking, "%s: %v", want.Name, change)
			}
		}
	}
}

// What somebody has changed since is in the document that is written, and read from it.
func TestChangedSince(t *testing.T) {
	t.Parallel()
	c := parse(t, document(t, "stripe.json"))
	for i := range c.Types {
		c.Types[i].Deprecated = !c.Types[i].Deprecated
		c.Types[i].Visibility = catalog.Hidden
	}
	for i, got := range parse(t, catalog.Document(c)).Types {
		require.Equal(t, c.Types[i].Deprecated, got.Deprecated)
		require.Equal(t, catalog.Hidden, got.Visibility)
	}
	for name, file := range catalog.ToFiles(c) {
		require.Contains(t, string(file), `"x-outhook-visibility":"hidden"`, name)
	}
}

// Two documents may share names and mean something else: each type keeps what it refers to.
func TestSameNamesInTwoDocuments(t *testing.T) {
	t.Parallel()
	one := `{"openapi":"3.1.0","webhooks":{"a.b":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/outer"}}}}}}},
		"components":{"schemas":{"outer":{"properties":{"x":{"$ref":"#/components/schemas/inner"}}},"inner":{"type":"string"}}}}`
	two := strings.ReplaceAll(strings.ReplaceAll(one, "a.b", "a.c"), `"string"`, `"integer"`)
	a, b := parse(t, json.RawMessage(one)), parse(t, json.RawMessage(two))
	both := catalog.Catalog{Types: slices.Concat(a.Types, b.Types)}

	read := parse(t, catalog.Document(both))
	for i, payload := range []string{`{"x":"text"}`, `{"x":1}`} {
		for j, other := range read.Types {
			schema, err := catalog.Compile(other.Schema)
			require.NoError(t, err)
			require.Equal(t, i == j, schema.Validate(json.RawMessage(payload)) == nil, "%s %s", other.Name, payload)
		}
	}
}

// The rest of an API's document stays when its webhooks are written into it.
func TestMerge(t *testing.T) {
	t.Parallel()
	into := `{"openapi":"3.1.0","info":{"title":"API","version":"1"},"paths":{"/a":{"get":{}}},"webhooks":{"old":{}},
		"components":{"schemas":{"mine":{"type":"null"},"card":{}},"securitySchemes":{"k":{}}}}`
	doc := document(t, "stripe.json")
	merged := catalog.Merge(json.RawMessage(into), catalog.Document(parse(t, doc)))
	var got struct {
		Info       struct{ Title string }
		Paths      map[string]any
		Webhooks   map[string]any
		Components struct {
			Schemas         map[string]json.RawMessage
			SecuritySchemes map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(merged, &got))
	require.Equal(t, "API", got.Info.Title)
	require.Contains(t, got.Paths, "/a")
	require.Len(t, got.Webhooks, 2)
	require.Contains(t, got.Components.Schemas, "mine")
	require.Contains(t, string(got.Components.Schemas["card"]), "last4")
	require.Contains(t, got.Components.SecuritySchemes, "k")
}

// faults are what is wrong with a document: places and words.
func faults(t *testing.T, doc string) (list []string) {
	t.Helper()
	_, err := catalog.Parse([]byte(doc), "body")
	var p *problem.Error
	require.ErrorAs(t, err, &p)
	for _, d := range p.Errors {
		list = append(list, d.Location+" "+d.Message)
	}
	if len(list) == 0 {
		list = []string{p.Detail}
	}
	return list
}

func TestWrongDocuments(t *testing.T) {
	t.Parallel()
	webhook := func(name, media string) string {
		return `{"openapi":"3.1.0","webhooks":{"` + name + `":{"post":{"requestBody":{"content":{"application/json":` + media + `}}}}}}`
	}
	for doc, want := range map[string]string{
		``:                                  "the body is empty",
		`[]`:                                "body must be an object",
		`{"openapi":"3.0.3"}`:               "body.openapi must be 3.1.x",
		`{"openapi":"3.1.0","webhooks":[]}`: "body.webhooks must be an object",

		`{"openapi":"3.1.0","webhooks":{"a":{},"a":{}}}`:                              "body.webhooks.a is given twice",
		`{"openapi":"3.1.0","webhooks":{"a":{},"b":{"post":{"x-outhook-type":"a"}}}}`: "body.webhooks.b is the same event type",

		webhook("no type", `{}`):                                                                    "body.webhooks must be an event type",
		webhook("outhook.mine", `{}`):                                                               "body.webhooks.outhook.mine must be an event type",
		webhook("a", `{"schema":{"type":"text"}}`):                                                  "body.webhooks.a has a schema that is none of JSON Schema 2020-12",
		webhook("a", `{"schema":{"$ref":"#/components/schemas/gone"}}`):                             "leads to none of this document's components",
		webhook("a", `{"schema":{"$ref":"https://evil.example/s.json"}}`):                           "nothing is fetched",
		webhook("a", `{"schema":{"$ref":"file:///etc/passwd"}}`):                                    "nothing is fetched",
		webhook("a", `{"schema":{"properties":{"x":{"$dynamicRef":"http://169.254.169.254/"}}}}`):   "nothing is fetched",
		webhook("a", `{"schema":{"pattern":"(a"}}`):                                                 "has a schema that is none",
		webhook("a", `{"schema":`+strings.Repeat(`{"not":`, 120)+`{}`+strings.Repeat("}", 120)+`}`): "nests deeper",
		webhook("a", `{"schema":{"x-outhook-visibility":"secret"}}`):                                "must be public, flagged or hidden",
		webhook("a", `{"schema":{"description":"`+strings.Repeat("x", catalog.MaxTypeBytes)+`"}}`):  "is larger than",
		webhook("a", `{"schema":{"examples":[`+strings.Repeat("1,", catalog.MaxExamples)+`1]}}`):    "more than 20 examples",
	} {
		require.Contains(t, strings.Join(faults(t, doc), "\n"), want, doc[:min(len(doc), 200)])
	}
}

// What is wrong with a payload is said by names of the schema, and repeats nothing that the payload says.
func TestViolations(t *testing.T) {
	t.Parallel()
	schema, err := catalog.Compile(json.RawMessage(`{"type":"object","required":["id"],"additionalProperties":false,
		"properties":{"id":{"type":"string","maxLength":3},"lines":{"type":"array","minItems":1,"items":{"properties":{"n":{"type":"integer","minimum":1}}}},
		"state":{"enum":["a","b"]},"one":{"const":1},"any":{"patternProperties":{".":{"type":"null"}}}}}`))
	require.NoError(t, err)
	for payload, want := range map[string]string{
		`{"id":"1"}`:                             "",
		`{"id":"1","lines":[{"n":1},{"n":2}]}`:   "",
		`[]`:                                     "must be object at its root",
		`{}`:                                     "must have id at its root",
		`{"id":1}`:                               "must be string at /id",
		`{"id":"1234"}`:                          "must have at most 3 characters at /id",
		`{"id":"1","secret@mail":1}`:             "has members that the schema does not name at its root",
		`{"id":"1","lines":[]}`:                  "must have at least 1 elements at /lines",
		`{"id":"1","lines":[{"n":1},{"n":"x"}]}`: "must be integer at /lines/1/n",
		`{"id":"1","lines":[{"n":0}]}`:           "breaks minimum at /lines/0/n",
		`{"id":"1","state":"c"}`:                 "must be one of the schema's values at /state",
		`{"id":"1","one":2}`:                     "must be the schema's value at /one",
		`{"id":"1","any":{"secret@mail":1}}`:     "must be null at /any/*",
		`{"id":`:                                 "it is not valid JSON at its root",
	} {
		err := schema.Validate(json.RawMessage(payload))
		if want == "" {
			require.NoError(t, err, payload)
			continue
		}
		require.EqualError(t, err, want, payload)
	}
}

// replaceOnce changes JSON text, of which old is a part without white space.
func replaceOnce(t *testing.T, doc, old, with string) string {
	t.Helper()
	var value json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(doc), &value))
	text, err := json.Marshal(value) // compact
	require.NoError(t, err)
	require.Contains(t, string(text), old)
	return strings.Replace(string(text), old, with, 1)
}
