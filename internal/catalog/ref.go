package catalog

import (
	"encoding/json"
	"slices"
	"strings"
)

const (
	// componentsPrefix begins a reference to what an OpenAPI document shares.
	componentsPrefix = "#/components/"

	// schemasPrefix begins one to a schema of those, and defsPrefix one in a schema that stands alone.
	schemasPrefix = componentsPrefix + "schemas/"
	defsPrefix    = "#/$defs/"
)

// refs is what is to become of each reference of a value.
type refs func(ref string) string

// mapRefs rewrites the references of an object of OpenAPI or a schema. What is data (examples, constants) has none,
// whatever its members are called.
func mapRefs(raw json.RawMessage, f refs) json.RawMessage {
	switch {
	case isArray(raw):
		list := arrayOf(raw)
		for i := range list {
			list[i] = mapRefs(list[i], f)
		}
		return encodeArray(list)
	case !isObject(raw):
		return raw
	}

	o := known(raw)
	for i, m := range o {
		switch {
		case m.name == "$ref" && textOf(m.value) != "":
			o[i].value = quote(f(textOf(m.value)))
		case m.name == "mapping" && isObject(m.value):
			o[i].value = mapTexts(m.value, f)
		case isData(m):
		case isNames(m):
			o[i].value = mapNames(m.value, f)
		default:
			o[i].value = mapRefs(m.value, f)
		}
	}
	return o.encode()
}

// mapNames is mapRefs for the values of an object whose members have names of somebody's choice.
func mapNames(raw json.RawMessage, f refs) json.RawMessage {
	o := known(raw)
	for i, m := range o {
		o[i].value = mapRefs(m.value, f)
	}
	return o.encode()
}

// mapTexts rewrites the references of a discriminator's mapping, which are texts.
func mapTexts(raw json.RawMessage, f refs) json.RawMessage {
	o := known(raw)
	for i, m := range o {
		if ref := textOf(m.value); strings.HasPrefix(ref, "#") {
			o[i].value = quote(f(ref))
		}
	}
	return o.encode()
}

// isData tells whether a member's value is data, in which nothing is a keyword.
func isData(m member) bool {
	switch m.name {
	case "const", "enum", "default", "example", "value":
		return true
	case "examples":
		return isArray(m.value)
	}
	return strings.HasPrefix(m.name, "x-")
}

// isNames tells whether the members of a member's value have names of somebody's choice.
func isNames(m member) bool {
	return isObject(m.value) && slices.Contains([]string{
		"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "schemas",
		"content", "headers", "responses", "examples", "callbacks", "links", "encoding",
	}, m.name)
}

// refsIn returns the references of a value, each once, in their order.
func refsIn(raw json.RawMessage) (list []string) {
	mapRefs(raw, func(ref string) string {
		if !slices.Contains(list, ref) {
			list = append(list, ref)
		}
		return ref
	})
	return list
}

// place is where a component stands.
type place struct{ kind, name string }

func (p place) ref() string { return componentsPrefix + p.kind + "/" + escapePointer(p.name) }

// placeOf reads a reference to a component, or to something in one: rest is the way there from it.
func placeOf(ref string) (p place, rest string, ok bool) {
	path, found := strings.CutPrefix(ref, componentsPrefix)
	if !found {
		return p, "", false
	}

	kind, path, found := strings.Cut(path, "/")
	name, rest, deeper := strings.Cut(path, "/")
	if !found || kind == "" || name == "" {
		return p, "", false
	}
	if deeper {
		rest = "/" + rest
	}
	return place{kind, unescapePointer(name)}, rest, true
}

// escapePointer writes a name as a part of a JSON pointer (RFC 6901).
func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func unescapePointer(part string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
}
