package api

import (
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// textOrNull returns nil for an empty text.
func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// numberOrNull returns nil for 0.
func numberOrNull(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return &n
}

// listOf returns an empty list for an absent one: to a query, null is no list.
func listOf(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

// moment is a time in a query. The zero value is none: the year 1 is a time like any other.
type moment struct{ at *time.Time }

// UnmarshalText reads a time.
func (m *moment) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return errors.New("must be a time like 2026-01-02T15:04:05Z")
	}
	m.at = &at
	return nil
}

// Schema is that of the OpenAPI document.
func (moment) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

// bound returns a bound of a list by time, nil for none. An id can't hold a time before 1970.
func bound(m moment) *time.Time {
	if m.at == nil {
		return nil
	}
	at := *m.at
	if epoch := time.Unix(0, 0); at.Before(epoch) {
		at = epoch
	}
	return &at
}
