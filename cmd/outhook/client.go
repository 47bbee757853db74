package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
)

// pageSize is how many items a list asks for at once: the API's maximum.
const pageSize = 200

// apiFlags say where the API is, and how to print.
type apiFlags struct {
	URL     string        `name:"url" env:"OUTHOOK_URL" default:"http://127.0.0.1:8080" help:"The address of the API."`
	APIKey  string        `name:"api-key" env:"OUTHOOK_API_KEY" secret:"" help:"The key for the API."`
	Timeout time.Duration `default:"60s" help:"How long to wait for an answer, with what is tried again."`
	JSON    bool          `name:"json" help:"Print the API's JSON: an object, or one object a line for lists."`
}

// client returns a client for the flags.
func (f apiFlags) client() (*client.Client, error) {
	api, err := client.New(f.URL, f.APIKey, client.WithTimeout(f.Timeout), client.WithUserAgent("outhook-cli/"+version()))
	switch {
	case errors.Is(err, client.ErrNoKey):
		return nil, &keyError{}
	case err != nil:
		return nil, usageError{errors.New("OUTHOOK_URL is not valid: it must look like https://outhook.example.com")}
	}
	return api, nil
}

// keyError is a missing API key.
type keyError struct{}

// Error says what to set.
func (*keyError) Error() string {
	return "no API key: set OUTHOOK_API_KEY (or --api-key); `outhook dev` prints its own, `outhook keys create` makes one"
}

// refusedError is a refusal of the API.
type refusedError struct{ refusal *client.Error }

// Error says what the API said, with what to do about it here.
func (e *refusedError) Error() string {
	var b strings.Builder
	switch e.refusal.Status {
	case http.StatusUnauthorized:
		return "the API key is not valid there: check OUTHOOK_API_KEY and OUTHOOK_URL (`outhook keys create` makes a key)"
	case http.StatusForbidden:
		b.WriteString("the API key may not do this: ")
	}

	b.WriteString(e.refusal.Detail)
	for _, d := range e.refusal.Errors {
		fmt.Fprintf(&b, "\n  %s %s", strings.TrimPrefix(strings.TrimPrefix(d.Location, "body."), "query."), d.Message)
	}
	return b.String()
}

// Unwrap returns the client's error.
func (e *refusedError) Unwrap() error { return e.refusal }

// explained is an error of a call with what to do about it.
func explained(ctx context.Context, err error) error {
	var refused *client.Error
	var silent *client.NoAnswerError

	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused):
		return &refusedError{refused}
	case errors.Is(err, client.ErrNotOuthook):
		return fmt.Errorf("%w: check OUTHOOK_URL", err)
	case errors.As(err, &silent):
		return fmt.Errorf("%w (set OUTHOOK_URL if the API is elsewhere)", err)
	}
	return err
}

// ask calls the API and shows what it answers.
func ask[T any](
	c *command, f apiFlags, call func(*client.Client, client.CallOption) (*T, error), people func(io.Writer, *T),
) (*T, error) {
	api, err := f.client()
	if err != nil {
		return nil, err
	}

	var a client.Answer
	v, err := call(api, client.WithAnswer(&a))
	if err != nil {
		return nil, explained(c.ctx, err)
	}
	show(c, f, a.Body, v, people)
	return v, nil
}

// listFlags say how much of a list to print, and in which order.
type listFlags struct {
	Limit int    `default:"50" help:"The most items to print; 0: all."`
	Order string `enum:"asc,desc," default:"" help:"By time: asc begins with the oldest, desc with the newest."`
}

// timeFlags narrow a list by time.
type timeFlags struct {
	Since when `help:"Only of this time or later: a time like 2026-01-02T15:04:05Z, or how long ago, like 90m or 7d."`
	Until when `help:"Only before this time, in the same forms."`
}

// when is a time, or how long ago it was.
type when struct{ time.Time }

// UnmarshalText reads a time, a duration like 90m, or days like 7d.
func (w *when) UnmarshalText(text []byte) (err error) {
	w.Time, err = momentOf(string(text), -1)
	return err
}

// orNil returns nil for what was not given.
func (w when) orNil() *time.Time { return timeOrNil(w.Time) }

// ahead is a time, or how far ahead it is.
type ahead struct{ time.Time }

// UnmarshalText reads what when does, of the future.
func (a *ahead) UnmarshalText(text []byte) (err error) {
	a.Time, err = momentOf(string(text), 1)
	return err
}

// momentOf reads a time, or a duration in a direction from now.
func momentOf(s string, direction time.Duration) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}

	wrong := errors.New("expected a time like 2026-01-02T15:04:05Z, or a duration like 90m or 7d")
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return time.Time{}, wrong
		}
		return time.Now().UTC().Add(direction * time.Duration(n) * 24 * time.Hour), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, wrong
	}
	return time.Now().UTC().Add(direction * d), nil
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// textOrNil returns nil for a text that was not given.
func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// page returns a page of a list.
type page[T any] func(limit int, cursor string, options ...client.CallOption) (*client.Page[T], error)

// eachPage calls do with each page of a list, and with its items as they came. do returns how many the next one may
// have; 0: it wants none.
func eachPage[T any](
	c *command, list page[T], size int, do func(items []T, raw []json.RawMessage) (next int, err error),
) (more bool, err error) {
	for cursor := ""; ; {
		var a client.Answer
		found, err := list(size, cursor, client.WithAnswer(&a))
		if err != nil {
			return false, explained(c.ctx, err)
		}

		raw, err := rawItems(a.Body)
		if err != nil {
			return false, err
		}
		if size, err = do(found.Items, raw); err != nil || found.NextCursor == nil {
			return false, err
		}
		if size == 0 {
			return true, nil
		}
		cursor = *found.NextCursor
	}
}

// rawItems returns the items of a page as they came.
func rawItems(body json.RawMessage) ([]json.RawMessage, error) {
	var raw struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, fmt.Errorf("reading the API's answer: %w", err)
	}
	return raw.Items, nil
}

// list prints a list. row makes a line of the table of an item.
func list[T any](c *command, f apiFlags, l listFlags, header []string, row func(T) []string, items page[T]) error {
	if l.Limit < 0 {
		return usageError{errors.New("--limit must be 0 or more")}
	}

	left := l.Limit
	next := func() int {
		if l.Limit == 0 {
			return pageSize
		}
		return min(max(left, 0), pageSize)
	}

	out := newTable(c.stdout, header)
	more, err := eachPage(c, items, next(), func(items []T, raw []json.RawMessage) (int, error) {
		for i, item := range items {
			if !f.JSON {
				out.row(row(item)...)
			} else if err := printLine(c.stdout, raw[i]); err != nil {
				return 0, err
			}
		}
		if !f.JSON {
			out.flush()
		}
		left -= len(items)
		return next(), nil
	})

	if more && !f.JSON {
		fmt.Fprintf(c.stderr, "there are more: --limit 0 prints all\n")
	}
	return err
}
