package conceal

import (
	"bytes"
	"cmp"
	"slices"
)

const (
	// maxDepth is how many encodings, base64 or hexadecimal, one in the other are undone.
	maxDepth = 2

	// maxSeparators bounds what may stand between a header's name and its value.
	maxSeparators = 16
)

// search looks for what is known in one text.
type search struct {
	known *Concealer
	cuts  []span
}

// look searches a text, and what it holds in other encodings.
func (s *search) look(v view, depth int) {
	s.find(v, func(n needle) []byte { return n.raw })
	s.decode(v, depth)

	// Each layer as it is: what stands before or behind a value may join it as an escape of the next.
	plain := v
	for range maxLayers {
		next := unescape(plain)
		if len(next.text) == len(plain.text) {
			break
		}
		plain = next
		s.find(plain, func(n needle) []byte { return n.raw })
	}
	if len(plain.text) < len(v.text) {
		s.decode(plain, depth)
	}

	if spaced, changed := withSpaces(plain); changed {
		s.find(spaced, func(n needle) []byte { return n.plain })
	} else {
		s.find(plain, func(n needle) []byte { return n.other })
	}
}

// decode looks into the runs of digits of a text. Where in a run an encoding begins can't be told, for what stands
// before it may consist of digits too: so from each of the places that make a difference.
func (s *search) decode(v view, depth int) {
	if depth == 0 {
		return
	}

	least := s.known.least
	eachRun(v, (least*8+5)/6, isBase64, func(from, to int) {
		for skip := range 4 {
			s.look(decodeRun(v, from, to, skip, 6, base64Digit), depth-1)
		}
	})
	eachRun(v, least*2, isHex, func(from, to int) {
		for skip := range 2 {
			s.look(decodeRun(v, from, to, skip, 4, hexDigit), depth-1)
		}
	})
}

// find cuts what a text holds in the given form.
func (s *search) find(v view, form func(needle) []byte) {
	for _, n := range s.known.needles {
		s.findAnywhere(v, form(n))
	}

	if len(s.known.named) > 0 {
		folded := fold(v.text)
		for _, n := range s.known.named {
			s.findNamed(v, folded, n.name, form(n.needle))
		}
	}
}

func (s *search) findAnywhere(v view, value []byte) {
	if len(value) == 0 {
		return
	}

	for at := 0; ; {
		i := bytes.Index(v.text[at:], value)
		if i < 0 {
			break
		}
		s.cut(v, at+i, at+i+len(value))
		at += i + len(value)
	}
	if v.open {
		s.tail(v, value)
	}
}

// tail cuts the beginning of a value at the end of a text that goes on elsewhere.
func (s *search) tail(v view, want []byte) {
	for n := min(len(want)-1, len(v.text)); n >= leastTail; n-- {
		if bytes.HasSuffix(v.text, want[:n]) {
			s.cut(v, len(v.text)-n, len(v.text))
			return
		}
	}
}

// findNamed cuts a short value where it stands behind its header's name.
func (s *search) findNamed(v view, folded, name, value []byte) {
	if len(value) == 0 {
		return
	}

	for at := 0; ; {
		i := bytes.Index(folded[at:], name)
		if i < 0 {
			return
		}
		at += i + len(name)
		if begin := behind(v.text[at:], value, v.open); begin >= 0 {
			s.cut(v, at+begin, min(at+begin+len(value), len(v.text)))
		}
	}
}

// behind returns where in a text that follows a name the value begins, or -1: behind a few bytes that are no letters
// or digits, or behind the word value, as in {"name": "x", "value": "y"}. At the end of an open text a beginning will
// do.
func behind(text, value []byte, open bool) int {
	word := []byte("value")

	for i := 0; i < len(text) && i <= maxSeparators; i++ {
		rest := text[i:]
		switch {
		case i > 0 && (bytes.HasPrefix(rest, value) || open && bytes.HasPrefix(value, rest)):
			return i
		case i > 0 && bytes.EqualFold(rest[:min(len(rest), len(word))], word):
			i += len(word) - 1
		case rest[0] >= 0x80 || isLetterOrDigit(rune(rest[0])):
			return -1
		}
	}
	return -1
}

// isLetterOrDigit tells one of ASCII.
func isLetterOrDigit(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9' }

// fold returns a text in lower case with hyphens for underscores, as CGI and its heirs write a header's name.
func fold(text []byte) []byte {
	folded := make([]byte, len(text))
	for i, b := range text {
		switch {
		case 'A' <= b && b <= 'Z':
			b += 'a' - 'A'
		case b == '_':
			b = '-'
		}
		folded[i] = b
	}
	return folded
}

func (s *search) cut(v view, from, to int) {
	s.cuts = append(s.cuts, span{v.span(from).from, v.span(to - 1).to})
}

// result returns the text with a marker for each piece that was cut.
func (s *search) result(text []byte) []byte {
	if len(s.cuts) == 0 {
		return text
	}

	slices.SortFunc(s.cuts, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := make([]byte, 0, len(text))
	end := -1
	for _, c := range s.cuts {
		if c.from > end {
			out = append(append(out, text[max(end, 0):c.from]...), Marker...)
		}
		end = max(end, c.to)
	}
	return append(out, text[end:]...)
}
