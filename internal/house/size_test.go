package house_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A package that has outgrown these bounds holds two that want to exist.
func TestPackagesAreSmall(t *testing.T) {
	t.Parallel()
	lines := map[string]int{}
	for _, s := range sources(t) {
		for _, line := range s.lines {
			if !isBreak(line) {
				lines[path.Dir(s.path)]++
			}
		}
	}

	for _, dir := range slices.Sorted(maps.Keys(lines)) {
		most := 5000
		if dir == "api" {
			most = 9000 // a file for each noun, and nothing between a handler and its query
		}
		if dir == "cmd/outhook" {
			most = 7000 // a file for each command
		}
		if dir == "jobs" || strings.HasPrefix(dir, "jobs/") {
			most = 1600
		}
		t.Logf("%-30s %5d lines of code", dir, lines[dir])
		require.LessOrEqual(t, lines[dir], most, dir)
	}
}
