package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// linkedPage matches what the index links to, without an anchor.
var linkedPage = regexp.MustCompile(`\]\(([^)#]+\.md)\)`)

// A page that the index does not list is found by nobody.
func TestTheIndexListsEveryPageOnce(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("README.md")
	require.NoError(t, err)
	listed := map[string]int{}
	for _, match := range linkedPage.FindAllStringSubmatch(string(index), -1) {
		require.FileExists(t, match[1], "README.md links to it")
		listed[match[1]]++
	}

	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	require.Greater(t, len(pages), 1)
	for _, page := range pages {
		if page != "README.md" {
			require.Equal(t, 1, listed[page], "README.md must list %s once", page)
		}
	}
}

// The list of packages stands in two files.
func TestMakefileAndCITestTheSamePackagesForRaces(t *testing.T) {
	t.Parallel()
	race := regexp.MustCompile(`go test -race -short .*`)
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	ci, err := os.ReadFile("../.ci/run")
	require.NoError(t, err)
	require.NotEmpty(t, race.FindString(string(ci)))
	require.Equal(t, race.FindString(string(ci)), race.FindString(string(makefile)))
}
