package migrations_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/jsondepth"
)

// drawJSON draws a text that nests up to levels deep, with chains, siblings, and strings that look like brackets.
func drawJSON(r *rapid.T, levels int) string {
	if levels <= 0 {
		return rapid.SampledFrom([]string{`1`, `[]`, `{}`, `"]["`, `"\"[{"`, `"\\"`}).Draw(r, "leaf")
	}

	chain := rapid.IntRange(1, levels).Draw(r, "chain")
	open, shut := strings.Repeat("[", chain), strings.Repeat("]", chain)
	if rapid.Bool().Draw(r, "object") {
		open, shut = strings.Repeat(`{"[":`, chain), strings.Repeat("}", chain)
	}
	inner := drawJSON(r, levels-chain)
	if open[0] == '[' {
		for range rapid.IntRange(0, 3).Draw(r, "siblings") {
			inner += "," + drawJSON(r, rapid.IntRange(0, levels-chain).Draw(r, "levels"))
		}
	}
	return open + inner + shut
}

// The database counts as the API does.
func TestJSONTooDeep(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	rapid.Check(t, func(r *rapid.T) {
		doc := drawJSON(r, rapid.IntRange(0, 30).Draw(r, "depth"))
		require.True(r, json.Valid([]byte(doc)), doc)
		depth := jsondepth.Of([]byte(doc))
		limit := max(0, depth+rapid.IntRange(-2, 2).Draw(r, "limit"))
		var tooDeep bool
		require.NoError(r, pool.QueryRow(t.Context(), `SELECT outhook.json_too_deep($1, $2)`, doc, limit).Scan(&tooDeep))
		require.Equal(r, depth > limit, tooDeep, "%d levels, %d allowed: %s", depth, limit, doc)
	})
}
