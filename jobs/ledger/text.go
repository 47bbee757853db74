package ledger

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// Storable returns what Postgres can hold of a receiver's answer: bytes that are no UTF-8, and NUL, become U+FFFD.
func Storable(body []byte) string {
	text := strings.ToValidUTF8(string(body), "\uFFFD")
	return strings.ReplaceAll(text, "\x00", "\uFFFD")
}

func lower(name string) string { return strings.ToLower(name) }

// HeaderJSON returns a JSON object of header names, in lower case, and what value returns for each; NUL, which jsonb
// can't hold, is never in a header. It is made by hand because json.Marshal of a map took 7 % of a worker's time.
func HeaderJSON(header http.Header, value func(name string) string) string {
	buf := make([]byte, 0, 512)
	buf = append(buf, '{')

	for name := range header {
		if len(buf) > 1 {
			buf = append(buf, ',')
		}
		buf = appendQuoted(buf, lower(name))
		buf = append(buf, ':')
		buf = appendQuoted(buf, value(name))
	}

	return string(append(buf, '}'))
}

// appendQuoted appends a JSON string. Only printable ASCII is quoted here.
func appendQuoted(buf []byte, s string) []byte {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return append(buf, quote(s)...)
		}
	}

	buf = append(buf, '"')
	buf = append(buf, s...)
	return append(buf, '"')
}

// quote returns a JSON string without HTML escapes.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always has a JSON form
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// HostOf returns the host of a URL and nothing else of it: no user, port, path or query, which may be credentials.
func HostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
