package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/cmd/outhook/internal/yamlvalue"
)

const (
	// maxApplyBytes bounds a file of endpoints: 2,000 of 4 KiB each.
	maxApplyBytes = 8 << 20

	// maxApplyNodes bounds what a file becomes once its aliases are followed: each of them may hold many others.
	maxApplyNodes = 200_000

	// defaultSet is the set of a file that names none.
	defaultSet = "default"

	// setMember is the metadata that marks what a set has made, for --prune.
	setMember = "outhook.apply"
)

// applyFile is a file of endpoints.
type applyFile struct {
	name    string // as errors say it
	set     string
	entries []applyEntry
}

// applyEntry is what a file says of an endpoint.
type applyEntry struct {
	line    int
	lines   map[string]int // of each member
	members map[string]any // of the body, with "status"
	refused []string       // what is wrong with it, each with its place
}

// at is a place in the file, as compilers write it.
func (f *applyFile) at(line int) string { return fmt.Sprintf("%s:%d", f.name, line) }

// text returns a member that is a text, "" for any other.
func (e *applyEntry) text(name string) string {
	s, _ := e.members[name].(string)
	return s
}

// readApplyFile reads a file of endpoints; -: standard input. tenant is whose they are unless they say that. What is
// wrong with one endpoint is in its entry.
func readApplyFile(name, tenant string, getenv func(string) string) (*applyFile, error) {
	in, called := io.ReadCloser(os.Stdin), "stdin"
	if name != "-" {
		file, err := os.Open(name) //nolint:gosec // the user's own
		if err != nil {
			return nil, usageError{fmt.Errorf("reading the endpoints: %w", err)}
		}
		defer file.Close() //nolint:errcheck // it was only read
		in, called = file, name
	}

	data, err := io.ReadAll(io.LimitReader(in, maxApplyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading the endpoints: %w", err)
	}
	if len(data) > maxApplyBytes {
		return nil, usageError{fmt.Errorf("%s is larger than %d bytes", called, maxApplyBytes)}
	}

	f, err := parseApplyFile(called, string(data), tenant, getenv)
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}

func parseApplyFile(name, text, tenant string, getenv func(string) string) (*applyFile, error) {
	var document, more yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it must be one YAML document", name)
	}

	f := &applyFile{name: name, set: defaultSet}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: it must be a mapping with the member endpoints, a list", name)
	}
	if err := f.read(document.Content[0], getenv); err != nil {
		return nil, err
	}

	for _, e := range f.entries {
		if e.members != nil && e.members["tenant_id"] == nil && tenant != "" {
			e.members["tenant_id"] = tenant
		}
	}
	f.refuseDoubles()
	return f, nil
}

// read reads the document. Members that begin with x- are nobody's: a place for anchors.
func (f *applyFile) read(root *yaml.Node, getenv func(string) string) error {
	left := maxApplyNodes
	found := false

	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		switch {
		case strings.HasPrefix(key.Value, "x-"):
		case key.Value == "set":
			if value.ShortTag() != "!!str" || value.Value == "" {
				return fmt.Errorf("%s: set must be a name", f.at(value.Line))
			}
			f.set = value.Value

		case key.Value == "endpoints" && !found:
			if value.Kind != yaml.SequenceNode {
				return fmt.Errorf("%s: endpoints must be a list", f.at(value.Line))
			}
			found = true
			for _, node := range value.Content {
				f.entries = append(f.entries, f.readEntry(node, &left, getenv))
			}
		default:
			return fmt.Errorf("%s: there is no such member, or it is given twice: %s (a file has endpoints and set)",
				f.at(key.Line), printable(key.Value))
		}
	}

	if !found {
		return fmt.Errorf("%s: endpoints is missing: [] if there are to be none", f.name)
	}
	return nil
}

// applyMembers are the names of the members that an endpoint may have in a file: those of the API's body, and status.
func applyMembers() []string {
	names := []string{"status"}
	for field := range reflect.TypeFor[client.NewEndpoint]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f *applyFile) readEntry(node *yaml.Node, left *int, getenv func(string) string) applyEntry {
	e := applyEntry{line: node.Line, lines: map[string]int{}}
	r := yamlvalue.Reader{Left: left, Lines: e.lines}
	value, fault := r.Value(node)
	members, isMapping := value.(map[string]any)
	switch {
	case fault != nil:
		e.refuse(f.at(fault.Line), printable(fault.Message))
	case !isMapping:
		e.refuse(f.at(e.line), "an endpoint must be a mapping of its members")
	}
	if len(e.refused) > 0 {
		return e
	}
	e.members = members

	known := applyMembers()
	for _, name := range sortedKeys(members) {
		if !slices.Contains(known, name) {
			e.refuse(f.at(e.lines[name]), "there is no such member: "+printable(name)+nearest(name, known))
		}
	}
	f.checkEntry(&e)
	f.expand(&e, getenv)
	return e
}

// checkEntry refuses what the API would not get to see.
func (f *applyFile) checkEntry(e *applyEntry) {
	if _, isText := e.members["uid"].(string); e.members["uid"] != nil && !isText {
		e.refuse(f.at(e.lines["uid"]), "uid must be a text: put it in quotes")
	} else if e.text("uid") == "" {
		e.refuse(f.at(e.line), "uid is required: your own name for the endpoint, by which it is found again")
	}

	status, given := e.members["status"]
	if given && status != "enabled" && status != "paused" && status != "disabled" {
		e.refuse(f.at(e.lines["status"]), "status must be enabled, paused or disabled")
	}

	metadata, given := e.members["metadata"].(map[string]any)
	if _, marked := metadata[setMember]; given && marked {
		e.refuse(f.at(e.lines["metadata"]), "metadata must not have "+setMember+", which is the set's: give set at the top")
	}
}

// reference is a reference to a variable of the environment; $${ stands for ${.
var reference = regexp.MustCompile(`\$?\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// expand puts the values of variables in the place of ${NAME}, in what is secret.
func (f *applyFile) expand(e *applyEntry, getenv func(string) string) {
	if secret, ok := e.members["secret"].(string); ok {
		e.members["secret"] = f.expandText(e, "secret", secret, getenv)
	}
	if headers, ok := e.members["secret_headers"].(map[string]any); ok {
		for _, name := range sortedKeys(headers) {
			if header, ok := headers[name].(string); ok {
				headers[name] = f.expandText(e, "secret_headers", header, getenv)
			}
		}
	}
}

func (f *applyFile) expandText(e *applyEntry, member, text string, getenv func(string) string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "$$") {
			return found[1:]
		}

		name := found[2 : len(found)-1]
		value := getenv(name)
		if value == "" {
			e.refuse(f.at(e.lines[member]), member+": the variable "+name+" is not set")
		}
		return value
	})
}

// refuseDoubles refuses the second entry of an endpoint.
func (f *applyFile) refuseDoubles() {
	seen := map[[2]string]int{}
	for i := range f.entries {
		e := &f.entries[i]
		key := [2]string{e.text("tenant_id"), e.text("uid")}
		if first, double := seen[key]; double && key[1] != "" {
			e.refuse(f.at(e.line), "this endpoint has an entry already: "+f.at(first))
			continue
		}
		seen[key] = e.line
	}
}

func (e *applyEntry) refuse(at, message string) { e.refused = append(e.refused, at+": "+message) }

// nearest proposes the name that somebody may have meant.
func nearest(name string, known []string) string {
	for _, candidate := range known {
		if distance(name, candidate) <= 2 {
			return " (did you mean " + candidate + "?)"
		}
	}
	return ""
}
