package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// member is one of an object, in its order.
type member struct {
	name  string
	value any
}

func (m member) isOperator() bool { return strings.HasPrefix(m.name, "$") }

// object is one of a filter's. Its names are different.
type object []member

// decode reads a filter's JSON: objects, []any, string, json.Number, bool and nil.
func decode(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, &Error{Message: "is not valid UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()

	value, err := decodeValue(d, nil, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &Error{Message: "is not one JSON value"}
	}
	return value, nil
}

func decodeValue(d *json.Decoder, at []string, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, &Error{Message: "is not valid JSON"}
	}

	switch t := token.(type) {
	case json.Delim:
		if depth == MaxDepth {
			return nil, &Error{at, fmt.Sprintf("nests deeper than %d levels", MaxDepth)}
		}
		if t == '{' {
			return decodeObject(d, at, depth+1)
		}
		return decodeArray(d, at, depth+1)
	case string:
		return t, checkText(t, at)
	case json.Number:
		return t, checkNumber(t, at)
	}
	return token, nil
}

func decodeObject(d *json.Decoder, at []string, depth int) (any, error) {
	o := object{}
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, &Error{Message: "is not valid JSON"}
		}
		if err := checkText(name, at); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(o, func(m member) bool { return m.name == name }) {
			return nil, &Error{at, "has a member twice"}
		}

		value, err := decodeValue(d, below(at, name), depth)
		if err != nil {
			return nil, err
		}
		o = append(o, member{name, value})
	}
	return o, closing(d)
}

func decodeArray(d *json.Decoder, at []string, depth int) (any, error) {
	list := []any{}
	for d.More() {
		value, err := decodeValue(d, at, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, closing(d)
}

// closing reads the end of an object or an array.
func closing(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return &Error{Message: "is not valid JSON"}
	}
	return nil
}

func below(at []string, name string) []string { return append(slices.Clip(at), name) }

func checkText(s string, at []string) error {
	switch {
	case len(s) > MaxStringBytes:
		return &Error{at, fmt.Sprintf("has a text or a name that is longer than %d bytes", MaxStringBytes)}
	case strings.ContainsRune(s, 0):
		return &Error{at, "has a text with U+0000, which no event that can be filtered has"}
	}
	return nil
}

// checkNumber refuses what would be dear to compare, or to compile.
func checkNumber(n json.Number, at []string) error {
	_, exponent, found := strings.Cut(strings.ToLower(string(n)), "e")
	e := 0
	if found {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil {
			e = maxExponent + 1
		}
	}

	if len(n) > maxNumberBytes || e > maxExponent || e < -maxExponent {
		return &Error{at, fmt.Sprintf("has a number with more than %d characters, or an exponent beyond %d",
			maxNumberBytes, maxExponent)}
	}
	return nil
}
