package catalog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/catalog"
)

// tooMuch is what is said of a payload that takes too many steps.
func tooMuch() string {
	return fmt.Sprintf("takes more than %d steps to be held against the schema, or its share for its depth at its root", catalog.MaxSteps)
}

// What would take for ever ends, whichever way a schema and a payload make it so, and what is large and plain does not.
func TestEvaluationIsBounded(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 500) + `1` + strings.Repeat(`}`, 500)
	branches := func(word string) string {
		return `{"$ref":"#/$defs/t","$defs":{"t":{"` + word + `":[
			{"properties":{"a":{"$ref":"#/$defs/t"}}},{"properties":{"a":{"$ref":"#/$defs/t"}}},{"type":"array"}]}}}`
	}
	var values, parts []string
	for i := range 9000 {
		values = append(values, fmt.Sprintf(`"value-%d"`, i))
		parts = append(parts, `{"uniqueItems":true}`)
	}
	texts := "[" + strings.Repeat(`"value-x",`, 25_000) + `"value-x"]`

	for name, c := range map[string]struct{ schema, payload, want string }{
		"alternatives in alternatives": {branches("oneOf"), deep, tooMuch()},
		"parts in parts":               {branches("allOf"), deep, tooMuch()},
		"dynamic references": {
			`{"$dynamicRef":"#t","$defs":{"t":{"$dynamicAnchor":"t","allOf":[{"properties":{"a":{"$dynamicRef":"#t"}}},{"properties":{"a":{"$dynamicRef":"#t"}}}]}}}`,
			deep, tooMuch(),
		},
		"many constants": {`{"items":{"enum":[` + strings.Join(values, ",") + `]}}`, texts, tooMuch()},
		"a dear pattern": {`{"items":{"pattern":"(x?){500}(x?){400}y"}}`, `["` + strings.Repeat("x", 250_000) + `"]`, tooMuch()},
		"many large comparisons": {
			`{"allOf":[` + strings.Join(parts[:4000], ",") + `]}`, "[" + strings.Repeat(`[[1],[2]],`, 20_000) + "1]", tooMuch(),
		},
		"digits":         {`{"items":{"type":"integer"}}`, "[1e1000000]", "has a number that is longer than 400 characters, or has an exponent beyond 400 at its root"},
		"plain numbers":  {`{"type":"array","items":{"type":"integer","minimum":0}}`, "[" + strings.Repeat("1,", 130_000) + "1]", ""},
		"a large object": {`{"additionalProperties":{"type":"string"}}`, `{"a` + strings.Repeat("x", 200_000) + `":"` + strings.Repeat("y", 50_000) + `"}`, ""},
	} {
		schema, err := catalog.Compile(json.RawMessage(c.schema))
		require.NoError(t, err, name)
		began := time.Now()
		err = schema.Validate(json.RawMessage(c.payload))
		t.Logf("%s: %v", name, time.Since(began))
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.EqualError(t, err, c.want, name)
		if again := schema.Validate(json.RawMessage(`null`)); again != nil {
			require.NotEqual(t, c.want, again.Error(), "%s: the schema is as good as before", name)
		}
	}
}

// A schema is as large as may be.
func TestSchemasAreBounded(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"allOf":[` + strings.Repeat(`{},`, catalog.MaxSchemas) + `{}]}`:      "consists of more than 10000 schemas",
		`{"items":[` + strings.Repeat(`true,`, catalog.MaxSchemas) + `true]}`:  "consists of more than 10000 schemas",
		`{"pattern":"` + strings.Repeat("x", catalog.MaxPatternBytes+1) + `"}`: "must be a regular expression of RE2, of 1024 bytes at most",
		`{"minimum":1e1000000}`: "has a number that is longer than 400 characters",
		`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`: "",
	} {
		compiled, err := catalog.Compile(json.RawMessage(schema))
		if want != "" {
			require.ErrorContains(t, err, want, schema[:min(len(schema), 100)])
			continue
		}
		require.NoError(t, err)
		require.Error(t, compiled.Validate(json.RawMessage(`1`)), "a circle")
	}
}

// A schema serves many at a time.
func TestSchemasAreShared(t *testing.T) {
	t.Parallel()
	schema, err := catalog.Compile(json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer","pattern":"x"},"s":{"pattern":"^[a-z]+$"}}}`))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if schema.Validate(json.RawMessage(`{"n":1,"s":"abc"}`)) != nil || schema.Validate(json.RawMessage(`{"n":"1"}`)) == nil {
					t.Error("a payload was judged by another's")
				}
			}
		})
	}
	wg.Wait()
}

func TestSet(t *testing.T) {
	t.Parallel()
	value := json.RawMessage(`{"id":1,"lines":[{"n":1.50},{"n":2}],"z":{}}`)
	for _, c := range []struct{ path, to, want string }{
		{"id", `"x"`, `{"id":"x","lines":[{"n":1.50},{"n":2}],"z":{}}`},
		{"lines.1.n", `3`, `{"id":1,"lines":[{"n":1.50},{"n":3}],"z":{}}`},
		{"z.a.b", `null`, `{"id":1,"lines":[{"n":1.50},{"n":2}],"z":{"a":{"b":null}}}`},
		{"lines.2", `3`, ""},
		{"lines.x", `3`, ""},
		{"id.x", `3`, ""},
	} {
		got, err := catalog.Set(value, strings.Split(c.path, "."), json.RawMessage(c.to))
		if c.want == "" {
			require.Error(t, err, c.path)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, string(got))
	}
}
