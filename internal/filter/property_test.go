package filter_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/filter"
)

// Few names and values, so that filters and documents meet.
func drawName(r *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c.d", `e"`, "é"}).Draw(r, "name")
}

func drawText(r *rapid.T) string {
	text := rapid.SampledFrom([]string{"", "a", "ab", "b", "a.b", `"\`, "$", "é", "z\n", "😀", "***:a"}).Draw(r, "text")
	return quoted(text + rapid.SampledFrom([]string{"", "", "b"}).Draw(r, "end"))
}

func quoted(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func drawNumber(r *rapid.T) string {
	return rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "10e-1", "-1", "2", "0.5", "1e2", "100", "12345678901234567890", "12345678901234567891", "-1e-30", "1e300"}).
		Draw(r, "number")
}

func drawPlain(r *rapid.T) string {
	switch rapid.IntRange(0, 3).Draw(r, "plain") {
	case 0:
		return drawNumber(r)
	case 1:
		return drawText(r)
	}
	return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(r, "word")
}

func drawPayload(r *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 3).Draw(r, "leaf") == 0 {
		return drawPlain(r)
	}
	var parts []string
	n := rapid.IntRange(0, 3).Draw(r, "parts")
	if rapid.Bool().Draw(r, "array") {
		for range n {
			parts = append(parts, drawPayload(r, depth-1))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for range n {
		parts = append(parts, quoted(drawName(r))+": "+drawPayload(r, depth-1))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func drawList(r *rapid.T, of func(*rapid.T) string) string {
	var list []string
	for range rapid.IntRange(1, 3).Draw(r, "list") {
		list = append(list, of(r))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// drawCondition draws what a value must be.
func drawCondition(r *rapid.T, depth int) string {
	if depth == 0 {
		return drawPlain(r)
	}
	inner := func(r *rapid.T) string { return drawCondition(r, depth-1) }
	switch rapid.IntRange(0, 9).Draw(r, "condition") {
	case 0:
		return drawPlain(r)
	case 1:
		return drawList(r, func(r *rapid.T) string {
			if rapid.Bool().Draw(r, "plain") {
				return drawPlain(r)
			}
			return "{" + quoted(drawName(r)) + ": " + inner(r) + "}"
		})
	case 2, 3, 4:
		return drawMembers(r, inner)
	case 5:
		return `{"` + rapid.SampledFrom([]string{"$or", "$and"}).Draw(r, "logic") + `": ` + drawList(r, inner) + `}`
	case 6:
		return `{"$not": ` + inner(r) + `}`
	}
	return "{" + strings.Join(drawOperators(r), ", ") + "}"
}

func drawMembers(r *rapid.T, inner func(*rapid.T) string) string {
	seen := map[string]bool{}
	var parts []string
	for range rapid.IntRange(1, 3).Draw(r, "members") {
		if name := drawName(r); !seen[name] {
			seen[name] = true
			parts = append(parts, quoted(name)+": "+inner(r))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func drawOperators(r *rapid.T) (parts []string) {
	seen := map[string]bool{}
	for range rapid.IntRange(1, 3).Draw(r, "operators") {
		op := rapid.SampledFrom([]string{"$eq", "$neq", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$startsWith", "$endsWith", "$exist"}).Draw(r, "operator")
		if seen[op] {
			continue
		}
		seen[op] = true
		var value string
		switch op {
		case "$eq", "$neq":
			value = drawPlain(r)
		case "$gt", "$gte", "$lt", "$lte":
			value = rapid.SampledFrom([]func(*rapid.T) string{drawNumber, drawText}).Draw(r, "of")(r)
		case "$exist":
			value = fmt.Sprint(rapid.Bool().Draw(r, "exist"))
		case "$in", "$nin":
			value = rapid.SampledFrom([]func(*rapid.T) string{drawPlain, func(r *rapid.T) string { return drawList(r, drawPlain) }}).Draw(r, "of")(r)
			if value == `""` {
				value = `"a"`
			}
		default:
			value = strings.ReplaceAll(drawList(r, drawText), `""`, `"a"`)
		}
		parts = append(parts, `"`+op+`": `+value)
	}
	return parts
}

// Postgres and Go are two evaluators of one filter, made of different code: whatever the filter and the document, they say the
// same.
func TestPostgresAndGoAgree(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	parsed, wanted := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		condition := drawCondition(r, rapid.IntRange(0, 4).Draw(r, "depth"))
		text := `{"data": ` + condition + `}`
		f, err := filter.Parse([]byte(text))
		if err != nil { // too many comparisons
			require.ErrorContains(r, err, "one too many", text)
			return
		}
		parsed++

		// A statement for some payloads: the round trips are what takes long. A condition without operators wants what
		// reads as it does.
		payloads := make([]string, 10)
		payloads[0] = condition
		for i := range payloads[1:] {
			payloads[i+1] = drawPayload(r, rapid.IntRange(0, 4).Draw(r, "depth"))
		}
		rows, err := pool.Query(t.Context(), `SELECT outhook.endpoint_wants('{}', '{}', $1::jsonpath, outhook.event_document($2, $3, p::json))
			FROM unnest($4::text[]) WITH ORDINALITY AS v (p, i) ORDER BY i`, f.Path(), ofTenant, ofType, payloads)
		require.NoError(r, err)
		var got []bool
		for rows.Next() {
			var is bool
			require.NoError(r, rows.Scan(&is))
			got = append(got, is)
		}
		require.NoError(r, rows.Err(), "%s as %s", text, f.Path())

		for i, payload := range payloads {
			document, err := filter.Document(ofType, ofTenant, []byte(payload))
			require.NoError(r, err)
			require.Equal(r, got[i], f.Matches(document), "%s of %s, as %s", text, payload, f.Path())
			require.Equal(r, got[i], f.Blame(document) == "", "%s of %s: %s", text, payload, f.Blame(document))
			if got[i] {
				wanted++
			}
		}
	})
	t.Logf("%d filters, %d of their payloads wanted", parsed, wanted)
	require.Greater(t, parsed, 50)
	require.Greater(t, wanted, parsed/4, "documents and filters meet")
}
