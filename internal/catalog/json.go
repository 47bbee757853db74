package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// member is one of an object's.
type member struct {
	name  string
	value json.RawMessage
}

// object is a JSON object whose members keep their order, and their values the bytes that stand there: people have
// put a schema's properties in an order that they like to read.
type object []member

// objectOf reads an object. What is none, or has a member twice, is a fault.
func objectOf(raw json.RawMessage, at string, f *problem.Faults) (o object) {
	if !isObject(raw) {
		f.Add(at, "must be an object")
		return nil
	}
	strictjson.EachMember(raw, at, f, func(name string, value json.RawMessage) bool {
		o = append(o, member{name, value})
		return true
	})
	return o
}

// known reads what is known to be an object, or is none.
func known(raw json.RawMessage) object {
	if !isObject(raw) {
		return nil
	}
	return objectOf(raw, "", &problem.Faults{})
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

func isArray(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '[' }

// get returns a member's value; nil: there is none.
func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// text returns a member that is a text, else "".
func (o object) text(name string) string { return textOf(o.get(name)) }

// is tells whether a member is true.
func (o object) is(name string) bool { return string(o.get(name)) == "true" }

// without returns the object without some of its members.
func (o object) without(names ...string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return slices.Contains(names, m.name) })
}

// with returns the object with a member, which stands where it stood, or last.
func (o object) with(name string, value json.RawMessage) object {
	o = slices.Clone(o)
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name, value})
}

// encode writes the object.
func (o object) encode() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quote(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// arrayOf reads the elements of an array; of what is none, none.
func arrayOf(raw json.RawMessage) (list []json.RawMessage) {
	if !isArray(raw) {
		return nil
	}
	strictjson.EachElement(raw, func(_ int, value json.RawMessage) bool {
		list = append(list, value)
		return true
	})
	return list
}

func encodeArray(list []json.RawMessage) json.RawMessage {
	parts := make([][]byte, len(list))
	for i, value := range list {
		parts[i] = value
	}
	return slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]"))
}

// textOf returns a JSON text, "" of anything else.
func textOf(raw json.RawMessage) (s string) {
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// textsOf returns the texts of an array, or a text alone.
func textsOf(raw json.RawMessage) (list []string) {
	if s := textOf(raw); s != "" {
		return []string{s}
	}
	for _, value := range arrayOf(raw) {
		if s := textOf(value); s != "" {
			list = append(list, s)
		}
	}
	return list
}

func quote(s string) json.RawMessage {
	text, err := strictjson.Encode(s)
	if err != nil {
		return json.RawMessage(`""`) // a text can always be encoded
	}
	return bytes.TrimSpace(text)
}

// Set returns a value in which what is at a path, of members' names and elements' numbers, is another. A member that
// is not there becomes the last; an element must be there.
func Set(value json.RawMessage, path []string, to json.RawMessage) (json.RawMessage, error) {
	if len(path) == 0 {
		return to, nil
	}

	value = bytes.TrimSpace(value)
	switch {
	case isObject(value):
		o := known(value)
		inner := o.get(path[0])
		if inner == nil {
			inner = json.RawMessage("{}")
		}
		changed, err := Set(inner, path[1:], to)
		return o.with(path[0], changed).encode(), err
	case isArray(value):
		list := arrayOf(value)
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(list) {
			return nil, fmt.Errorf("%s is no element of an array of %d", path[0], len(list))
		}
		list[i], err = Set(list[i], path[1:], to)
		return encodeArray(list), err
	}
	return nil, fmt.Errorf("%s would be in what is neither an object nor an array", path[0])
}

// Equal tells whether two JSON values are the same: members in whatever order, and numbers as they are written.
func Equal(a, b json.RawMessage) bool { return bytes.Equal(canonical(a), canonical(b)) }

// canonical writes a value in a form that two equal ones share.
func canonical(raw json.RawMessage) json.RawMessage {
	raw = bytes.TrimSpace(raw)
	switch {
	case isObject(raw):
		o := known(raw)
		slices.SortStableFunc(o, func(a, b member) int { return strings.Compare(a.name, b.name) })
		for i := range o {
			o[i].value = canonical(o[i].value)
		}
		return o.encode()

	case isArray(raw):
		list := arrayOf(raw)
		for i := range list {
			list[i] = canonical(list[i])
		}
		return encodeArray(list)
	case len(raw) > 0 && raw[0] == '"':
		return quote(textOf(raw))
	}
	return raw
}
