package egress

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// ErrInvalidHeader is returned for a request header that can't be sent; the error names the header, never its value.
var ErrInvalidHeader = errors.New("invalid request header")

// maxHeaderValueBytes bounds each value of [Result.Header].
const maxHeaderValueBytes = 256

// CheckHeader reports whether an endpoint may have this header: a token as name, a value without control characters,
// and none of the headers that belong to the connection or to the framing, which are the client's own work.
//
// Returns ErrInvalidHeader, which names the header if its name is valid, and never its value, which may be a
// credential.
func CheckHeader(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%w: a name must be letters, digits, and - _ . between them", ErrInvalidHeader)
	case connectionHeader(http.CanonicalHeaderKey(name)):
		return fmt.Errorf("%w: %.64s is set by the HTTP client", ErrInvalidHeader, name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("%w: the value of %.64s must not have line breaks or control characters", ErrInvalidHeader, name)
	}
	return nil
}

// connectionHeader names the headers of RFC 9110, section 7.6.1, and RFC 9113, section 8.2.2, and the framing's.
func connectionHeader(canonical string) bool {
	switch canonical {
	case "Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

func checkHeaders(h http.Header) error {
	for name, values := range h {
		for _, value := range values {
			if err := CheckHeader(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// keptHeaders returns the headers of an answer that may be stored. All others can hold secrets: Set-Cookie, Location.
func keptHeaders(h http.Header, conceal concealer) http.Header {
	kept := http.Header{}
	var text []byte
	for _, name := range []string{
		"Cf-Ray", "Content-Length", "Content-Type", "Date", "Outhook-Loop", "Retry-After", "Server", "X-Request-Id",
	} {
		values := h.Values(name)
		if len(values) == 0 {
			continue
		}

		value := values[0]
		if conceal != nil {
			text = append(text[:0], value...)
			if may := conceal(name, text, true); string(may) != value {
				value = string(may)
			}
		}
		kept.Set(name, printable(value, maxHeaderValueBytes))
	}
	return kept
}

// printable returns s fit for a text column and a log line: at most n bytes of valid UTF-8 without control
// characters.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r // an invalid byte is U+FFFD by now
	}, s)

	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
