// Package strictjson reads the body of a request member by member. Names are case-sensitive and unknown or repeated
// ones are refused, which encoding/json does not do, and each value is the bytes that stand in the body: a number
// keeps its digits, a payload its white space.
//
// Begin with [ParseObject] and [EachMember]. What they find is JSON that is known to be valid, which the functions
// for values ([Text], [Texts], [Integer], ...) rely on. Whatever is wrong is added to [problem.Faults] with its
// location, a path that begins with body. [Encode] and [Write] are for answers.
package strictjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/outhook/outhook/internal/jsondepth"
	"github.com/outhook/outhook/internal/problem"
)

// maxParserDepth is the nesting beyond which encoding/json gives up and calls a text invalid.
const maxParserDepth = 10_000

// ParseObject returns the JSON object that a body consists of, without the white space around it. Its error is a
// *[problem.Error] of status 400 for what is no JSON, or 422.
func ParseObject(body []byte) (json.RawMessage, error) {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return nil, problem.New(problem.InvalidBody, "the body is empty: send a JSON object")
	case !utf8.Valid(body):
		return nil, problem.New(problem.InvalidBody, "the body is not valid UTF-8")
	case json.Valid(body):
	case jsondepth.Of(body) > maxParserDepth:
		return nil, problem.Invalid("body", "nests too deeply")
	default:
		return nil, problem.New(problem.InvalidBody, "the body is not valid JSON")
	}

	object := bytes.Trim(body, " \t\r\n")
	if object[0] != '{' {
		return nil, problem.Invalid("body", "must be an object")
	}
	return object, nil
}

// EachMember calls set with each member of a valid JSON object and notes the members that are repeated, or unknown to
// set. at is the object's location.
func EachMember(
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
			f.Add(MemberLocation(at, name), "is given twice")
		case !set(name, object[i:end:end]):
			f.Add(MemberLocation(at, name), "is unknown")
		}

		seen[name] = true
		i = nextToken(object, end)
	}
}

// EachElement calls set with each element of a valid JSON array until set returns false.
func EachElement(array json.RawMessage, set func(i int, value json.RawMessage) bool) {
	i := nextToken(array, 1)
	for n := 0; array[i] != ']'; n++ {
		end := valueEnd(array, i)
		if !set(n, array[i:end:end]) {
			return
		}
		i = nextToken(array, end)
	}
}

// MemberLocation returns the location of a member. It repeats a name only if it is a plain one.
func MemberLocation(at, name string) string {
	if path := at + "." + name; problem.IsPlain(path) {
		return path
	}
	return at
}

// ElementLocation returns the location of an element of an array, counted from 0.
func ElementLocation(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

// decodedName returns a member's name; escapes in it are allowed by JSON.
func decodedName(quoted []byte) string {
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return "" // not for a valid string
	}
	return name
}
