package filter

import (
	"encoding/json"
	"fmt"
	"slices"
)

// parser makes conditions of a filter's JSON, and counts its predicates.
type parser struct{ predicates int }

const known = "$eq, $neq, $gt, $gte, $lt, $lte, $in, $nin, $startsWith, $endsWith, $exist, $or, $and and $not"

// root reads what stands for the document, whose members are known.
func (p *parser) root(value any, at []string) (cond, error) {
	o, ok := value.(object)
	if !ok {
		return nil, &Error{at, `must be an object like {"data": {"amount": {"$gte": 1000}}}`}
	}

	var list all
	for _, m := range o {
		var c cond
		var err error
		switch inner := below(at, m.name); m.name {
		case memberType, memberTenant, memberData:
			if c, err = p.cond(m.value, inner); err == nil {
				c = field{m.name, c}
			}
		case "$or", "$and", "$not":
			c, err = p.combine(m, inner, p.root)
		default:
			return nil, &Error{inner, `is unknown here: a filter looks into type, tenant_id and data, which is the payload`}
		}
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, &Error{at, "has no condition: null, or no filter, is what wants every event"}
	}
	return list.simplest(), nil
}

// cond reads what a value must be.
func (p *parser) cond(value any, at []string) (cond, error) {
	switch v := value.(type) {
	case object:
		return p.object(v, at)
	case []any:
		return p.list(v, at)
	}
	return element{{"$eq", []any{value}}}, p.count(1, at)
}

// object reads operators and members: all must hold.
func (p *parser) object(o object, at []string) (cond, error) {
	var list all
	var named members
	var tests element
	for _, m := range o {
		inner := below(at, m.name)
		if !m.isOperator() {
			c, err := p.cond(m.value, inner)
			if err != nil {
				return nil, err
			}
			named = append(named, field{m.name, c})
			continue
		}

		c, t, err := p.operator(m, inner)
		if err != nil {
			return nil, err
		}
		if c != nil {
			list = append(list, c)
		}
		if t != nil {
			tests = append(tests, *t)
		}
	}

	if tests != nil {
		list = append(list, tests)
	}
	if named != nil {
		list = append(list, named)
	}
	if len(list) == 0 {
		return nil, &Error{at, "has no condition"}
	}
	return list.simplest(), nil
}

// list reads an array: an array that has each of its values.
func (p *parser) list(values []any, at []string) (cond, error) {
	if len(values) == 0 {
		return nil, &Error{at, "has no value"}
	}

	list := all{isArray{}}
	for _, value := range values {
		o, ok := value.(object)
		if _, nested := value.([]any); nested || ok && slices.ContainsFunc(o, member.isOperator) {
			return nil, &Error{at, "must be a list of plain values, and of objects without operators"}
		}
		c, err := p.cond(value, at)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// operator reads one: what it is a condition of, or what an element must be, together with the others.
func (p *parser) operator(m member, at []string) (cond, *test, error) {
	switch m.name {
	case "$or", "$and", "$not":
		c, err := p.combine(m, at, p.cond)
		return c, nil, err
	case "$exist":
		is, ok := m.value.(bool)
		if !ok {
			return nil, nil, &Error{at, "must be true or false"}
		}
		if is {
			return present{true}, nil, p.count(1, at)
		}
		return exists(false), nil, p.count(1, at)

	case "$eq", "$neq":
		t, err := p.plain(member{"$eq", m.value}, at, isPlain, "must be a text, a number, true, false or null")
		return negated(m.name == "$neq", t), unless(m.name == "$neq", t), err
	case "$gt", "$gte", "$lt", "$lte":
		t, err := p.plain(m, at, isOrdered, "must be a text or a number")
		return nil, t, err
	case "$startsWith", "$endsWith":
		t, err := p.plains(m, at, isText, "must be a text that is not empty, or a list of such")
		return nil, t, err

	case "$in", "$nin":
		if text, is := m.value.(string); is {
			c := contains(text)
			if text == "" {
				return nil, nil, &Error{at, "must not be an empty text, which every text contains"}
			}
			if m.name == "$nin" {
				return all{exists(true), not{c}}, nil, p.count(2, at)
			}
			return c, nil, p.count(2, at)
		}
		t, err := p.plains(member{"$eq", m.value}, at, isPlain, "must be a list of plain values, or one")
		return negated(m.name == "$nin", t), unless(m.name == "$nin", t), err
	}
	return nil, nil, &Error{at[:len(at)-1], "has an unknown operator; known are " + known}
}

// negated returns the condition that there is a value, and it fails the test.
func negated(is bool, t *test) cond {
	if !is || t == nil {
		return nil
	}
	return all{exists(true), not{element{*t}}}
}

func unless(is bool, t *test) *test {
	if is {
		return nil
	}
	return t
}

// combine reads $or, $and and $not, whose operands are read by read.
func (p *parser) combine(m member, at []string, read func(any, []string) (cond, error)) (cond, error) {
	if m.name == "$not" {
		c, err := read(m.value, at)
		if err != nil {
			return nil, err
		}
		return not{c}, nil
	}

	values, ok := m.value.([]any)
	if !ok || len(values) == 0 {
		return nil, &Error{at, "must be a list of conditions"}
	}
	list := make([]cond, len(values))
	for i, value := range values {
		var err error
		if list[i], err = read(value, at); err != nil {
			return nil, err
		}
	}
	if m.name == "$or" {
		return anyOf(list), nil
	}
	return all(list), nil
}

// plain reads an operator with one value.
func (p *parser) plain(m member, at []string, is func(any) bool, rule string) (*test, error) {
	if !is(m.value) {
		return nil, &Error{at, rule}
	}
	return &test{m.name, []any{m.value}}, p.count(1, at)
}

// plains reads an operator with one value, or a list of which one is enough.
func (p *parser) plains(m member, at []string, is func(any) bool, rule string) (*test, error) {
	values, ok := m.value.([]any)
	if !ok {
		values = []any{m.value}
	}
	if len(values) == 0 || slices.ContainsFunc(values, func(v any) bool { return !is(v) }) {
		return nil, &Error{at, rule}
	}
	return &test{m.name, values}, p.count(len(values), at)
}

func (p *parser) count(n int, at []string) error {
	if p.predicates += n; p.predicates > MaxPredicates {
		return &Error{at, fmt.Sprintf("is one too many: a filter has at most %d comparisons, each value of a list being one",
			MaxPredicates)}
	}
	return nil
}

func isPlain(value any) bool {
	switch value.(type) {
	case object, []any:
		return false
	}
	return true
}

func isOrdered(value any) bool {
	_, number := value.(json.Number)
	_, text := value.(string)
	return number || text
}

func isText(value any) bool {
	text, ok := value.(string)
	return ok && text != ""
}
