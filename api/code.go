package api

import (
	"slices"
	"strings"

	"github.com/outhook/outhook/internal/problem"
)

// metaCodes is the key of huma.Operation.Metadata with the codes of an operation.
const metaCodes = "codes"

// codes are those of the problems that a route may answer with.
type codes []problem.Code

// statuses returns those of the codes, each once, in order.
func (c codes) statuses() []int {
	var all []int
	for _, code := range c {
		all = append(all, code.Status())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c codes) has(code problem.Code) bool { return slices.Contains(c, code) }

// of returns the codes with a status, in Markdown.
func (c codes) of(status int) string {
	return c.list(func(code problem.Code) bool { return code.Status() == status })
}

// passing returns those of the codes with a status whose answers have Retry-After, in Markdown.
func (c codes) passing(status int) string {
	return c.list(func(code problem.Code) bool { return code.Status() == status && code.Passes() })
}

func (c codes) list(wanted func(problem.Code) bool) string {
	var names []string
	for _, code := range c {
		if wanted(code) {
			names = append(names, "`"+string(code)+"`")
		}
	}
	return strings.Join(names, ", ")
}
