package strictjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outhook/outhook/internal/problem"
)

// IsNull tells whether a value is null.
func IsNull(value json.RawMessage) bool { return string(value) == "null" }

// Text decodes a JSON string that is going to be stored as text: no NUL, which Postgres can't store, and no half of a
// surrogate pair, for which Go's decoder would silently put U+FFFD.
func Text(value json.RawMessage, at string, f *problem.Faults) string {
	var s string
	switch {
	case value[0] != '"':
		f.Add(at, "must be a string")
	case json.Unmarshal(value, &s) != nil:
		f.Add(at, "must be a string")
	case strings.ContainsRune(s, 0):
		f.Add(at, "must not contain NUL")
	case strings.ContainsRune(s, utf8.RuneError) && !bytes.ContainsRune(value, utf8.RuneError):
		f.Add(at, "must not contain half of a surrogate pair")
	}
	return s
}

// TextOrNull is Text for a member that null stands for the absence of: "".
func TextOrNull(value json.RawMessage, at string, f *problem.Faults) string {
	if IsNull(value) {
		return ""
	}
	return Text(value, at, f)
}

// TextPatch decodes a JSON object of strings and nulls, whose names may be any text. Null is nil.
func TextPatch(value json.RawMessage, at string, f *problem.Faults) map[string]*string {
	if value[0] != '{' {
		f.Add(at, "must be an object of strings")
		return nil
	}

	m := map[string]*string{}
	EachMember(value, at, f, func(name string, value json.RawMessage) bool {
		if strings.ContainsRune(name, 0) || strings.ContainsRune(name, utf8.RuneError) {
			f.Add(at, "names must not contain NUL or U+FFFD")
		}

		m[name] = nil
		if !IsNull(value) {
			text := Text(value, MemberLocation(at, name), f)
			m[name] = &text
		}
		return true
	})
	return m
}

// Texts decodes a JSON array of strings.
func Texts(value json.RawMessage, at string, f *problem.Faults) []string {
	if value[0] != '[' {
		f.Add(at, "must be an array of strings")
		return nil
	}

	list := []string{}
	EachElement(value, func(i int, value json.RawMessage) bool {
		list = append(list, Text(value, ElementLocation(at, i), f))
		return true
	})
	return list
}

// Integer decodes a JSON number without fraction and exponent.
func Integer(value json.RawMessage, at string, f *problem.Faults) int32 {
	n, err := strconv.ParseInt(string(value), 10, 32)
	if err != nil {
		f.Add(at, "must be a whole number")
	}
	return int32(n)
}

// Number decodes a JSON number. One that float64 can't hold is none.
func Number(value json.RawMessage, at string, f *problem.Faults) float64 {
	n, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		f.Add(at, "must be a number")
	}
	return n
}

// Bool decodes true or false.
func Bool(value json.RawMessage, at string, f *problem.Faults) bool {
	text := string(value)
	if text != "true" && text != "false" {
		f.Add(at, "must be true or false")
	}
	return text == "true"
}

// Time decodes a time of RFC 3339.
func Time(value json.RawMessage, at string, f *problem.Faults) time.Time {
	before := len(*f)
	t, err := time.Parse(time.RFC3339, Text(value, at, f))
	if err != nil && len(*f) == before {
		f.Add(at, "must be a time like 2026-01-02T15:04:05Z (RFC 3339)")
	}
	return t
}

// TimeOrNull decodes a time of RFC 3339, null as nil.
func TimeOrNull(value json.RawMessage, at string, f *problem.Faults) *time.Time {
	if IsNull(value) {
		return nil
	}
	t := Time(value, at, f)
	return &t
}
