package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxChanges bounds what is said of a type.
const maxChanges = 200

// Change is one thing that differs between two versions of a type.
type Change struct {
	// Pointer is where in the payload, as a JSON pointer in which * stands for each element of an array; "": the payload
	// itself, or the type.
	Pointer string `json:"pointer"`

	// What says what differs.
	What string `json:"what"`

	// Breaking says that a receiver that was right about payloads of the version before may not be of this one's.
	Breaking bool `json:"breaking"`
}

// Compare returns what differs between a type and the one that is to be instead. Nil is a type that is not there.
//
// What breaks receivers is what payloads may lack, or have otherwise, that the schema before has promised: a member
// that was described and is not any more, or was always there and need not be, and a value of another type. What a
// schema promises in addition breaks nobody.
func Compare(before, after *Type) (list []Change) {
	switch {
	case before == nil:
		return []Change{{What: "is new"}}
	case after == nil:
		return []Change{{What: "is gone", Breaking: true}}
	}

	for _, m := range []struct {
		name string
		same bool
	}{
		{"title", before.Title == after.Title},
		{"description", before.Description == after.Description},
		{"group", before.Group == after.Group},
		{"flags", slices.Equal(before.Flags, after.Flags)},
		{"examples", Equal(encodeArray(before.Examples), encodeArray(after.Examples))},
	} {
		if !m.same {
			list = append(list, Change{What: m.name + " changed"})
		}
	}
	if before.Visibility != after.Visibility {
		list = append(list, Change{What: "is " + after.Visibility + ", was " + before.Visibility})
	}
	if before.Deprecated != after.Deprecated {
		what := "is deprecated"
		if before.Deprecated {
			what = "is not deprecated any more"
		}
		list = append(list, Change{What: what})
	}
	list = append(list, CompareSchemas(before.Schema, after.Schema)...)

	// What people are shown is the same, and yet the document is not.
	if len(list) == 0 && (!Equal(before.written(), after.written()) || !Equal(before.Components, after.Components)) {
		list = append(list, Change{What: "is described otherwise"})
	}
	return list
}

// CompareSchemas is [Compare] for schemas alone.
func CompareSchemas(before, after json.RawMessage) []Change {
	if Equal(before, after) {
		return nil
	}
	d := &differ{before: defsOf(before), after: defsOf(after), seen: map[[2]string]bool{}}
	d.schema("", before, after)
	if len(d.list) == 0 {
		d.add("", false, "schema changed")
	}
	return d.list
}

// differ compares two schemas that stand alone.
type differ struct {
	before, after object             // their $defs
	seen          map[[2]string]bool // pairs of references that were compared, which may lead to themselves
	list          []Change
}

func (d *differ) add(at string, breaking bool, format string, args ...any) {
	c := Change{at, fmt.Sprintf(format, args...), breaking}
	if len(d.list) < maxChanges && !slices.Contains(d.list, c) {
		d.list = append(d.list, c)
	}
}

// schema compares the schemas of one place.
func (d *differ) schema(at string, before, after json.RawMessage) {
	if refs := [2]string{known(before).text("$ref"), known(after).text("$ref")}; refs != [2]string{} {
		if d.seen[refs] {
			return
		}
		d.seen[refs] = true
	}
	a, b := follow(d.before, before), follow(d.after, after)
	if string(canonical(before)) == "false" || string(canonical(after)) == "false" {
		if !Equal(before, after) {
			d.add(at, true, "may be there, or must not be, otherwise than before")
		}
		return
	}

	d.types(at, a, b)
	d.properties(at, a, b)
	if items := [2]json.RawMessage{a.get("items"), b.get("items")}; items[0] != nil || items[1] != nil {
		d.schema(at+"/*", orAny(items[0]), orAny(items[1]))
	}
	if was, is := a.get("additionalProperties"), b.get("additionalProperties"); isObject(was) && isObject(is) {
		d.schema(at+"/*", was, is)
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf", "prefixItems"} {
		d.branches(at, name, arrayOf(a.get(name)), arrayOf(b.get(name)))
	}
	d.values(at, a, b)
}

func defsOf(schema json.RawMessage) object { return known(known(schema).get("$defs")) }

// follow returns the schema that a reference to one of the $defs leads to, with what stands beside it, or itself.
func follow(defs object, schema json.RawMessage) object {
	o := known(schema)
	for range maxHops {
		name, rest, ok := defOf(o.text("$ref"))
		if !ok || rest != "" {
			break
		}

		next := known(defs.get(name))
		for _, m := range o.without("$ref") {
			next = next.with(m.name, m.value)
		}
		o = next
	}
	return o.without("$defs")
}

// orAny returns a schema, or that of anything.
func orAny(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage(emptySchema)
	}
	return raw
}

// types compares what a value may be. A number may be an integer; a value without a type may be anything.
func (d *differ) types(at string, a, b object) {
	before, after := textsOf(a.get("type")), textsOf(b.get("type"))
	if len(before) == 0 && len(after) == 0 || slices.Equal(before, after) {
		return
	}

	breaking := len(after) == 0
	for _, name := range after {
		known := len(before) == 0 || slices.Contains(before, name) || name == "integer" && slices.Contains(before, "number")
		breaking = breaking || !known
	}
	d.add(at, breaking, "is %s, was %s", anyOr(after), anyOr(before))
}

func anyOr(types []string) string {
	if len(types) == 0 {
		return "anything"
	}
	return strings.Join(types, " or ")
}

// properties compares an object's members.
func (d *differ) properties(at string, a, b object) {
	before, after := known(a.get("properties")), known(b.get("properties"))
	was, is := textsOf(a.get("required")), textsOf(b.get("required"))

	for _, m := range before {
		there := at + "/" + escapePointer(m.name)
		value := after.get(m.name)
		switch required := slices.Contains(is, m.name); {
		case value == nil && !required:
			d.add(there, true, "is gone")
			continue
		case slices.Contains(was, m.name) && !required:
			d.add(there, true, "may be missing, was always there")
		case !slices.Contains(was, m.name) && required:
			d.add(there, false, "is always there, was not")
		}
		d.schema(there, m.value, orAny(value))
	}
	for _, m := range after {
		if before.get(m.name) == nil {
			d.add(at+"/"+escapePointer(m.name), false, "is new")
		}
	}

	for _, name := range was {
		if before.get(name) == nil && after.get(name) == nil && !slices.Contains(is, name) {
			d.add(at+"/"+escapePointer(name), true, "may be missing, was always there")
		}
	}
}

// branches compares the alternatives, or parts, of a schema: those at the same place with each other.
func (d *differ) branches(at, name string, before, after []json.RawMessage) {
	for i := range min(len(before), len(after)) {
		d.schema(at, before[i], after[i])
	}

	switch {
	case len(before) == len(after):
	case name == "allOf":
		d.add(at, len(after) < len(before), "has %d parts of allOf, had %d", len(after), len(before))
	case name == "prefixItems":
		d.add(at, len(after) < len(before), "has %d elements of prefixItems, had %d", len(after), len(before))
	case len(before) == 0:
		d.add(at, false, "is one of %d alternatives", len(after))
	default:
		d.add(at, len(after) > len(before) || len(after) == 0, "has %d alternatives, had %d", len(after), len(before))
	}
}

// values compares what else a schema says of a value.
func (d *differ) values(at string, a, b object) {
	if before, after := a.get("const"), b.get("const"); before != nil && !Equal(before, orAny(after)) {
		d.add(at, true, "has not the one value any more that it had")
	} else if before == nil && after != nil {
		d.add(at, false, "has one value")
	}
	d.enum(at, a.get("enum"), b.get("enum"))

	for _, name := range []string{
		"format", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
		"minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
		"title", "description", "deprecated",
	} {
		// Of the type itself, people are told what describes it.
		if text := name == "title" || name == "description" || name == "deprecated"; text && at == "" {
			continue
		}
		if before, after := a.get(name), b.get(name); !Equal(before, after) {
			d.add(at, false, "%s changed", name)
		}
	}
}

// enum compares the values that there may be. One more is for receivers that take what they do not know for something
// else, as they should.
func (d *differ) enum(at string, before, after json.RawMessage) {
	if before == nil && after == nil || Equal(before, after) {
		return
	}
	if after == nil {
		d.add(at, false, "may have any value, had one of a list")
		return
	}
	has := func(list []json.RawMessage, value json.RawMessage) bool {
		return slices.ContainsFunc(list, func(v json.RawMessage) bool { return Equal(v, value) })
	}

	was, is := arrayOf(before), arrayOf(after)
	for _, value := range is {
		if !has(was, value) {
			d.add(at, false, "may be %s", value)
		}
	}
	for _, value := range was {
		if !has(is, value) {
			d.add(at, false, "is not %s any more", value)
		}
	}
}

// SchemaName tells the API's OpenAPI document what a client knows it by.
func (Change) SchemaName() string { return "TypeDifference" }
