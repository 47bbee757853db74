package catalog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/catalog"
)

// What people are told of a payload stands in the schema, in its order.
func TestMembers(t *testing.T) {
	t.Parallel()
	lines := func(schema json.RawMessage) (list []string) {
		for _, m := range catalog.Members(schema) {
			line := m.Path + ": " + m.Type
			if m.Required {
				line += " !"
			}
			list = append(list, strings.TrimSpace(line+" "+m.Description))
		}
		return list
	}
	pay := parse(t, document(t, "stripe.json"))
	require.Equal(t, []string{
		"id: string !", `object: "event" !`, "type: string !", "created: integer !", "livemode: boolean", "data: object !",
		"data.object: object !", "data.object.id: string !", "data.object.email: string or null", "data.object.metadata: object",
		"data.object.source: object", `data.object.source.object: "card"`, "data.object.source.last4: string", "data.object.source.iban: string",
	}, lines(typeOf(t, pay, "customer.created").Schema))
	require.Equal(t, []string{"a: array of object", "a[].n: 1, 2 ! How many.", "b: anything", "c: string (date)"}, lines(json.RawMessage(
		`{"properties":{"a":{"type":"array","items":{"$ref":"#/$defs/x"}},"b":{},"c":{"type":"string","format":"date"}},
			"$defs":{"x":{"type":"object","required":["n"],"properties":{"n":{"enum":[1,2],"description":"How many."}}}}}`)))

	// What leads to itself, and what is large, ends.
	require.Len(t, lines(json.RawMessage(`{"$ref":"#/$defs/t","$defs":{"t":{"properties":{"a":{"$ref":"#/$defs/t"}}}}}`)), 9)
	var members []string
	for i := range 1000 {
		members = append(members, fmt.Sprintf(`"m%d":{}`, i))
	}
	require.Len(t, lines(json.RawMessage(`{"properties":{`+strings.Join(members, ",")+`}}`)), 300)
}
