package catalog

import (
	"encoding/json"
	"slices"
	"strings"
)

const (
	// maxMembers bounds the members that people are shown of a payload, and maxMemberDepth how deep they lie.
	maxMembers     = 300
	maxMemberDepth = 8
)

// Member is what a schema says of one of a payload's values.
type Member struct {
	Path        string // names, joined by dots; [] stands for each element of an array
	Type        string // in words
	Required    bool
	Description string
}

// Members lists what a schema says of a payload's members, in the order that the schema has them. More than people
// read, it does not.
func Members(schema json.RawMessage) []Member {
	m := lister{defs: defsOf(schema)}
	m.members("", follow(m.defs, schema), 0)
	return m.list
}

type lister struct {
	defs object
	list []Member
	work int // schemas that were looked at
}

// members lists those of an object, and of what it is made of.
func (l *lister) members(at string, o object, depth int) {
	if l.work++; depth > maxMemberDepth || l.work > maxWork {
		return
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		for _, part := range arrayOf(o.get(name)) {
			l.members(at, follow(l.defs, part), depth+1)
		}
	}

	required := textsOf(o.get("required"))
	for _, p := range known(o.get("properties")) {
		l.member(strings.TrimPrefix(at+"."+p.name, "."), p.value, slices.Contains(required, p.name), depth)
	}
	if items := o.get("items"); isObject(items) {
		l.members(at+"[]", follow(l.defs, items), depth+1)
	}
}

// member lists a member, and those within it. Of a member that several parts speak of, the first counts.
func (l *lister) member(path string, schema json.RawMessage, required bool, depth int) {
	if len(l.list) >= maxMembers {
		return
	}
	o := follow(l.defs, schema)
	i := slices.IndexFunc(l.list, func(m Member) bool { return m.Path == path })
	if i < 0 {
		l.list = append(l.list, Member{path, l.kind(o), required, o.text("description")})
	} else {
		l.list[i].Required = l.list[i].Required || required
	}
	l.members(path, o, depth+1)
}

// kind says in words what a value is.
func (l *lister) kind(o object) string {
	if value := o.get("const"); value != nil {
		return string(value)
	}
	if values := arrayOf(o.get("enum")); len(values) > 0 && len(values) <= MaxExamples {
		words := make([]string, len(values))
		for i, value := range values {
			words[i] = string(value)
		}
		return strings.Join(words, ", ")
	}

	words := textsOf(o.get("type"))
	if len(words) == 0 {
		for _, name := range []string{"anyOf", "oneOf"} {
			for _, part := range arrayOf(o.get(name)) {
				words = append(words, textsOf(follow(l.defs, part).get("type"))...)
			}
		}
	}
	if len(words) == 1 && words[0] == "array" {
		if of := textsOf(follow(l.defs, o.get("items")).get("type")); len(of) > 0 {
			return "array of " + strings.Join(of, " or ")
		}
	}
	text := anyOr(slices.Compact(words))
	if format := o.text("format"); format != "" {
		text += " (" + format + ")"
	}
	return text
}
