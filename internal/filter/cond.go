package filter

import (
	"encoding/json"
	"fmt"
	"strings"
)

// cond is what a value must be. The value of a member that is not there is not present.
type cond interface {
	// compile returns the predicate over the value at a path, which is true or false of each document.
	compile(at string) string

	// holds is the same in Go.
	holds(value any, present bool) bool

	// words says what it asks for; at are the names that lead to the value.
	words(at []string) string

	// blame says what keeps it from holding, or "".
	blame(value any, present bool, at []string) string
}

// scanner is a condition that holds if a path, over the value at another one, finds something. So it may go through the
// elements of an array on its way.
type scanner interface {
	cond
	scan(at string) string
}

// element is what a value must be, or an element of it if it is an array: one that passes all tests.
type element []test

// test compares a value with one of a list, which is enough.
type test struct {
	op     string // of the filter's
	values []any
}

func (e element) compile(at string) string { return "exists(" + e.scan(at) + ")" }

func (e element) scan(at string) string {
	list := make([]string, len(e))
	for i, t := range e {
		list[i] = t.compile()
	}
	return at + " ? (" + strings.Join(list, " && ") + ")"
}

func (e element) holds(value any, present bool) bool {
	if !present {
		return false
	}

	for _, item := range elements(value) {
		passed := true
		for _, t := range e {
			passed = passed && t.passes(item)
		}
		if passed {
			return true
		}
	}
	return false
}

// exists is whether there is a value, be it null.
type exists bool

func (e exists) compile(at string) string {
	if e {
		return "exists(" + at + ")"
	}
	return "!(exists(" + at + "))"
}

func (e exists) holds(_ any, present bool) bool { return present == bool(e) }

// present is exists(true), which a path finds.
type present struct{ exists }

func (present) scan(at string) string { return at }

// isArray is whether a value is an array.
type isArray struct{}

func (isArray) compile(at string) string { return at + `.type() == "array"` }

func (isArray) holds(value any, _ bool) bool {
	_, is := value.([]any)
	return is
}

// contains is whether a text has another in it, or an array a text.
type contains string

func (c contains) compile(at string) string {
	text := quote(string(c))
	return "(exists(" + at + " ? (@ == " + text + ")) || " + at + `.type() == "string" && exists(` + at +
		" ? (@ like_regex " + text + ` flag "q")))`
}

func (c contains) holds(value any, present bool) bool {
	text, is := value.(string)
	return is && strings.Contains(text, string(c)) || element{{"$eq", []any{string(c)}}}.holds(value, present)
}

// field is a member and what its value must be. As a condition it is for the document, which has it.
type field struct {
	name string
	cond
}

func (f field) compile(at string) string { return f.cond.compile(at + "." + quote(f.name)) }

func (f field) holds(value any, _ bool) bool {
	v, ok := memberOf(value, f.name)
	return f.cond.holds(v, ok)
}

// members is what the members of an object must be, or those of one object in an array.
type members []field

func (m members) compile(at string) string { return "exists(" + m.scan(at) + ")" }

func (m members) scan(at string) string {
	if only, ok := m[0].cond.(scanner); ok && len(m) == 1 {
		return only.scan(at + "." + quote(m[0].name))
	}

	list := []string{`@.type() == "object"`}
	for _, f := range m {
		list = append(list, f.compile("@"))
	}
	return at + " ? (" + strings.Join(list, " && ") + ")"
}

func (m members) holds(value any, present bool) bool {
	if !present {
		return false
	}
	for _, item := range elements(value) {
		if _, is := item.(map[string]any); is && m.all().holds(item, true) {
			return true
		}
	}
	return false
}

// all returns the members' conditions of an object.
func (m members) all() all {
	list := make(all, len(m))
	for i, f := range m {
		list[i] = f
	}
	return list
}

// all holds if each of its conditions does.
type all []cond

func (a all) compile(at string) string {
	list := make([]string, len(a))
	for i, c := range a {
		list[i] = c.compile(at)
	}
	return strings.Join(list, " && ")
}

func (a all) holds(value any, present bool) bool {
	for _, c := range a {
		if !c.holds(value, present) {
			return false
		}
	}
	return true
}

// simplest returns the condition itself if there is one.
func (a all) simplest() cond {
	if len(a) == 1 {
		return a[0]
	}
	return a
}

// anyOf holds if one of its conditions does.
type anyOf []cond

func (a anyOf) compile(at string) string {
	list := make([]string, len(a))
	for i, c := range a {
		list[i] = c.compile(at)
	}
	return "(" + strings.Join(list, " || ") + ")"
}

func (a anyOf) holds(value any, present bool) bool {
	for _, c := range a {
		if c.holds(value, present) {
			return true
		}
	}
	return false
}

// not holds if its condition does not.
type not struct{ cond }

func (n not) compile(at string) string { return "!(" + n.cond.compile(at) + ")" }

func (n not) holds(value any, present bool) bool { return !n.cond.holds(value, present) }

// elements returns those of an array, and of anything else itself.
func elements(value any) []any {
	if list, is := value.([]any); is {
		return list
	}
	return []any{value}
}

func memberOf(value any, name string) (any, bool) {
	o, _ := value.(map[string]any)
	v, ok := o[name]
	return v, ok
}

// Document returns what filters are true of: that of an event whose payload is JSON.
func Document(eventType, tenantID string, payload []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	var data any
	if err := d.Decode(&data); err != nil {
		return nil, fmt.Errorf("reading a payload: %w", err)
	}
	return map[string]any{memberType: eventType, memberTenant: tenantID, memberData: data}, nil
}
