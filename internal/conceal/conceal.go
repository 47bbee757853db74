// Package conceal cuts an endpoint's credentials out of what its receiver answers. Receivers echo requests, and answers
// are kept and shown to people who may not see these credentials.
//
// A text is searched as it is, with its escapes undone (percent-encoding with + for a space, the backslashes of JSON
// and of most languages, HTML entities; also mixed, partial and repeated), and in what its runs of base64 (both
// alphabets, any padding and alignment, line breaks) and of hexadecimal digits decode to; once more in what those hold.
// So a whole request that comes back in base64 is no hiding place. Any other transformation is one: what is compressed,
// encrypted, hashed, reversed or cut into pieces is not found.
//
// The time is linear in the text: how often it is read is bounded, whatever it holds.
package conceal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"unicode"
)

// Marker stands where something was cut out.
const Marker = "[redacted]"

const (
	// leastNeedle is the length of a value from which on it is cut wherever it stands. A shorter one is part of texts
	// that have nothing to do with it, and cut only behind its header's name.
	leastNeedle = 8

	// leastTail is how much of a value's beginning at the end of a text that was cut off is taken for that value.
	leastTail = 4
)

// Concealer knows what to cut. The zero Concealer knows nothing. Add first; then it is safe for concurrent use.
type Concealer struct {
	needles []needle
	named   []named
	least   int // what is shorter holds none of them in any form
}

// needle is a value that is cut wherever it stands, in some form: nil is none.
type needle struct {
	raw   []byte
	plain []byte // without escapes, which a value may seem to have, and with spaces for pluses
	other []byte // plain, if that is not the same as raw
}

// named is a value that is cut behind a name.
type named struct {
	name []byte // folded
	needle
}

// AddHeader adds the value of a request header. Of "Bearer abc" it adds "abc" too, and of "Basic …" the password, or
// the user if there is no password.
func (c *Concealer) AddHeader(name, value string) {
	c.add(name, []byte(value))

	scheme, credential, found := strings.Cut(value, " ")
	if !found || strings.ContainsFunc(scheme, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return
	}
	c.add(name, []byte(credential))

	pair, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(credential, "="))
	if err == nil && strings.EqualFold(scheme, "Basic") {
		user, password, _ := bytes.Cut(pair, []byte{':'})
		if len(password) == 0 {
			password = user
		}
		c.add(name, password)
	}
}

// AddKey adds a signing secret, which must not change: its bytes, and the base64 in which people see it.
func (c *Concealer) AddKey(key []byte) {
	c.add("", key)
	c.add("", base64.StdEncoding.AppendEncode(nil, key))
}

// addSignatures adds those of a webhook-signature header, "v1,… v1,…".
func (c *Concealer) addSignatures(value string) {
	for one := range strings.SplitSeq(value, " ") {
		_, text, _ := strings.Cut(one, ",")
		c.add("", []byte(text))
		if sum, err := base64.StdEncoding.DecodeString(text); err == nil {
			c.add("", sum)
		}
	}
}

// add adds a value. A short one without a name is left out.
func (c *Concealer) add(name string, raw []byte) {
	spaced, _ := withSpaces(unescapeAll(view{text: raw}))
	plain := spaced.text

	if len(raw) >= leastNeedle && len(plain) >= leastNeedle {
		c.needles = append(c.needles, newNeedle(raw, plain))
		c.atLeast(min(len(raw), len(plain)))
		return
	}

	// What is left of one that looks as if it had escapes may be short, and be everywhere.
	if len(raw) >= leastNeedle {
		c.needles = append(c.needles, needle{raw: raw})
		c.atLeast(len(raw))
	}
	if name != "" && len(plain) > 0 {
		c.named = append(c.named, named{fold([]byte(name)), newNeedle(raw, plain)})
		c.atLeast(len(name) + 1 + len(plain))
	}
}

func newNeedle(raw, plain []byte) needle {
	if bytes.Equal(raw, plain) {
		return needle{raw: raw, plain: raw}
	}
	return needle{raw: raw, plain: plain, other: plain}
}

// atLeast notes that something known may be this short.
func (c *Concealer) atLeast(n int) {
	if c.least == 0 || n < c.least {
		c.least = n
	}
}

// Answer returns what cuts c's values, and the signatures of one request (the value of its webhook-signature header),
// out of the parts of the answer to it: the body, whose name is "", and headers. whole says that the part ends with
// text; if not, a value's beginning at its end is cut too. It never changes text, and returns it if there was nothing
// to cut. It is not safe for concurrent use.
func (c *Concealer) Answer(signatures string) func(name string, text []byte, whole bool) []byte {
	var all *Concealer // with the signatures, made for the first text that can hold one

	return func(name string, text []byte, whole bool) []byte {
		if whole && len(text) < sha256.Size {
			return c.conceal(name, text, whole)
		}
		if all == nil {
			all = &Concealer{needles: slices.Clip(c.needles), named: c.named, least: c.least}
			all.addSignatures(signatures)
		}
		return all.conceal(name, text, whole)
	}
}

func (c *Concealer) conceal(name string, text []byte, whole bool) []byte {
	s := search{known: c}
	for _, n := range c.named {
		if name != "" && bytes.Equal(n.name, fold([]byte(name))) && bytes.HasPrefix(text, n.raw) {
			s.cuts = append(s.cuts, span{0, len(n.raw)})
		}
	}

	if c.least > 0 && (len(text) >= c.least || !whole) {
		s.look(view{text: text, open: !whole}, maxDepth)
	}
	return s.result(text)
}
