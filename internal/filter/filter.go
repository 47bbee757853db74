// Package filter is what an endpoint's filter says: which events it wants, by their content. A filter is JSON in the
// syntax of Hookdeck's, over a document of the event:
//
//	{"type": "invoice.paid", "tenant_id": "acme", "data": {the payload}}
//
// [Parse] reads one and compiles it to an SQL/JSON path, by which Postgres decides. [Filter.Matches] and [Filter.Blame]
// say the same in Go, for people who ask why.
//
// The path is two-valued: each predicate stands in an exists(… ? (…)) of its own, since a comparison of different
// types alone is neither true nor false, and so is its negation. It has no recursive descent, no arithmetic and no
// variables, and no regular expression but one that is a literal text.
package filter

import (
	"fmt"
	"strings"
)

// Limits of a filter: it is evaluated within the publisher's transaction, and is read with each of the tenant's events.
const (
	// MaxPredicates is the most comparisons, each value of a list being one.
	MaxPredicates = 20

	// MaxDepth is the most levels of objects and arrays.
	MaxDepth = 10

	// MaxStringBytes is the longest text, or name of a member, in bytes.
	MaxStringBytes = 256

	// MaxPathBytes is the longest compiled path, in bytes.
	MaxPathBytes = 4096

	// maxNumberBytes and maxExponent bound a number.
	maxNumberBytes = 64
	maxExponent    = 1000
)

// The members of an event's document.
const (
	memberType   = "type"
	memberTenant = "tenant_id"
	memberData   = "data"
)

// Error says which part of a filter breaks which rule. It never holds a value.
type Error struct {
	// At are the names that lead to the part, from the outside.
	At []string

	// Message says what is wrong and what to do.
	Message string
}

// Error names the part by its path.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s", strings.Join(append([]string{"filter"}, e.At...), "."), e.Message)
}

// Filter is a filter that was read.
type Filter struct {
	root cond
	path string
}

// Parse reads a filter. Returns an *[Error] if it is none, or larger than a filter may be.
func Parse(text []byte) (*Filter, error) {
	value, err := decode(text)
	if err != nil {
		return nil, err
	}

	p := &parser{}
	root, err := p.root(value, nil)
	if err != nil {
		return nil, err
	}

	f := &Filter{root: root, path: root.compile("$")}
	if len(f.path) > MaxPathBytes {
		return nil, &Error{Message: fmt.Sprintf("is larger than %d bytes once compiled: give fewer or shorter conditions",
			MaxPathBytes)}
	}
	return f, nil
}

// Path is the compiled filter, as Postgres' jsonpath reads it: a predicate that is true or false of each document.
func (f *Filter) Path() string { return f.path }

// Matches tells whether the filter is true of a document, as [Document] returns it.
func (f *Filter) Matches(document any) bool { return f.root.holds(document, true) }

// Blame says in words which condition keeps the filter from being true of a document, and what is there instead:
// "amount >= 1000 was false (amount is 420)". It is "" if the filter is true of it.
func (f *Filter) Blame(document any) string { return f.root.blame(document, true, nil) }
