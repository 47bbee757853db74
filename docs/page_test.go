package docs_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// block is a fenced block of a page.
type block struct {
	page     string
	line     int // of the opening fence
	language string
	text     string

	notRun string // the reason
	until  string // runs in the background; ready when its output holds this
	file   string // is written there instead of run
	slow   bool   // runs with OUTHOOK_TEST_DOCS=all only
	prints string // what its output must hold
	needs  string // a command that must succeed for this block and the rest of its section

	receives string // the command that starts this file as a receiver, for TestReceivers

	goFile string // the example whose body this block shows
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// isCommand tells whether the block is something to run, or to write into a file for a later block.
func (b block) isCommand() bool { return b.language == "sh" || b.language == "sql" || b.file != "" }

// data are the languages of blocks that show something and are not meant to be run.
var data = []string{"json", "mermaid", "text", "yaml", "toml", "nginx", "ini", "caddyfile", "promql", "http"} //nolint:gochecknoglobals // a constant list

var (
	markerPattern  = regexp.MustCompile(`^\s*<!-- ([a-z ]+)(?:: (.*?))? -->\s*$`)
	examplePattern = regexp.MustCompile(`^\s*<!-- ((?:[\w/]+/)?example_\w+_test\.go) -->\s*$`)
	fencePattern   = regexp.MustCompile("^\\s*```+(.*)$")
)

// parsePage returns the blocks of a page. An error tells how to mend the page.
func parsePage(name, path string) (blocks []block, err error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var current *block
	next := block{} // the markers since the last block
	section := ""   // needs of the section
	var text []string
	for i, line := range strings.Split(string(source), "\n") {
		switch {
		case current != nil && strings.TrimSpace(line) == "```":
			current.text = strings.Join(text, "\n") + "\n"
			if err := current.check(); err != nil {
				return nil, err
			}
			blocks = append(blocks, *current)
			current, text, next = nil, nil, block{}
		case current != nil:
			text = append(text, line)
		case fencePattern.MatchString(line):
			current = &next
			current.page, current.line = name, i+1
			current.language, _, _ = strings.Cut(strings.TrimSpace(fencePattern.FindStringSubmatch(line)[1]), " ")
			if current.needs != "" {
				section = current.needs
			}
			current.needs = section
		case strings.HasPrefix(line, "#"):
			section, next = "", block{}
		case examplePattern.MatchString(line):
			next.goFile = examplePattern.FindStringSubmatch(line)[1]
		case markerPattern.MatchString(line):
			if err := next.mark(markerPattern.FindStringSubmatch(line)); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
			}
		}
	}
	if current != nil {
		return nil, fmt.Errorf("%s: the block has no end", *current)
	}
	return blocks, nil
}

// mark reads a comment before a block. Comments with other names are not ours.
func (b *block) mark(match []string) error {
	value := match[2]
	switch match[1] {
	case "not run":
		b.notRun = value
	case "runs until":
		b.until = value
	case "file":
		b.file = value
	case "prints":
		b.prints = value
	case "needs":
		b.needs = value
	case "receives":
		b.receives = value
	case "slow":
		b.slow = true
		return nil
	default:
		return nil
	}
	if value == "" {
		return fmt.Errorf("the marker %q needs a value: <!-- %s: … -->", match[1], match[1])
	}
	return nil
}

func (b block) check() error {
	switch {
	case b.receives != "" && b.file == "":
		return fmt.Errorf("%s: a receiver is a file: <!-- file: NAME -->", b)
	case b.language == "":
		return fmt.Errorf("%s: the block needs a language: sh or sql to be run, or one of %s", b, strings.Join(data, ", "))
	case b.notRun != "", b.isCommand(), slices.Contains(data, b.language):
		return nil
	case b.language == "go" && b.goFile != "":
		return nil
	case b.language == "bash", b.language == "shell", b.language == "console":
		return fmt.Errorf("%s: call the language sh", b)
	}
	return fmt.Errorf("%s: nothing runs a %s block: put <!-- file: NAME --> before it and run NAME in a later sh block, "+
		"or say <!-- not run: REASON -->; Go blocks are examples: <!-- example_NAME_test.go -->", b, b.language)
}
