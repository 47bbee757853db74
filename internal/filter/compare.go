package filter

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// compile returns the test of the value @.
func (t test) compile() string {
	list := make([]string, len(t.values))

	for i, value := range t.values {
		switch t.op {
		case "$startsWith":
			list[i] = "@ starts with " + literal(value)
		case "$endsWith":
			text, _ := value.(string)
			list[i] = "@ like_regex " + quote(escapes.Replace(text)+"$")
		default:
			list[i] = "@ " + sign(t.op) + " " + literal(value)
		}
	}

	if len(list) == 1 {
		return list[0]
	}
	return "(" + strings.Join(list, " || ") + ")"
}

// sign is a comparison as SQL/JSON writes it.
func sign(op string) string {
	return map[string]string{"$eq": "==", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}[op]
}

// escapes makes a text match itself alone as a regular expression of Postgres' (an ARE).
//
//nolint:gochecknoglobals // immutable, and safe for concurrent use
var escapes = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`,
	`(`, `\(`, `)`, `\)`, `*`, `\*`, `+`, `\+`, `?`, `\?`, `^`, `\^`, `$`, `\$`, `|`, `\|`)

// literal is a plain value as SQL/JSON writes it.
func literal(value any) string {
	switch v := value.(type) {
	case string:
		return quote(v)
	case json.Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return "null"
}

// quote is a text as SQL/JSON writes it.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')

	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			const digits = "0123456789abcdef"
			b.WriteString(`\u00` + digits[r>>4:r>>4+1] + digits[r&15:r&15+1])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// passes tells whether a value, or an element of it, is one of the test's.
func (t test) passes(value any) bool {
	for _, item := range elements(value) {
		for _, v := range t.values {
			if compares(t.op, item, v) {
				return true
			}
		}
	}
	return false
}

// compares compares values of one type; those of two differ, and none is before the other.
func compares(op string, a, b any) bool {
	var order int
	switch b := b.(type) {
	case string:
		text, is := a.(string)
		switch {
		case !is:
			return false
		case op == "$startsWith":
			return strings.HasPrefix(text, b)
		case op == "$endsWith":
			return strings.HasSuffix(text, b)
		}
		order = strings.Compare(text, b)
	case json.Number:
		n, is := a.(json.Number)
		if !is {
			return false
		}
		order = compareNumbers(n, b)
	default:
		return a == b
	}

	switch op {
	case "$gt":
		return order > 0
	case "$gte":
		return order >= 0
	case "$lt":
		return order < 0
	case "$lte":
		return order <= 0
	}
	return order == 0
}

// decimal is a number of JSON: 0.digits times ten to the exponent, negative or not. The digits begin and end with
// others than 0.
type decimal struct {
	negative bool
	digits   string
	exponent int64
}

// beyond is more than any exponent of a number that Postgres holds.
const beyond = 1 << 40

func decimalOf(n json.Number) (d decimal) {
	text, exponent, _ := strings.Cut(strings.ToLower(string(n)), "e")
	if exponent != "" {
		var err error
		if d.exponent, err = strconv.ParseInt(exponent, 10, 64); err != nil {
			d.exponent = beyond
			if exponent[0] == '-' {
				d.exponent = -beyond
			}
		}
		d.exponent = max(-beyond, min(beyond, d.exponent))
	}

	text, d.negative = strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(text, ".")
	d.exponent += int64(len(whole))
	all := whole + fraction
	d.digits = strings.TrimLeft(all, "0")
	d.exponent -= int64(len(all) - len(d.digits))
	if d.digits = strings.TrimRight(d.digits, "0"); d.digits == "" {
		return decimal{}
	}
	return d
}

// compareNumbers compares numbers exactly, of whatever size.
func compareNumbers(a, b json.Number) int {
	x, y := decimalOf(a), decimalOf(b)
	signOf := func(d decimal) int {
		switch {
		case d.digits == "":
			return 0
		case d.negative:
			return -1
		}
		return 1
	}
	if c := cmp.Compare(signOf(x), signOf(y)); c != 0 || x.digits == "" {
		return c
	}

	c := cmp.Compare(x.exponent, y.exponent)
	if c == 0 {
		c = strings.Compare(x.digits, y.digits)
	}
	if x.negative {
		return -c
	}
	return c
}
