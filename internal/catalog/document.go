package catalog

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/outhook/outhook/internal/problem"
)

// defaultFrame is that of a catalogue that no document was ever read of.
const defaultFrame = `{"openapi":"3.1.0","info":{"title":"Webhooks","version":"1"}}`

// Title returns what a catalogue is called.
func Title(c Catalog) string {
	frame := known(c.Frame)
	if len(frame) == 0 {
		frame = known(json.RawMessage(defaultFrame))
	}
	return known(frame.get("info")).text("title")
}

// Document writes an OpenAPI 3.1 document of a catalogue. What was read is written as it was, and what was changed
// since (a type that somebody has deprecated, or hidden) beside it.
func Document(c Catalog) json.RawMessage {
	frame := known(c.Frame)
	if len(frame) == 0 {
		frame = known(json.RawMessage(defaultFrame))
	}

	var webhooks object
	all := shared{}
	for _, t := range c.Types {
		webhooks = webhooks.with(t.Key, all.add(t))
	}
	if webhooks == nil {
		webhooks = object{}
	}

	frame = frame.with("webhooks", webhooks.encode())
	if len(all) > 0 {
		frame = frame.with("components", all.encode())
	}
	return frame.encode()
}

// Merge puts a document's webhooks, and what they refer to, into another one, whose paths and components stay.
func Merge(into, document json.RawMessage) json.RawMessage {
	doc, from := known(into), known(document)
	doc = doc.with("webhooks", from.get("webhooks"))

	components := known(doc.get("components"))
	for _, kind := range known(from.get("components")) {
		list := known(components.get(kind.name))
		for _, m := range known(kind.value) {
			list = list.with(m.name, m.value)
		}
		components = components.with(kind.name, list.encode())
	}
	if len(components) > 0 {
		doc = doc.with("components", components.encode())
	}
	return doc.encode()
}

// written returns a type's item with what was changed since it was read.
func (t Type) written() json.RawMessage {
	item := known(t.Item)
	method, operation := operationOf(item)

	was := Type{}
	was.describe(item, operation, t.root())
	if was.Deprecated != t.Deprecated && operation != nil {
		operation = operation.with("deprecated", json.RawMessage(strconv.FormatBool(t.Deprecated)))
		item = item.with(method, operation.encode()).without("deprecated")
	}
	if was.Visibility != t.Visibility {
		item = item.with(extensionVisibility, quote(t.Visibility))
	}
	return item.encode()
}

// operationOf returns the operation of a webhook, and its method; of one that has none, that of a POST.
func operationOf(item object) (method string, operation object) {
	for _, name := range methods() {
		if raw := item.get(name); raw != nil {
			return name, known(raw)
		}
	}
	return methods()[0], nil
}

// root returns the schema that describes the type.
func (t Type) root() object { return follow(defsOf(t.Schema), t.Schema) }

// shared are the components of a document that is written.
type shared map[place]json.RawMessage

// add adds what a type refers to, and returns its item. What has a name that another type's has, and is something else,
// gets another name.
func (s shared) add(t Type) json.RawMessage {
	own := map[place]json.RawMessage{}
	for _, kind := range known(t.Components) {
		for _, m := range known(kind.value) {
			own[place{kind.name, m.name}] = m.value
		}
	}

	names := s.rename(own)
	local := func(ref string) string {
		p, rest, ok := placeOf(ref)
		if name, renamed := names[p]; ok && renamed {
			return place{p.kind, name}.ref() + rest
		}
		return ref
	}

	for p, value := range own {
		if name, renamed := names[p]; renamed {
			p.name = name
		}
		s[p] = mapRefs(value, local)
	}
	return mapRefs(t.written(), local)
}

// rename returns the new names of components that can't keep theirs: another has it, or what they refer to gets
// another.
func (s shared) rename(own map[place]json.RawMessage) map[place]string {
	names := map[place]string{}
	for before := -1; before < len(names); {
		before = len(names)
		for p, value := range own {
			other, taken := s[p]
			if _, done := names[p]; done || !taken {
				continue
			}

			moved := slices.ContainsFunc(refsIn(value), func(ref string) bool {
				to, _, ok := placeOf(ref)
				_, renamed := names[to]
				return ok && renamed
			})
			if moved || !Equal(other, value) {
				names[p] = s.free(p, own)
			}
		}
	}
	return names
}

// free returns a name for a component that no other has.
func (s shared) free(p place, own map[place]json.RawMessage) string {
	for n := 2; ; n++ {
		next := place{p.kind, p.name + "_" + strconv.Itoa(n)}
		if s[next] == nil && own[next] == nil {
			return next.name
		}
	}
}

// encode writes the components, sorted.
func (s shared) encode() json.RawMessage {
	var all object
	for _, p := range slices.SortedFunc(maps.Keys(s), func(a, b place) int { return strings.Compare(a.ref(), b.ref()) }) {
		all = all.with(p.kind, known(all.get(p.kind)).with(p.name, s[p]).encode())
	}
	return all.encode()
}

// FromFiles makes a document of schemas, by the names of their types.
func FromFiles(files map[string]json.RawMessage) (json.RawMessage, error) {
	var f problem.Faults
	var webhooks, schemas object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		raw := compact(files[name])
		if schema := objectOf(raw, "body.webhooks."+name, &f); schema.get("$id") == nil {
			var defs object
			raw, defs = lifted(schema, name)
			schemas = append(schemas, defs...)
		}
		webhooks = webhooks.with(name, itemOf(raw))
	}
	if err := f.Problem(problem.InvalidRequest); err != nil {
		return nil, err
	}

	doc := known(json.RawMessage(defaultFrame)).with("webhooks", append(object{}, webhooks...).encode())
	if len(schemas) > 0 {
		doc = doc.with("components", object{{"schemas", schemas.encode()}}.encode())
	}
	return doc.without("info").encode(), nil
}

// itemOf returns the item of a type of which there is a schema and nothing else.
func itemOf(schema json.RawMessage) json.RawMessage {
	media := object{{"schema", schema}}.encode()
	body := object{{"content", object{{"application/json", media}}.encode()}}.encode()
	return object{{"post", object{{"requestBody", body}}.encode()}}.encode()
}

// lifted makes components of the $defs that a schema refers to: in a document that it is part of, they could not be
// found where they are.
func lifted(schema object, name string) (json.RawMessage, object) {
	defs := known(schema.get("$defs"))
	used := map[string]bool{}
	for queue := refsIn(schema.without("$defs").encode()); len(queue) > 0; queue = queue[1:] {
		def, _, ok := defOf(queue[0])
		if value := defs.get(def); ok && value != nil && !used[def] {
			used[def] = true
			queue = append(queue, refsIn(value)...)
		}
	}

	moved := func(ref string) string {
		def, rest, ok := defOf(ref)
		if !ok || !used[def] {
			return ref
		}
		return place{"schemas", name + "." + def}.ref() + rest
	}
	var left, components object
	for _, m := range defs {
		if used[m.name] {
			components = append(components, member{name + "." + m.name, mapRefs(m.value, moved)})
		} else {
			left = append(left, m)
		}
	}

	rest := schema.without("$defs")
	if len(left) > 0 {
		rest = schema.with("$defs", left.encode())
	}
	return mapRefs(rest.encode(), moved), components
}

// defOf reads a reference to one of a schema's $defs, or to something in it.
func defOf(ref string) (name, rest string, ok bool) {
	path, ok := strings.CutPrefix(ref, defsPrefix)
	name, rest, deeper := strings.Cut(path, "/")
	if deeper {
		rest = "/" + rest
	}
	return unescapePointer(name), rest, ok
}

// ToFiles makes a schema of each type of a catalogue, by the types' names: the file that it was read of, or one with
// what a schema can say.
func ToFiles(c Catalog) map[string]json.RawMessage {
	files := map[string]json.RawMessage{}
	for _, t := range c.Types {
		files[t.Name] = t.file()
	}
	return files
}

// file returns the type's schema with what else is known of it.
func (t Type) file() json.RawMessage {
	schema := t.ownDefs()
	was := Type{Examples: examplesOf(nil, t.root())}
	was.describe(nil, nil, t.root())

	for _, m := range []struct{ name, was, is string }{
		{"title", was.Title, t.Title},
		{"description", was.Description, t.Description},
		{extensionGroup, was.Group, t.Group},
		{extensionVisibility, was.Visibility, t.Visibility},
	} {
		if m.was != m.is {
			schema = schema.with(m.name, quote(m.is))
		}
	}
	if was.Deprecated != t.Deprecated {
		schema = schema.with("deprecated", json.RawMessage(strconv.FormatBool(t.Deprecated)))
	}
	if !slices.Equal(was.Flags, t.Flags) {
		schema = schema.with(extensionFlags, encodeTexts(t.Flags))
	}
	if !Equal(encodeArray(was.Examples), encodeArray(t.Examples)) {
		schema = schema.with("examples", encodeArray(t.Examples))
	}
	return schema.encode()
}

// ownDefs returns the schema with the names of $defs that a file of it has.
func (t Type) ownDefs() object {
	schema := known(t.Schema)
	defs := known(schema.get("$defs"))
	if schema.get("$id") != nil || len(defs) == 0 {
		return schema
	}

	names := map[string]string{}
	var renamed object
	for _, m := range defs {
		name, own := strings.CutPrefix(m.name, t.Name+".")
		if !own || defs.get(name) != nil {
			name = m.name
		}
		names[m.name] = name
		renamed = append(renamed, member{name, m.value})
	}
	return known(mapRefs(schema.with("$defs", renamed.encode()).encode(), func(ref string) string {
		name, rest, ok := defOf(ref)
		if !ok || names[name] == "" {
			return ref
		}
		return defsPrefix + escapePointer(names[name]) + rest
	}))
}

func encodeTexts(list []string) json.RawMessage {
	values := make([]json.RawMessage, len(list))
	for i, s := range list {
		values[i] = quote(s)
	}
	return encodeArray(values)
}
