package web_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/web"
)

// What customers paste is what the pages about receivers have, which are tested.
func TestSnippetsAreThoseOfTheDocs(t *testing.T) {
	t.Parallel()
	snippets := web.Snippets()
	require.Len(t, snippets, 6)
	for _, s := range snippets {
		page, err := os.ReadFile("../../docs/receiving-" + strings.ToLower(s.Language) + ".md")
		require.NoError(t, err)
		known := map[string]bool{}
		for line := range strings.Lines(string(page)) {
			known[strings.TrimSpace(line)] = true
		}
		require.Contains(t, strings.ToLower(s.Text), "verify", s.Language)
		for line := range strings.Lines(s.Text) {
			line = strings.TrimSpace(line)
			require.True(t, line == "" || strings.HasPrefix(line, "import ") || known[line], "%s: %s", s.Language, line)
		}
	}
}
