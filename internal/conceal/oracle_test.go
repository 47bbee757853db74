package conceal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
	"regexp"
	"strconv"
	"strings"
)

// oracle reads a text in every way that it knows, by means of the standard library alone, one reading after the other.
type oracle struct {
	percent, backslash, base64, hex *regexp.Regexp
}

func newOracle() oracle {
	return oracle{
		percent:   regexp.MustCompile(`%[0-9A-Fa-f]{2}`),
		backslash: regexp.MustCompile(`\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[^ux]`),
		base64:    regexp.MustCompile(`[A-Za-z0-9+/_-]{4,}`),
		hex:       regexp.MustCompile(`[0-9A-Fa-f]{8,}`),
	}
}

// reveals tells whether a text holds the value in one of its readings, of which each may be read again.
func (o oracle) reveals(text, value string, depth int) bool {
	if strings.Contains(text, value) {
		return true
	}
	if depth == 0 {
		return false
	}
	for _, reading := range o.readings(text) {
		if reading != text && o.reveals(reading, value, depth-1) {
			return true
		}
	}
	return false
}

func (o oracle) readings(text string) []string {
	readings := []string{
		o.percent.ReplaceAllStringFunc(text, unhex),
		o.percent.ReplaceAllStringFunc(strings.ReplaceAll(text, "+", " "), unhex),
		o.backslash.ReplaceAllStringFunc(text, unquote),
		html.UnescapeString(text),
	}
	joined := strings.NewReplacer("\r", "", "\n", "").Replace(text)
	for _, t := range []string{text, joined} {
		for _, run := range o.base64.FindAllString(t, -1) {
			run = strings.NewReplacer("-", "+", "_", "/").Replace(run)
			for skip := range 4 {
				readings = append(readings, decodePrefix(run[skip:]))
			}
		}
		for _, run := range o.hex.FindAllString(t, -1) {
			for skip := range 2 {
				even := run[skip : skip+(len(run)-skip)/2*2]
				if raw, err := hex.DecodeString(even); err == nil {
					readings = append(readings, string(raw))
				}
			}
		}
	}
	return readings
}

func decodePrefix(run string) string {
	if len(run)%4 == 1 {
		run = run[:len(run)-1]
	}
	raw, err := base64.RawStdEncoding.DecodeString(run)
	if err != nil {
		return ""
	}
	return string(raw)
}

func unhex(escape string) string {
	code, err := strconv.ParseUint(strings.TrimLeft(escape, `%\ux`), 16, 16)
	if err != nil || code > 0xFF {
		return escape
	}
	return string([]byte{byte(code)})
}

func unquote(escape string) string {
	switch escape[1] {
	case 'u', 'x':
		return unhex(`\` + escape[2:])
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	}
	return escape[1:]
}

// encoding writes a value as a receiver may.
type encoding struct {
	name   string
	encode func(string) string
}

func encodings() []encoding {
	return []encoding{
		{"AsIs", func(s string) string { return s }},
		{"Percent", func(s string) string { return each(s, "%%%02X") }},
		{"PercentLower", func(s string) string { return each(s, "%%%02x") }},
		{"Form", queryEscape},
		{"PercentSpaces", func(s string) string { return strings.ReplaceAll(queryEscape(s), "+", "%20") }},
		{"JSON", func(s string) string { return quoteJSON(s, true) }},
		{"JSONPlain", func(s string) string { return quoteJSON(s, false) }},
		{"JSONSlashes", func(s string) string { return strings.ReplaceAll(quoteJSON(s, false), "/", `\/`) }},
		{"JSONCodes", func(s string) string { return each(s, `\u%04x`) }},
		{"JSONCodesUpper", func(s string) string { return each(s, `\u%04X`) }},
		{"Backslashes", func(s string) string { return each(s, `\x%02x`) }},
		{"HTML", html.EscapeString},
		{"HTMLDecimal", func(s string) string { return each(s, "&#%d;") }},
		{"HTMLHex", func(s string) string { return each(s, "&#x%X;") }},
		{"Base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }},
		{"Base64URL", func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }},
		{"Base64Lines", func(s string) string { return wrap(base64.StdEncoding.EncodeToString([]byte(s)), 19, "\r\n") }},
		{"Base64LinesJSON", func(s string) string { return wrap(base64.StdEncoding.EncodeToString([]byte(s)), 19, `\n`) }},
		{"Hex", func(s string) string { return hex.EncodeToString([]byte(s)) }},
		{"HexUpper", func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }},
	}
}

// deep tells whether an encoding hides a text as a whole, of which only two are looked through.
func (e encoding) deep() bool {
	return strings.HasPrefix(e.name, "Base64") || strings.HasPrefix(e.name, "Hex")
}

func wrap(s string, n int, with string) string {
	var b bytes.Buffer
	for len(s) > n {
		b.WriteString(s[:n] + with)
		s = s[n:]
	}
	return b.String() + s
}
