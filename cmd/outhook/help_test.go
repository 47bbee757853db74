package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// helpPage holds what --help prints of every command that is not hidden.
const helpPage = "testdata/help.golden"

// Flags, their defaults and the variables that set them are promised, so a change of them must be seen.
func TestHelp(t *testing.T) {
	t.Setenv("COLUMNS", "120") // what kong wraps at where there is no terminal

	var got strings.Builder
	for _, command := range visible(model(t)) {
		got.WriteString("$ outhook " + strings.Join(append(command, "--help"), " ") + "\n" + helpOf(t, command) + "\n")
	}

	if *update {
		require.NoError(t, os.WriteFile(helpPage, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(helpPage)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "run: go test ./cmd/outhook -run TestHelp -update")
}

// visible returns the words that lead to each command that is not hidden, parents before their children.
func visible(node *kong.Node) [][]string {
	found := [][]string{{}}
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		for _, words := range visible(child) {
			found = append(found, append([]string{child.Name}, words...))
		}
	}
	return found
}

// helpOf returns what --help prints of a command.
func helpOf(t *testing.T, command []string) (text string) {
	t.Helper()
	var out bytes.Buffer
	parser, err := newParser(&out, io.Discard, "outhook-dev in the user's data folder")
	require.NoError(t, err)

	require.PanicsWithValue(t, exitError(0), func() { _, _ = parser.Parse(append(command, "--help")) })
	return out.String()
}
