package house_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	// wall is how many lines a function may have without a paragraph break.
	wall = 14

	// columns is where a line of code ends at the latest, in bytes; a tab counts as one.
	columns = 120
)

// A body is paragraphs: a blank line between its phases, or a comment that says what the next one is for.
func TestNoWalls(t *testing.T) {
	t.Parallel()
	long := 0
	for _, s := range sources(t) {
		for _, fn := range s.functions() {
			if len(fn.lines) <= wall {
				continue
			}
			long++
			if !slices.ContainsFunc(fn.lines[1:len(fn.lines)-1], isBreak) {
				t.Errorf("%s:%d: %s has %d lines and no paragraph break: put a blank line between its phases",
					s.path, fn.line, fn.name, len(fn.lines))
			}
		}
	}
	require.Greater(t, long, 100, "the functions were found")
}

// isBreak tells whether a line is blank or a comment.
func isBreak(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || strings.HasPrefix(line, "//")
}

// Struct tags and literals of several lines (SQL, help texts) are as long as they are.
func TestNoWideLines(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		literals := s.literals()
		for i, line := range s.lines {
			if len(line) > columns && !literals[i+1] {
				t.Errorf("%s:%d: the line has %d columns, break it before column %d", s.path, i+1, len(line), columns+1)
			}
		}
	}
}

// Half of the functions can be read at a glance, and each on one page. The figures are those of the day on which the rule
// was made.
func TestFunctionsAreShort(t *testing.T) {
	t.Parallel()
	var lengths []int
	for _, s := range sources(t) {
		for _, fn := range s.functions() {
			// What a paragraph costs is not held against it.
			code := slices.DeleteFunc(slices.Clone(fn.lines), isBreak)
			lengths = append(lengths, len(code))
		}
	}
	slices.Sort(lengths)
	for _, bound := range []struct {
		share float64
		most  int
	}{{.5, 11}, {.9, 27}, {.99, 43}, {1, 54}} {
		length := lengths[int(bound.share*float64(len(lengths)-1))]
		t.Logf("%3.0f %% of %d functions have at most %d lines of code", 100*bound.share, len(lengths), length)
		require.LessOrEqual(t, length, bound.most, "of %v of the functions", bound.share)
	}
}
