package jsondepth_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/jsondepth"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for text, depth := range map[string]int{
		``: 0, `1`: 0, `[]`: 1, `{"a":[1,{"b":2}],"c":[]}`: 3, `[[],[],[]]`: 2,
		`"[[["`: 0, `["\"[[", "\\", []]`: 2, `{"[":"{"}`: 1,
		`[[[`: 3, `]]]`: 0, `"[`: 0, `"\`: 0,
		strings.Repeat("[", 100_000): 100_000,
	} {
		require.Equal(t, depth, jsondepth.Of([]byte(text)), text[:min(len(text), 50)])
	}
}
