package oidc

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// claims are what the provider says of a person.
type claims map[string]json.RawMessage

// texts returns a claim that is a list of texts, or one text. What is neither counts as absent, and so does an address
// that the provider has not verified: anybody could have typed it.
func (c claims) texts(name string) []string {
	if name == "email" && !c.verified() {
		return nil
	}

	var list []string
	if json.Unmarshal(c[name], &list) == nil {
		return list
	}
	var one string
	if json.Unmarshal(c[name], &one) == nil && one != "" {
		return []string{one}
	}
	return nil
}

// verified tells whether the address is: some providers write "true".
func (c claims) verified() bool {
	return strings.Trim(string(c["email_verified"]), `"`) == "true"
}

// has tells whether there are all those.
func (c claims) has(names ...string) bool {
	for _, name := range names {
		if _, ok := c[name]; !ok {
			return false
		}
	}
	return true
}

// add takes over what is missing.
func (c claims) add(other claims) {
	for name, value := range other {
		if _, ok := c[name]; !ok {
			c[name] = value
		}
	}
}

// printable returns a text of the provider's, or of who pretends to be it, as a page or a log may show it: what is
// seen, in one line, up to a number of bytes.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))

	for len(text) > most {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
