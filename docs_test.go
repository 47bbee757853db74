package outhook_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exampleBody returns the statements of an example's function up to its output comment, one tab less indented.
func exampleBody(t *testing.T, file string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	m := regexp.MustCompile(`(?s)\nfunc Example\w*\(\) \{\n(.*?)\t// Output:`).FindSubmatch(source)
	require.NotNil(t, m, file)
	return regexp.MustCompile(`(?m)^\t`).ReplaceAllString(string(m[1]), "")
}

// goBlock returns the Go block of a page that follows the comment with the example's file name.
func goBlock(t *testing.T, page, file string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "<!-- "+file+" -->\n```go\n")
	require.True(t, ok, "%s has no block for %s", page, file)
	block, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	return block
}
