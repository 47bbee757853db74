package house_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A map that names a file or a package that is not there is worse than none.
func TestTheMapIsTrue(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	require.NoError(t, err)

	paths := regexp.MustCompile("`([a-z][a-z0-9_-]*(?:/[a-z0-9_.-]+)+)`").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(paths), 50)
	for _, path := range paths {
		_, err := os.Stat(filepath.Join(root, path[1]))
		require.NoError(t, err)
	}

	// Each package is on it.
	for _, s := range sources(t) {
		dir := filepath.ToSlash(filepath.Dir(s.path))
		if !strings.Contains(dir, "/") || strings.HasPrefix(dir, "examples") || strings.HasPrefix(dir, "docs") {
			continue
		}
		require.Contains(t, string(page), dir, "ARCHITECTURE.md does not name the package %s", dir)
	}
}
