package strictjson_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

func TestParseObject(t *testing.T) {
	t.Parallel()
	object, err := strictjson.ParseObject([]byte(" {\"a\" : 1.50}\r\n"))
	require.NoError(t, err)
	require.Equal(t, `{"a" : 1.50}`, string(object))

	for body, status := range map[string]int{
		"": 400, " \n": 400, "{": 400, "{}{}": 400, "\xff": 400, "{\"a\":tru}": 400,
		"[]": 422, "1": 422, `"{}"`: 422, strings.Repeat("[", 20_000): 422,
	} {
		var p *problem.Error
		_, err := strictjson.ParseObject([]byte(body))
		require.ErrorAs(t, err, &p, body[:min(len(body), 20)])
		require.Equal(t, status, p.Status, body[:min(len(body), 20)])
	}
}

// members returns the members that set knows, and what is wrong with the object.
func members(object string, known ...string) (map[string]string, problem.Faults) {
	var f problem.Faults
	found := map[string]string{}
	strictjson.EachMember(json.RawMessage(object), "body", &f, func(name string, value json.RawMessage) bool {
		found[name] = string(value)
		return slices.Contains(known, name)
	})
	return found, f
}

func TestEachMember(t *testing.T) {
	t.Parallel()

	t.Run("GivesTheBytes", func(t *testing.T) {
		t.Parallel()
		found, f := members(`{ "a":{"}":[1, 2]} ,"b" : 1.0e0,"c":"\"}", "d":null}`, "a", "b", "c", "d")
		require.Empty(t, f)
		require.Equal(t, map[string]string{"a": `{"}":[1, 2]}`, "b": "1.0e0", "c": `"\"}"`, "d": "null"}, found)
	})

	t.Run("RefusesWhatIsUnknownOrRepeated", func(t *testing.T) {
		t.Parallel()
		_, f := members(`{"a":1,"A":1,"a":2,"\u0061":3,"<b>":1}`, "a")
		require.Equal(t, problem.Faults{
			{Location: "body.A", Message: "is unknown"},
			{Location: "body.a", Message: "is given twice"},
			{Location: "body.a", Message: "is given twice"},
			{Location: "body", Message: "is unknown"},
		}, f)
	})
}

func TestEachElementStops(t *testing.T) {
	t.Parallel()
	var seen []string
	strictjson.EachElement(json.RawMessage(`[1, [2] ,"]",4]`), func(i int, value json.RawMessage) bool {
		seen = append(seen, string(value))
		return i < 2
	})
	require.Equal(t, []string{"1", "[2]", `"]"`}, seen)
	strictjson.EachElement(json.RawMessage(`[ ]`), func(int, json.RawMessage) bool {
		require.Fail(t, "an empty array has no element")
		return true
	})
}

// The oracle is encoding/json: the same members with the same values, and nothing that it would refuse.
func FuzzEachMember(f *testing.F) {
	for _, body := range []string{
		`{}`, `{"a":{"b":[]}}`, `{"\ud800":1}`, `{"a":"\"}","b":[{}]}`, ` { "" : null } `, `{"a":1,"a":2}`, `{"a":tru}`, "\xff",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		object, err := strictjson.ParseObject(body)
		if err != nil {
			return
		}
		var oracle map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &oracle))
		var faults problem.Faults
		found := map[string]json.RawMessage{}
		strictjson.EachMember(object, "body", &faults, func(name string, value json.RawMessage) bool {
			found[name] = value
			return true
		})
		for name := range oracle {
			require.Contains(t, found, name)
			require.True(t, json.Valid(found[name]))
			if len(faults) == 0 {
				require.Equal(t, string(oracle[name]), string(found[name]))
			}
		}
		require.Len(t, found, len(oracle))
	})
}
