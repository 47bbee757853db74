package main

import (
	"slices"
	"time"
)

// span is a time, from one moment to another.
type span struct{ from, to time.Time }

func (s span) length() time.Duration { return max(0, s.to.Sub(s.from)) }

// overlaps tells whether two spans have a moment in common.
func (s span) overlaps(o span) bool { return s.from.Before(o.to) && o.from.Before(s.to) }

// spans are disjoint, in order of time.
type spans []span

// join returns the times that any of them covers.
func join(list ...span) spans {
	list = slices.DeleteFunc(slices.Clone(list), func(s span) bool { return s.length() == 0 })
	slices.SortFunc(list, func(a, b span) int { return a.from.Compare(b.from) })

	var joined spans
	for _, s := range list {
		if last := len(joined) - 1; last >= 0 && !s.from.After(joined[last].to) {
			joined[last].to = later(joined[last].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// both returns the times that two cover.
func (s spans) both(o spans) spans {
	var common spans
	for i, j := 0, 0; i < len(s) && j < len(o); {
		if c := (span{later(s[i].from, o[j].from), earlier(s[i].to, o[j].to)}); c.length() > 0 {
			common = append(common, c)
		}
		if s[i].to.Before(o[j].to) {
			i++
		} else {
			j++
		}
	}
	return common
}

// during returns what of them falls into a span.
func (s spans) during(o span) spans {
	i, _ := slices.BinarySearchFunc(s, o.from, func(s span, t time.Time) int { return s.to.Compare(t) })
	j := i
	for j < len(s) && s[j].from.Before(o.to) {
		j++
	}
	return s[i:j].both(spans{o})
}

// length returns how long they are together.
func (s spans) length() (total time.Duration) {
	for _, one := range s {
		total += one.length()
	}
	return total
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
