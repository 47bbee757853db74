package catalog

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

const (
	// MaxGuardBytes bounds a guard: what does not fit is left out, the deepest first.
	MaxGuardBytes = 4096

	// maxGuardDepth bounds how deep in a payload a guard looks.
	maxGuardDepth = 6
)

// Guard makes of a schema a condition that Postgres holds payloads against as they are enqueued: a jsonpath over a
// document whose member data is the payload (as that of filters), true of each payload that the schema allows, and
// not of some that it refuses. "": there is nothing in the schema that it could be made of.
//
// It knows type, required, properties, const and enum of plain values, minimum, maximum and their exclusive forms,
// allOf, anyOf and oneOf, and references within the schema; of members, not of elements. What it does not know it
// takes for true.
func Guard(schema json.RawMessage) string {
	o := known(schema)
	if of := o.text("$schema"); of != "" && strings.TrimSuffix(of, "#") != "https://json-schema.org/draft/2020-12/schema" {
		return "" // in older ones, what stands beside a reference means nothing
	}
	for depth := maxGuardDepth; depth >= 0; depth-- {
		g := guard{defs: defsOf(schema)}
		conds := g.conditions(o.without("$id"), "$.data", depth, 0)
		if path := all(conds); len(path) <= MaxGuardBytes {
			return path
		}
	}
	return ""
}

// maxWork bounds the schemas that are looked at, for a guard or a list of members: references may lead to the same ones
// again and again.
const maxWork = 2000

// guard writes one. What it leaves out it takes for true.
type guard struct {
	defs object
	work int
}

// conditions returns what must all be true of the value at a path, which is there. Each is true or false of any
// value, but for comparisons with a value of another type, which are neither and stand where that counts as false.
func (g *guard) conditions(s object, at string, depth, hops int) (list []string) {
	if g.work++; g.work > maxWork || s.get("$id") != nil {
		return nil
	}
	add := func(cond string) {
		if cond != "" {
			list = append(list, cond)
		}
	}

	types := textsOf(s.get("type"))
	add(oneOfTypes(types, at))
	add(oneOfValues(s, at))
	add(bounds(s, types, at))
	add(g.members(s, types, at, depth))
	if name, rest, ok := defOf(s.text("$ref")); ok && rest == "" && hops < maxHops && isObject(g.defs.get(name)) {
		list = append(list, g.conditions(known(g.defs.get(name)), at, depth, hops+1)...)
	}
	for _, part := range arrayOf(s.get("allOf")) {
		list = append(list, g.conditions(known(part), at, depth, hops)...)
	}
	for _, name := range []string{"anyOf", "oneOf"} {
		add(g.alternatives(arrayOf(s.get(name)), at, depth, hops))
	}
	return list
}

// alternatives is true if the conditions of one branch are.
func (g *guard) alternatives(branches []json.RawMessage, at string, depth, hops int) string {
	var list []string
	for _, branch := range branches {
		cond := all(g.conditions(known(branch), at, depth, hops))
		if cond == "" {
			return ""
		}
		list = append(list, cond)
	}
	return either(list)
}

// members is what an object's members must be. What is no object has none.
func (g *guard) members(s object, types []string, at string, depth int) string {
	if depth < 1 {
		return ""
	}

	required := textsOf(s.get("required"))
	var list []string
	for _, name := range required {
		list = append(list, "exists("+memberPath(at, name)+")")
	}
	for _, m := range known(s.get("properties")) {
		there := memberPath(at, m.name)
		cond := all(g.conditions(known(m.value), there, depth-1, 0))
		switch {
		case cond == "":
		case slices.Contains(required, m.name):
			list = append(list, cond)
		default:
			list = append(list, "(!exists("+there+") || "+cond+")")
		}
	}
	return unless(`"object"`, types, []string{"object"}, at, all(list))
}

// unless makes a condition that is meant for values of one type true of others, unless the schema has none.
func unless(kind string, types, only []string, at, cond string) string {
	other := func(t string) bool { return !slices.Contains(only, t) }
	if cond == "" || len(types) > 0 && !slices.ContainsFunc(types, other) {
		return cond
	}
	return "(" + at + ".type() != " + kind + " || " + cond + ")"
}

func oneOfTypes(types []string, at string) string {
	var list []string
	for _, name := range types {
		switch name {
		case "integer":
			if slices.Contains(types, "number") {
				continue
			}
			list = append(list, "("+at+`.type() == "number" && `+at+".floor() == "+at+")")

		case "object", "array", "string", "number", "boolean", "null":
			list = append(list, at+".type() == "+pathText(name))
		default:
			return ""
		}
	}
	return either(list)
}

// oneOfValues is for const and enum, if all their values are plain.
func oneOfValues(s object, at string) string {
	values := arrayOf(s.get("enum"))
	if value := s.get("const"); value != nil {
		values = []json.RawMessage{value}
	}

	var list []string
	for _, value := range values {
		literal, ok := literalOf(value)
		if !ok {
			return ""
		}
		list = append(list, at+" == "+literal)
	}
	return either(list)
}

func bounds(s object, types []string, at string) string {
	var list []string
	for _, m := range []struct{ name, operator string }{
		{"minimum", ">="}, {"maximum", "<="}, {"exclusiveMinimum", ">"}, {"exclusiveMaximum", "<"},
	} {
		if value := s.get(m.name); value != nil && value[0] != '"' {
			if literal, ok := literalOf(value); ok && literal != "true" && literal != "false" && literal != "null" {
				list = append(list, at+" "+m.operator+" "+literal)
			}
		}
	}
	return unless(`"number"`, types, []string{"number", "integer"}, at, all(list))
}

// maxLiteral bounds the characters of a number in a guard. Longer ones are compared in Go only.
const maxLiteral = 30

// literalOf writes a plain value as jsonpath does.
func literalOf(value json.RawMessage) (string, bool) {
	switch {
	case isObject(value) || isArray(value) || len(value) == 0:
		return "", false
	case value[0] == '"':
		text := textOf(value)
		return pathText(text), !strings.ContainsRune(text, 0)
	case value[0] == '-' || value[0] >= '0' && value[0] <= '9':
		// Postgres 15 writes numbers with an exponent as others, if they are small.
		if exponent := strings.IndexAny(string(value), "eE"); exponent >= 0 {
			n, err := strconv.Atoi(strings.TrimPrefix(string(value[exponent+1:]), "+"))
			return string(value), err == nil && n >= -maxLiteral && n <= maxLiteral && len(value) <= maxLiteral
		}
		return string(value), len(value) <= maxLiteral
	}
	return string(value), true
}

func all(conds []string) string { return joined(conds, " && ") }

func either(conds []string) string { return joined(conds, " || ") }

func joined(conds []string, by string) string {
	switch len(conds) {
	case 0:
		return ""
	case 1:
		return conds[0]
	}
	return "(" + strings.Join(conds, by) + ")"
}

func memberPath(at, name string) string { return at + "." + pathText(name) }

// pathText writes a text as jsonpath does, which knows JSON's escapes.
func pathText(s string) string { return string(quote(s)) }
