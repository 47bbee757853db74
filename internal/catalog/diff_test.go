package catalog_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/catalog"
)

// What breaks receivers is marked, and nothing else is.
func TestCompareSchemas(t *testing.T) {
	t.Parallel()
	const object = `{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"n":{"type":"number"}}}`
	for _, c := range []struct{ name, before, after, want string }{
		{"same", object, `{"properties":{"n":{"type":"number"},"id":{"type":"string"}},"required":["id"],"type":"object"}`, ""},
		{"removed", object, `{"type":"object","required":["id"],"properties":{"id":{"type":"string"}}}`, "/n is gone !"},
		{"added", object, `{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"n":{"type":"number"},"m":{}}}`, "/m is new"},
		{"not required", object, `{"type":"object","properties":{"id":{"type":"string"},"n":{"type":"number"}}}`, "/id may be missing, was always there !"},
		{"required", object, `{"type":"object","required":["id","n"],"properties":{"id":{"type":"string"},"n":{"type":"number"}}}`, "/n is always there, was not"},
		{"another type", object, `{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},"n":{"type":"number"}}}`, "/id is integer, was string !"},
		{"wider", `{"type":"string"}`, `{"type":["string","null"]}`, " is string or null, was string !"},
		{"narrower", `{"type":["string","null"]}`, `{"type":"string"}`, " is string, was string or null"},
		{"integer of number", `{"type":"number"}`, `{"type":"integer"}`, " is integer, was number"},
		{"number of integer", `{"type":"integer"}`, `{"type":"number"}`, " is number, was integer !"},
		{"anything", `{"type":"integer"}`, `{}`, " is anything, was integer !"},
		{"anything before", `{}`, `{"type":"integer"}`, " is integer, was anything"},
		{"elements", `{"items":{"type":"string"}}`, `{"items":{"type":"null"}}`, "/* is null, was string !"},
		{"values of a map", `{"additionalProperties":{"type":"string"}}`, `{"additionalProperties":{"type":"null"}}`, "/* is null, was string !"},
		{"constant", `{"const":1}`, `{"const":2}`, " has not the one value any more that it had !"},
		{"no constant", `{}`, `{"const":2}`, " has one value"},
		{"one more value", `{"enum":[1]}`, `{"enum":[1,2]}`, " may be 2"},
		{"one value less", `{"enum":[1,2]}`, `{"enum":[1]}`, " is not 2 any more"},
		{"any value", `{"enum":[1,2]}`, `{}`, " may have any value, had one of a list"},
		{"bounds", `{"maximum":1}`, `{"maximum":2}`, " maximum changed"},
		{"one more alternative", `{"oneOf":[{"type":"null"}]}`, `{"oneOf":[{"type":"null"},{"type":"string"}]}`, " has 2 alternatives, had 1 !"},
		{"one alternative less", `{"oneOf":[{"type":"null"},{"type":"string"}]}`, `{"oneOf":[{"type":"null"}]}`, " has 1 alternatives, had 2"},
		{"in an alternative", `{"anyOf":[{"properties":{"a":{}}}]}`, `{"anyOf":[{"properties":{}}]}`, "/a is gone !"},
		{"a part less", `{"allOf":[{"type":"string"},{"minLength":1}]}`, `{"allOf":[{"type":"string"}]}`, " has 1 parts of allOf, had 2 !"},
		{"forbidden", `{"properties":{"a":{}}}`, `{"properties":{"a":false}}`, "/a may be there, or must not be, otherwise than before !"},
		{"in $defs", `{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}`, `{"$ref":"#/$defs/b","$defs":{"b":{"type":"null"}}}`, " is null, was string !"},
		{"written out", `{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}`, `{"type":"string"}`, " schema changed"},
		{
			"into itself", `{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"x":{"$ref":"#/$defs/a"},"y":{}}}}}`,
			`{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"x":{"$ref":"#/$defs/a"}}}}}`, "/y is gone !",
		},
		{"a word unknown to us", `{"if":{"type":"string"}}`, `{"if":{"type":"null"}}`, " schema changed"},
	} {
		got := ""
		for i, change := range catalog.CompareSchemas(json.RawMessage(c.before), json.RawMessage(c.after)) {
			if i > 0 {
				got += "; "
			}
			got += fmt.Sprintf("%s %s", change.Pointer, change.What)
			if change.Breaking {
				got += " !"
			}
		}
		require.Equal(t, c.want, got, c.name)
	}
}

// The second version of a public API's document: what differs is said type by type.
func TestCompareDocuments(t *testing.T) {
	t.Parallel()
	doc := string(document(t, "stripe.json"))
	before := parse(t, json.RawMessage(doc))
	for old, c := range map[string]struct {
		new  string
		want []catalog.Change
	}{
		`"email":{"type":["string","null"]},`: {"", []catalog.Change{
			{Pointer: "/data/object/email", What: "is gone", Breaking: true},
			{Pointer: "/data/object/customer/email", What: "is gone", Breaking: true}, // of the invoice
		}},
		`"deprecated":true,`: {"", []catalog.Change{{What: "is not deprecated any more"}}},
		`"2XX":{"description":"received"}}}},"customer.created"`: {
			`"2XX":{"description":"got it"}}}},"customer.created"`, []catalog.Change{{What: "is described otherwise"}},
		},
		`"amount_paid":{"type":"integer"}`: {
			`"amount_paid":{"type":"string"}`,
			[]catalog.Change{{Pointer: "/data/object/amount_paid", What: "is string, was integer", Breaking: true}},
		},
	} {
		changed := parse(t, json.RawMessage(replaceOnce(t, doc, old, c.new)))
		var got []catalog.Change
		for i := range before.Types {
			got = append(got, catalog.Compare(&before.Types[i], &changed.Types[i])...)
		}
		require.Subset(t, got, c.want, old)
		require.Subset(t, append(c.want, catalog.Change{What: "is described otherwise"}), got, old)
	}
	require.Equal(t, []catalog.Change{{What: "is new"}}, catalog.Compare(nil, &before.Types[0]))
	require.Equal(t, []catalog.Change{{What: "is gone", Breaking: true}}, catalog.Compare(&before.Types[0], nil))
}
