package filter

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Texts for people are cut off: a value is shown by so many characters, and a condition too.
const (
	maxShown = 60
	maxWords = 400
)

// nameOf is what people call a value: amount, and not data.amount.
func nameOf(at []string) string {
	if len(at) > 0 && at[0] == memberData {
		if at = at[1:]; len(at) == 0 {
			return "the payload"
		}
	}
	return strings.Join(at, ".")
}

func cut(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// shown is a value as people read it.
func shown(value any, present bool) string {
	if !present {
		return "missing"
	}

	switch v := value.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case string:
		return cut(quote(v), maxShown)
	case json.Number:
		return cut(string(v), maxShown)
	}
	return literal(value)
}

// wasFalse says that a condition was, and what is there instead.
func wasFalse(c cond, value any, present bool, at []string) string {
	if c.holds(value, present) {
		return ""
	}
	return fmt.Sprintf("%s was false (%s is %s)", cut(c.words(at), maxWords), nameOf(at), shown(value, present))
}

func (e element) words(at []string) string {
	list := make([]string, len(e))
	for i, t := range e {
		list[i] = t.words(at)
	}
	return strings.Join(list, " and ")
}

func (e element) blame(value any, present bool, at []string) string {
	for _, t := range e {
		if one := (element{t}); !one.holds(value, present) {
			return wasFalse(one, value, present, at)
		}
	}
	return wasFalse(e, value, present, at)
}

func (t test) words(at []string) string {
	list := make([]string, len(t.values))
	for i, value := range t.values {
		list[i] = literal(value)
	}

	word := sign(t.op)
	switch t.op {
	case "$eq":
		word = "="
	case "$startsWith":
		word = "starts with"
	case "$endsWith":
		word = "ends with"
	}
	return nameOf(at) + " " + word + " " + strings.Join(list, " or ")
}

func (e exists) words(at []string) string {
	if e {
		return nameOf(at) + " is there"
	}
	return nameOf(at) + " is missing"
}

func (e exists) blame(value any, present bool, at []string) string {
	return wasFalse(e, value, present, at)
}

func (isArray) words(at []string) string { return nameOf(at) + " is a list" }

func (i isArray) blame(value any, present bool, at []string) string {
	return wasFalse(i, value, present, at)
}

func (c contains) words(at []string) string { return nameOf(at) + " contains " + quote(string(c)) }

func (c contains) blame(value any, present bool, at []string) string {
	return wasFalse(c, value, present, at)
}

func (f field) words(at []string) string { return f.cond.words(below(at, f.name)) }

func (f field) blame(value any, _ bool, at []string) string {
	v, ok := memberOf(value, f.name)
	return f.cond.blame(v, ok, below(at, f.name))
}

func (m members) words(at []string) string { return m.all().words(at) }

func (m members) blame(value any, present bool, at []string) string {
	switch _, isObject := value.(map[string]any); {
	case m.holds(value, present):
		return ""
	case isObject:
		return m.all().blame(value, true, at)
	}
	if _, is := value.([]any); is {
		return fmt.Sprintf("none of %s has %s", nameOf(at), cut(m.words(at), maxWords))
	}
	return wasFalse(m, value, present, at)
}

func (a all) words(at []string) string { return joined(a, " and ", at) }

func (a all) blame(value any, present bool, at []string) string {
	for _, c := range a {
		if text := c.blame(value, present, at); text != "" {
			return text
		}
	}
	return ""
}

func (a anyOf) words(at []string) string { return "(" + joined(a, " or ", at) + ")" }

func (a anyOf) blame(value any, present bool, at []string) string {
	if a.holds(value, present) {
		return ""
	}
	list := make([]string, len(a))
	for i, c := range a {
		list[i] = c.blame(value, present, at)
	}
	return cut(strings.Join(list, ", and "), maxWords)
}

func (n not) words(at []string) string { return "not (" + n.cond.words(at) + ")" }

func (n not) blame(value any, present bool, at []string) string {
	if n.holds(value, present) {
		return ""
	}
	text := cut(n.cond.words(at), maxWords) + " was true"
	if _, one := n.cond.(field); one || len(at) == 0 {
		return text
	}
	return fmt.Sprintf("%s (%s is %s)", text, nameOf(at), shown(value, present))
}

func joined(list []cond, by string, at []string) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.words(at)
	}
	return strings.Join(words, by)
}
