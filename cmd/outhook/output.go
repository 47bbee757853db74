package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"golang.org/x/term"
)

// table prints aligned columns. Its cells never hold control characters, which a stranger's text could use to move a
// terminal's cursor.
type table struct {
	w      *tabwriter.Writer
	header []string
}

func newTable(w io.Writer, header []string) *table {
	return &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), header: header}
}

func (t *table) row(cells ...string) {
	if t.header != nil {
		fmt.Fprintln(t.w, strings.Join(t.header, "\t"))
		t.header = nil
	}

	for i, cell := range cells {
		if cells[i] = printable(cell); cell == "" {
			cells[i] = "-"
		}
	}

	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// flush prints what there is, and the header alone if there was no row.
func (t *table) flush() {
	if t.header != nil {
		fmt.Fprintln(t.w, strings.Join(t.header, "\t"))
		t.header = nil
	}

	_ = t.w.Flush() // to a terminal that may be gone
}

// printable replaces control characters, and those that turn the direction of text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// fields prints one thing, a line per member.
func fields(w io.Writer, pairs ...string) {
	t := newTable(w, nil)
	for i := 0; i+1 < len(pairs); i += 2 {
		t.row(pairs[i], pairs[i+1])
	}
	t.flush()
}

// mapPairs are the fields of a map, in the order of their names.
func mapPairs(prefix string, m map[string]string) (pairs []string) {
	for _, name := range sortedKeys(m) {
		pairs = append(pairs, prefix+name, m[name])
	}
	return pairs
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// printLine prints JSON on one line. Strings in it keep their bytes.
func printLine(w io.Writer, raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}

	fmt.Fprintln(w, b.String())
	return nil
}

// show prints an answer: as it came, or for people.
func show[T any](c *command, f apiFlags, raw json.RawMessage, v *T, people func(io.Writer, *T)) {
	if f.JSON {
		fmt.Fprintln(c.stdout, strings.TrimSpace(string(raw)))
		return
	}
	people(c.stdout, v)
}

// isTerminal tells whether a writer is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func number(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func timeOrDash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return utc(*t)
}

// utc is how a time is shown, whatever the zone of the terminal.
func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func splitList(s string) []string {
	list := []string{}
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}

	return list
}
