package conceal

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

const (
	// maxLayers is how many layers of escapes are undone.
	maxLayers = 5

	// longestEntity is the length of the longest HTML entity that is read, "&#1114111;".
	longestEntity = 10
)

// span is a piece of what is searched, in bytes.
type span struct{ from, to int }

// view is a text, or what came of one: its escapes or an encoding undone.
type view struct {
	text []byte
	at   []span // where each byte stands in what is searched; nil: this is it
	open bool   // it ends where what is searched was cut off
}

func (v view) span(i int) span {
	if v.at == nil {
		return span{i, i + 1}
	}
	return v.at[i]
}

func newView(size int, open bool) view {
	return view{text: make([]byte, 0, size), at: make([]span, 0, size), open: open}
}

func (v *view) append(b byte, at span) { v.text, v.at = append(v.text, b), append(v.at, at) }

// firstEscape returns where the first escape begins, or -1.
func firstEscape(v view) int {
	first := len(v.text)
	for _, b := range []byte{'%', '\\', '&', 0xC2, 0xC3} {
		if i := bytes.IndexByte(v.text[:first], b); i >= 0 {
			first = i
		}
	}

	for i := first; i < len(v.text); i++ {
		if _, size := escape(v.text[i:]); size > 0 || v.open && unfinished(v.text[i:]) {
			return i
		}
	}
	return -1
}

// unescape undoes one layer of escapes. What comes of it is shorter, or v itself.
func unescape(v view) view {
	i := firstEscape(v)
	if i < 0 {
		return v
	}

	out := newView(len(v.text), v.open)
	for k, b := range v.text[:i] {
		out.append(b, v.span(k))
	}
	for i < len(v.text) {
		code, size := escape(v.text[i:])
		switch {
		case size > 0:
			out.appendRune(code, span{v.span(i).from, v.span(i + size - 1).to})
			i += size
		case v.open && unfinished(v.text[i:]):
			return out
		default:
			out.append(v.text[i], v.span(i))
			i++
		}
	}
	return out
}

// unescapeAll undoes all layers of escapes, but for more than anybody writes.
func unescapeAll(v view) view {
	for range maxLayers {
		next := unescape(v)
		if len(next.text) == len(v.text) {
			break
		}
		v = next
	}
	return v
}

// withSpaces puts spaces for pluses, which may stand for them, and reports whether there were any.
func withSpaces(v view) (spaced view, changed bool) {
	if bytes.IndexByte(v.text, '+') < 0 {
		return v, false
	}
	v.text = bytes.ReplaceAll(v.text, []byte{'+'}, []byte{' '})
	return v, true
}

// appendRune appends what an escape stands for. Below U+0100 that is one byte, as which a header's value has been read.
func (v *view) appendRune(code rune, at span) {
	if code <= 0xFF {
		v.append(byte(code), at) //nolint:gosec // at most 0xFF
		return
	}
	for _, b := range utf8.AppendRune(nil, code) {
		v.append(b, at)
	}
}

// escape returns what the escape stands for with which a text begins, and its length, or 0 if it begins with none.
func escape(text []byte) (code rune, size int) {
	switch text[0] {
	case '%':
		return hexCode(text, 1, 2)
	case '\\':
		return backslash(text)

	case '&':
		end := bytes.IndexByte(text[:min(len(text), longestEntity)], ';')
		if end < 0 {
			return 0, 0
		}
		if code, found := entity(text[1:end]); found {
			return code, end + 1
		}

	case 0xC2, 0xC3: // U+0080 to U+00FF in UTF-8
		if len(text) > 1 && text[1]&0xC0 == 0x80 {
			return rune(text[0]&3)<<6 | rune(text[1]&0x3F), 2
		}
	}
	return 0, 0
}

func backslash(text []byte) (code rune, size int) {
	if len(text) < 2 {
		return 0, 0
	}

	switch text[1] {
	case 'u':
		return hexCode(text, 2, 4)
	case 'x':
		return hexCode(text, 2, 2)
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	}
	return rune(text[1]), 2
}

// hexCode reads so many hexadecimal digits behind a prefix.
func hexCode(text []byte, prefix, digits int) (code rune, size int) {
	size = prefix + digits
	if len(text) < size {
		return 0, 0
	}

	for _, b := range text[prefix:size] {
		if !isHex(b) {
			return 0, 0
		}
		code = code<<4 | rune(hexDigit(b)) //nolint:gosec // at most 15
	}
	return code, size
}

func entity(name []byte) (code rune, found bool) {
	switch string(name) {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}

	digits, found := bytes.CutPrefix(name, []byte("#"))
	base := 10
	if hexadecimal := bytes.TrimLeft(digits, "xX"); len(hexadecimal) < len(digits) {
		digits, base = hexadecimal, 16
	}
	if !found {
		return 0, false
	}
	number, err := strconv.ParseUint(string(digits), base, 20)
	return rune(number), err == nil
}

// unfinished tells whether a text may be the beginning of an escape.
func unfinished(text []byte) bool {
	rest := text[1:]
	other := func(r rune) bool { return r != '#' && !isLetterOrDigit(r) }
	if len(text) > longestEntity || bytes.ContainsFunc(rest, other) {
		return false
	}

	switch text[0] {
	case '%':
		return len(rest) < 2
	case '\\':
		return len(rest) == 0 || rest[0] == 'x' && len(rest) < 3 || rest[0] == 'u' && len(rest) < 5
	case '&':
		return true
	}
	return len(rest) == 0 && text[0]|1 == 0xC3
}

// eachRun calls use for each run of digits that is long enough to hold n of them. Line breaks and backslashes do not
// end it. One that is cut off needs to hold only the beginning of a value.
func eachRun(v view, n int, digit func(byte) bool, use func(from, to int)) {
	in := func(i int) bool {
		b := v.text[i]
		return digit(b) || b == '\n' || b == '\r' || b == '\\'
	}
	end := len(v.text)
	if v.open {
		for end > 0 && in(end-1) {
			end--
		}
		if len(v.text)-end >= leastTail {
			use(end, len(v.text))
		}
	}

	// A run of n holds the nth byte behind the end of the one before it.
	for next := 0; next+n <= end; {
		from := next + n - 1
		to := from
		for to < end && in(to) {
			to++
		}
		for to > next+n-1 && from > next && in(from-1) {
			from--
		}
		if to-from >= n {
			use(from, to)
		}
		next = to + 1
	}
}

// decodeRun decodes the digits of a run, of so many bits each, from a digit on.
func decodeRun(v view, from, to, skip, bits int, digit func(byte) int) view {
	out := newView((to-from)*bits/8, v.open && to == len(v.text))
	held, have := 0, 0 // bits that are not yet a byte, and how many
	begin := 0         // of the digit before

	for i := from; i < to; i++ {
		value := digit(v.text[i])
		if value < 0 {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}

		at := v.span(i)
		held, have = held<<bits|value, have+bits
		if have >= 8 {
			have -= 8
			out.append(byte(held>>have), span{begin, at.to}) //nolint:gosec // the lowest eight bits are meant
			held &= 1<<have - 1
		}
		begin = at.from
	}
	return out
}

func isHex(b byte) bool { return hexDigit(b) >= 0 }

// hexDigit returns the value of a digit, or -1.
func hexDigit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return int(b|0x20-'a') + 10
	}
	return -1
}

func isBase64(b byte) bool { return base64Digit(b) >= 0 }

// base64Digit returns the value of a digit of either alphabet, or -1.
func base64Digit(b byte) int {
	switch {
	case 'A' <= b && b <= 'Z':
		return int(b - 'A')
	case 'a' <= b && b <= 'z':
		return int(b-'a') + 26
	case '0' <= b && b <= '9':
		return int(b-'0') + 52

	case b == '+' || b == '-':
		return 62
	case b == '/' || b == '_':
		return 63
	}
	return -1
}
