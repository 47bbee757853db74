package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outhook/outhook/internal/problem"
)

// Bodies are decoded member by member: names are case-sensitive and unknown or repeated ones are refused, which
// encoding/json does not do, and each value is the bytes that stand in the body.

// maxParserDepth is the nesting beyond which encoding/json gives up and calls a text invalid.
const maxParserDepth = 10_000

// parseObject returns the JSON object that a body consists of, without the white space around it.
func parseObject(body []byte) (json.RawMessage, error) {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return nil, problem.New(http.StatusBadRequest, "the body is empty: send a JSON object")
	case !utf8.Valid(body):
		return nil, problem.New(http.StatusBadRequest, "the body is not valid UTF-8")
	case json.Valid(body):
	case depth(body) > maxParserDepth:
		return nil, problem.Invalid("body", "nests too deeply")
	default:
		return nil, problem.New(http.StatusBadRequest, "the body is not valid JSON")
	}

	object := bytes.Trim(body, " \t\r\n")
	if object[0] != '{' {
		return nil, problem.Invalid("body", "must be an object")
	}
	return object, nil
}

// eachMember calls set with each member of a valid JSON object and notes the members that are repeated, or unknown to
// set. at is the object's location.
func eachMember(
	object json.RawMessage, at string, f *problem.Faults, set func(name string, value json.RawMessage) (known bool),
) {
	seen := map[string]bool{}
	for i := nextToken(object, 1); object[i] != '}'; {
		end := valueEnd(object, i)
		name := decodedName(object[i:end])
		i = nextToken(object, end+1)
		end = valueEnd(object, i)

		switch {
		case seen[name]:
			f.Add(memberLocation(at, name), "is given twice")
		case !set(name, object[i:end:end]):
			f.Add(memberLocation(at, name), "is unknown")
		}

		seen[name] = true
		i = nextToken(object, end)
	}
}

// eachElement calls set with each element of a valid JSON array until set returns false.
func eachElement(array json.RawMessage, set func(i int, value json.RawMessage) bool) {
	i := nextToken(array, 1)
	for n := 0; array[i] != ']'; n++ {
		end := valueEnd(array, i)
		if !set(n, array[i:end:end]) {
			return
		}
		i = nextToken(array, end)
	}
}

// nextToken returns the index of the next byte of valid JSON, from i on, that is no white space, comma or colon.
func nextToken(data []byte, i int) int {
	for strings.IndexByte(" \t\r\n,:", data[i]) >= 0 {
		i++
	}
	return i
}

// valueEnd returns the index behind the value that begins at index i of valid JSON.
func valueEnd(data []byte, i int) int {
	switch data[i] {
	case '"':
		return stringEnd(data, i)
	case '{', '[':
		return containerEnd(data, i)
	}

	if n := bytes.IndexAny(data[i:], " \t\r\n,]}"); n >= 0 {
		return i + n
	}
	return len(data)
}

func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func containerEnd(data []byte, i int) int {
	for open := 0; ; i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				return i + 1
			}
		}
	}
}

// depth counts the open brackets outside of strings at the deepest place of a text that need not be valid.
func depth(data []byte) (deepest int) {
	open, inString := 0, false

	for i := 0; i < len(data); i++ {
		switch b := data[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '{', b == '[':
			open++
			deepest = max(deepest, open)
		case b == '}', b == ']':
			open--
		}
	}
	return deepest
}

// decodedName returns a member's name; escapes in it are allowed by JSON.
func decodedName(quoted []byte) string {
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return "" // not for a valid string
	}
	return name
}

// memberLocation repeats a name only if it is a plain one.
func memberLocation(at, name string) string {
	if path := at + "." + name; problem.IsPlain(path) {
		return path
	}
	return at
}

func elementLocation(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

func isNull(value json.RawMessage) bool { return string(value) == "null" }

// text decodes a JSON string that is going to be stored as text: no NUL, which Postgres can't store, and no half of a
// surrogate pair, for which Go's decoder would silently put U+FFFD.
func text(value json.RawMessage, at string, f *problem.Faults) string {
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

// textMap decodes a JSON object of strings.
func textMap(value json.RawMessage, at string, f *problem.Faults) map[string]string {
	if value[0] != '{' {
		f.Add(at, "must be an object of strings")
		return nil
	}

	m := map[string]string{}
	eachMember(value, at, f, func(name string, value json.RawMessage) bool {
		if strings.ContainsRune(name, 0) || strings.ContainsRune(name, utf8.RuneError) {
			f.Add(at, "names must not contain NUL or U+FFFD")
		}
		m[name] = text(value, memberLocation(at, name), f)
		return true
	})
	return m
}

// texts decodes a JSON array of strings.
func texts(value json.RawMessage, at string, f *problem.Faults) []string {
	if value[0] != '[' {
		f.Add(at, "must be an array of strings")
		return nil
	}

	list := []string{}
	eachElement(value, func(i int, value json.RawMessage) bool {
		list = append(list, text(value, elementLocation(at, i), f))
		return true
	})
	return list
}

// integer decodes a JSON number without fraction and exponent.
func integer(value json.RawMessage, at string, f *problem.Faults) int32 {
	n, err := strconv.ParseInt(string(value), 10, 32)
	if err != nil {
		f.Add(at, "must be a whole number")
	}
	return int32(n)
}

// timeOrNull decodes a time of RFC 3339.
func timeOrNull(value json.RawMessage, at string, f *problem.Faults) *time.Time {
	if isNull(value) {
		return nil
	}

	before := len(*f)
	t, err := time.Parse(time.RFC3339, text(value, at, f))
	if err != nil && len(*f) == before {
		f.Add(at, "must be a time like 2026-01-02T15:04:05Z (RFC 3339)")
	}
	return &t
}
