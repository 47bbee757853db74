package svix

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/cursor"
	"github.com/outhook/outhook/internal/problem"
)

const (
	// Svix's sizes of pages, and the API's.
	usualLimit  = 50
	maxLimit    = 250
	maxAPILimit = 200

	// maxPages bounds how many of the API's pages one page is taken from, where what matches is rare. It is short then,
	// and not the last one.
	maxPages = 50
)

// pageOut is a page of a list.
type pageOut struct {
	Data     any     `json:"data"`
	Iterator *string `json:"iterator"`
	Prev     *string `json:"prevIterator,omitempty"`
	Done     bool    `json:"done"`
}

// span is which page is asked for: after a place, or before it.
type span struct {
	limit    int
	iterator string // without the - of one that leads back; "": none
	back     bool
}

func (v *visit) span() (span, error) {
	s := span{limit: usualLimit}
	if text := v.param("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return s, problem.Invalid("query.limit", "must be 1 to "+strconv.Itoa(maxLimit))
		}
		s.limit = n
	}
	s.iterator, s.back = strings.CutPrefix(v.param("iterator"), "-")
	return s, nil
}

func errIterator() error { return problem.Invalid("query.iterator", "is no iterator of this list") }

// errFull is what a translation returns for an item that the page has no room for.
var errFull = errors.New("the page is full")

// lister is a list of the API's.
type lister[T any] struct {
	path       string
	query      url.Values
	descending bool                     // as Svix has it
	ids        int                      // of a position
	position   func(T) []uuid.UUID      // of an item
	write      func([]uuid.UUID) string // the iterator of a position
	read       func(string) ([]uuid.UUID, bool)
	keep       func(T) bool // nil: all
}

// oneID makes it a list whose position is the id of an item.
func oneID[T any](prefix, path string, query url.Values, id func(T) string) lister[T] {
	return lister[T]{
		path: path, query: query, ids: 1,
		position: func(item T) []uuid.UUID { return []uuid.UUID{uuid.MustParse(id(item))} },
		write:    func(at []uuid.UUID) string { return encodeID(prefix, at[0][:]) },
		read: func(text string) ([]uuid.UUID, bool) {
			at, ok := parseID(prefix, text)
			return []uuid.UUID{at}, ok
		},
	}
}

// order has the list in the order that the query asks for.
func (l *lister[T]) order(v *visit, usual string) error {
	order := v.param("order")
	if order == "" {
		order = usual
	}
	if l.descending = order == "descending"; !l.descending && order != "ascending" {
		return problem.Invalid("query.order", "must be ascending or descending")
	}
	return nil
}

// page reads the page that a call asks for, and translates its items.
func page[T, O any](v *visit, l lister[T], translate func(T) (O, error)) error {
	s, err := v.span()
	if err != nil {
		return err
	}
	items, end, err := l.collect(v, s)
	if err != nil {
		return err
	}

	data := make([]O, 0, len(items))
	for i, item := range items {
		one, err := translate(item)
		if errors.Is(err, errFull) {
			items, end = items[:i], l.position(items[i-1])
			break
		}
		if err != nil {
			return err
		}
		data = append(data, one)
	}

	var first, last []uuid.UUID
	if len(items) > 0 {
		first, last = l.position(items[0]), l.position(items[len(items)-1])
	}
	if end != nil { // where the search was given up: at the last item, or behind it
		last = end
	}
	return replyPage(v, s, data, end == nil, l.iterator(first), l.iterator(last))
}

// iterator writes a position, nil for none.
func (l *lister[T]) iterator(at []uuid.UUID) *string {
	if at == nil {
		return nil
	}
	text := l.write(at)
	return &text
}

// replyPage answers with a page. data is in the order in which it was looked for, between first and last.
func replyPage[O any](v *visit, s span, data []O, done bool, first, last *string) error {
	if s.back {
		slices.Reverse(data)
		first, last = last, first
	}
	out := pageOut{Data: data, Iterator: last, Done: done}
	if first != nil {
		text := "-" + *first
		out.Prev = &text
	}
	return v.reply(http.StatusOK, out)
}

// want returns how many items to ask for to get so many. Of those that are filtered here, some are left out.
func (l *lister[T]) want(missing int) int {
	if l.keep != nil {
		return maxAPILimit
	}
	return missing
}

// collect asks for pages of the API's until it has what is asked for; end is where to go on, nil at the end.
func (l *lister[T]) collect(v *visit, s span) (items []T, end []uuid.UUID, err error) {
	query := url.Values{}
	maps.Copy(query, l.query)
	order := map[bool]string{false: "asc", true: "desc"}[l.descending != s.back]
	query.Set("order", order)
	list := cursor.Of(l.path, query, order)
	if s.iterator != "" {
		at, ok := l.read(s.iterator)
		if !ok {
			return nil, nil, errIterator()
		}
		query.Set("cursor", list.Encode(at...))
	}

	for range maxPages {
		var some struct {
			Items []T     `json:"items"`
			Next  *string `json:"next_cursor"`
		}
		query.Set("limit", strconv.Itoa(min(l.want(s.limit-len(items)), maxAPILimit)))
		if err := v.get(l.path, query, &some); err != nil {
			return nil, nil, err
		}

		for i, item := range some.Items {
			if l.keep != nil && !l.keep(item) {
				continue
			}
			items = append(items, item)
			if len(items) == s.limit && (i < len(some.Items)-1 || some.Next != nil) {
				return items, l.position(item), nil
			}
		}
		if some.Next == nil {
			return items, nil, nil
		}
		if end, err = list.Decode(*some.Next, l.ids); err != nil {
			return nil, nil, err
		}
		query.Set("cursor", *some.Next)
	}
	return items, end, nil
}
