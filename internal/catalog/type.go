package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/outhook/outhook/internal/problem"
)

// Limits of a catalogue.
const (
	// MaxDocumentBytes bounds a document. That of GitHub's webhooks, of 260 types, has 10 MB with its white space and 5
	// without.
	MaxDocumentBytes = 8 << 20

	// MaxTypes bounds the types of a document, and of a catalogue.
	MaxTypes = 2000

	// MaxTypeBytes bounds what is stored of a type: its item, and all that it refers to.
	MaxTypeBytes = 512 << 10

	// MaxBytes bounds that of all types of a document, and what a catalogue stores of the items of its types, archived
	// ones as well.
	MaxBytes = 64 << 20

	// MaxExamples bounds the examples of a type.
	MaxExamples = 20

	// maxTitle, maxDescription and maxFlags bound what people are shown of a type, in bytes and by their number.
	maxTitle       = 255
	maxDescription = 16 << 10
	maxFlags       = 20

	// maxNameBytes bounds a type's name, as an event's.
	maxNameBytes = 255

	// maxDepth bounds the nesting of a document.
	maxDepth = 100
)

// Who a type is shown to: everybody, nobody whose flags are not known, or the operator alone. It decides nothing about
// deliveries.
const (
	Public  = "public"
	Flagged = "flagged"
	Hidden  = "hidden"
)

// Members of a document that are ours, where OpenAPI has none, and those of Svix for the same.
const (
	extensionType       = "x-outhook-type"
	extensionGroup      = "x-outhook-group"
	extensionVisibility = "x-outhook-visibility"
	extensionFlags      = "x-outhook-flags"

	svixGroup = "x-svix-group-name"
	svixFlags = "x-svix-feature-flags"
)

// Type is an event type.
type Type struct {
	Name        string
	Title       string
	Description string
	Group       string
	Visibility  string
	Flags       []string
	Deprecated  bool

	// Key is what the document calls the webhook, Item its Path Item Object, and Components what that refers to, by the
	// kind of component and its name: all as it was written.
	Key        string
	Item       json.RawMessage
	Components json.RawMessage

	// Schema is the payload's, which stands alone: what it refers to is in its $defs. Examples are payloads.
	Schema   json.RawMessage
	Examples []json.RawMessage
}

// Catalog is what a document says of event types.
type Catalog struct {
	// Frame is the document without webhooks, components, paths and operations' security: its title, and what describes
	// it. Empty: it has no title.
	Frame json.RawMessage

	// Types are sorted by their names.
	Types []Type
}

// describe reads from a type's item and schema what people are shown of it. Nearer to the whole wins: what the item
// says before what its schema says.
func (t *Type) describe(item, operation, schema object) {
	sources := []object{item, operation, schema}
	first := func(names ...string) string {
		for _, o := range sources {
			for _, name := range names {
				if s := o.text(name); s != "" {
					return s
				}
			}
		}
		return ""
	}

	t.Title, t.Description = first("summary", "title"), first("description")
	t.Group = first(extensionGroup, svixGroup)
	if tags := textsOf(operation.get("tags")); t.Group == "" && len(tags) > 0 {
		t.Group = tags[0]
	}

	t.Flags, t.Visibility = []string{}, first(extensionVisibility)
	for _, o := range slices.Backward(sources) {
		if o.get("deprecated") != nil {
			t.Deprecated = o.is("deprecated")
		}
	}
	for _, o := range sources {
		for _, name := range []string{extensionFlags, svixFlags} {
			if flags := textsOf(o.get(name)); len(flags) > 0 && len(t.Flags) == 0 {
				t.Flags = flags
			}
		}
	}
	if t.Visibility == "" {
		t.Visibility = Public
		if len(t.Flags) > 0 {
			t.Visibility = Flagged
		}
	}
}

// check notes what of a type is larger than it may be, or is nothing that can be stored.
func (t *Type) check(at string, f *problem.Faults) {
	for _, m := range []struct {
		name string
		most int
		list []string
	}{
		{"title", maxTitle, []string{t.Title}},
		{"description", maxDescription, []string{t.Description}},
		{"group", maxTitle, []string{t.Group}},
		{"flag", maxTitle, t.Flags},
		{"key", maxTitle, []string{t.Key}},
	} {
		for _, text := range m.list {
			if len(text) > m.most || strings.ContainsRune(text, 0) {
				f.Add(at, fmt.Sprintf("has a %s that is longer than %d bytes, or contains NUL", m.name, m.most))
			}
		}
	}

	if !slices.Contains([]string{Public, Flagged, Hidden}, t.Visibility) {
		f.Add(at, extensionVisibility+" must be public, flagged or hidden")
	}
	if len(t.Flags) > maxFlags {
		f.Add(at, fmt.Sprintf("has more than %d flags", maxFlags))
	}
	if len(t.Examples) > MaxExamples {
		f.Add(at, fmt.Sprintf("has more than %d examples", MaxExamples))
	}
	if t.size() > MaxTypeBytes {
		f.Add(at, fmt.Sprintf("is larger than %d bytes, with all that it refers to", MaxTypeBytes))
	}
}

// size is how many bytes are stored of a type.
func (t *Type) size() int {
	n := len(t.Item) + len(t.Components) + len(t.Schema)
	for _, example := range t.Examples {
		n += len(example)
	}
	return n
}

// ValidName tells whether events may have such a type: dotted names, and none of Outhook's own.
func ValidName(name string) bool {
	if name == "" || len(name) > maxNameBytes || strings.HasPrefix(name, "outhook.") {
		return false
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return false
		}
	}
	return true
}

// compact removes white space between what JSON consists of.
func compact(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}
