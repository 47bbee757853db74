package jobs

import (
	"bytes"
	"encoding/json"
	"strings"
)

// storable returns what Postgres can hold of a receiver's answer: bytes that are no UTF-8, and NUL, become U+FFFD.
func storable(body []byte) string {
	text := strings.ToValidUTF8(string(body), "\uFFFD")
	return strings.ReplaceAll(text, "\x00", "\uFFFD")
}

func lower(name string) string { return strings.ToLower(name) }

// marshal returns the JSON of a map of strings, without HTML escapes. NUL, which jsonb can't hold, is gone: header values
// never contain it.
func marshal(m map[string]string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		panic(err) // a map of strings always has a JSON form
	}
	return strings.TrimSuffix(b.String(), "\n")
}
