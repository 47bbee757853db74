package outhook_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What importers link beside the standard library: pgx and what pgx needs, nothing of the server.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	allowed := []string{
		"github.com/outhook/outhook", "github.com/outhook/outhook/internal/jsondepth",
		"github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/",
		"github.com/jackc/pgpassfile", "github.com/jackc/pgservicefile",
		"golang.org/x/text/", // SASLprep, for pgx
	}
	for path := range strings.FieldsSeq(string(out)) {
		require.True(t, slices.ContainsFunc(allowed, func(a string) bool {
			return path == a || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a)
		}), "%s is linked into every importer", path)
	}
}
