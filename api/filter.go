package api

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/problem"
)

// filters reads the parameters of a list, one after the other. err is the problem of the first that is wrong, so that
// it needs to be looked at once, after all.
type filters struct {
	key principal
	err error
}

func newFilters(ctx context.Context) filters { return filters{key: requestOf(ctx).key} }

func (f *filters) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// text returns nil for an absent text.
func (f *filters) text(at, value string) *string {
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		f.fail(problem.Invalid(at, "must be text: UTF-8 without NUL"))
	}
	return textOrNull(value)
}

// eventType returns the type that is asked for; of a pattern like invoice.* what the types below it begin with.
func (f *filters) eventType(value string) (exact, prefix *string) {
	below, isPattern := strings.CutSuffix(value, "*")
	if !isPattern {
		return f.text("query.type", value), nil
	}
	if !eventTypePattern.MatchString(value) {
		f.fail(problem.Invalid("query.type", "must be a type like invoice.paid, or invoice.* for each type below invoice"))
	}
	return nil, &below
}

// id returns nil for an absent id.
func (f *filters) id(at, value string) *uuid.UUID {
	if value == "" {
		return nil
	}
	id, err := uuid.Parse(value)
	if err != nil {
		f.fail(problem.Invalid(at, "must be a UUID"))
	}
	return &id
}

// ids returns nil for an absent list.
func (f *filters) ids(at string, values []string) (ids []uuid.UUID) {
	for _, value := range values {
		if id := f.id(at, value); id != nil {
			ids = append(ids, *id)
		}
	}
	return ids
}

// tenant returns the tenant whose objects a list shows, nil for all. A key that is bound to another one gets an empty
// list: the tenant "" has no objects, since nothing can be made for it.
func (f *filters) tenant(value string) *string {
	asked := f.text("query.tenant_id", value)
	switch {
	case asked == nil:
		return f.key.tenant()
	case !f.key.sees(*asked):
		nobody := ""
		return &nobody
	}
	return asked
}
