package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// pageSize is how many items a list asks for at once: the API's maximum.
const pageSize = 200

// maxAnswerBytes bounds what is read of an answer. The largest is a page of 200 endpoints of up to 50 KiB.
const maxAnswerBytes = 64 << 20

// apiFlags say where the API is, and how to print.
type apiFlags struct {
	URL     string        `name:"url" env:"OUTHOOK_URL" default:"http://127.0.0.1:8080" help:"The address of the API."`
	APIKey  string        `name:"api-key" env:"OUTHOOK_API_KEY" secret:"" help:"The key for the API."`
	Timeout time.Duration `default:"60s" help:"How long to wait for an answer."`
	JSON    bool          `name:"json" help:"Print the API's JSON: an object, or one object a line for lists."`
}

// apiError is an answer of the API that is no success.
type apiError struct {
	Status int
	Detail string
	Errors []struct {
		Location string
		Message  string
	}
}

// Error says what the API said, with what to do about it.
func (e *apiError) Error() string {
	var b strings.Builder
	switch e.Status {
	case http.StatusUnauthorized:
		return "the API key is not valid there: check OUTHOOK_API_KEY and OUTHOOK_URL (`outhook keys create` makes a key)"
	case http.StatusForbidden:
		b.WriteString("the API key may not do this: ")
	}

	b.WriteString(e.Detail)
	for _, d := range e.Errors {
		fmt.Fprintf(&b, "\n  %s %s", strings.TrimPrefix(strings.TrimPrefix(d.Location, "body."), "query."), d.Message)
	}
	return b.String()
}

// client speaks with the API.
type client struct {
	flags apiFlags
	base  *url.URL
	http  *http.Client
}

// client returns a client for the flags.
func (f apiFlags) client() (*client, error) {
	base, err := url.Parse(strings.TrimRight(f.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, usageError{errors.New("OUTHOOK_URL is not valid: it must look like https://outhook.example.com")}
	}

	if f.APIKey == "" {
		return nil, &keyError{}
	}

	// A redirect would repeat the request, and might take the key somewhere else.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{flags: f, base: base, http: &http.Client{Timeout: f.Timeout, CheckRedirect: stay}}, nil
}

// keyError is a missing API key.
type keyError struct{}

// Error says what to set.
func (*keyError) Error() string {
	return "no API key: set OUTHOOK_API_KEY (or --api-key); `outhook dev` prints its own, `outhook keys create` makes one"
}

// call sends a request and returns the answer's body. body is sent as it is; nil: none.
func (c *client) call(ctx context.Context, method, path string, query url.Values, body []byte,
) (json.RawMessage, error) {
	target := c.base.JoinPath(path)
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}

	req.Header.Set("Authorization", "Bearer "+c.flags.APIKey)
	req.Header.Set("User-Agent", "outhook-cli/"+version())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer res.Body.Close()

	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}

	if res.StatusCode/100 != 2 {
		return nil, c.refusal(res, answer)
	}

	if len(answer) > 0 && !json.Valid(answer) {
		return nil, unreachableError{fmt.Errorf("%s answers, but not as Outhook's API: check OUTHOOK_URL", c.base.Redacted())}
	}

	return answer, nil
}

func (c *client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}

	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err // which leaves out the whole URL
	}

	return unreachableError{
		fmt.Errorf("no answer from %s: %w (set OUTHOOK_URL if the API is elsewhere)", c.base.Redacted(), err),
	}
}

func (c *client) refusal(res *http.Response, answer []byte) error {
	problem := &apiError{}
	if err := json.Unmarshal(answer, problem); err != nil || problem.Detail == "" {
		problem.Detail = fmt.Sprintf("%s answered %d %s, and not as Outhook's API: check OUTHOOK_URL",
			c.base.Redacted(), res.StatusCode, http.StatusText(res.StatusCode))
	}

	problem.Status = res.StatusCode
	return problem
}

// get sends a GET request and decodes the answer too.
func get[T any](ctx context.Context, c *client, path string, query url.Values) (raw json.RawMessage, v T, err error) {
	if raw, err = c.call(ctx, http.MethodGet, path, query, nil); err != nil {
		return nil, v, err
	}
	return raw, v, decode(raw, &v)
}

func decode(raw json.RawMessage, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	return nil
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

func (f timeFlags) add(query url.Values) {
	set(query, "since", f.Since.text())
	set(query, "until", f.Until.text())
}

// when is a time, or how long ago it was.
type when struct{ time.Time }

// UnmarshalText reads a time, a duration like 90m, or days like 7d.
func (w *when) UnmarshalText(text []byte) (err error) {
	s := string(text)
	if w.Time, err = time.Parse(time.RFC3339, s); err == nil {
		return nil
	}

	var ago time.Duration
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return errors.New("expected a time like 2026-01-02T15:04:05Z, or a duration like 90m or 7d")
		}
		ago = time.Duration(n) * 24 * time.Hour
	} else if ago, err = time.ParseDuration(s); err != nil || ago < 0 {
		return errors.New("expected a time like 2026-01-02T15:04:05Z, or a duration like 90m or 7d")
	}

	w.Time = time.Now().Add(-ago)
	return nil
}

func (w when) text() string {
	if w.IsZero() {
		return ""
	}
	return w.UTC().Format(time.RFC3339Nano)
}

// set sets a query parameter unless its value is empty.
func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

// list prints a list page by page. row makes a line of the table of an item.
func list[T any](
	c *command, f apiFlags, l listFlags, path string, query url.Values, header []string, row func(T) []string,
) error {
	limit := l.Limit
	if limit < 0 {
		return usageError{errors.New("--limit must be 0 or more")}
	}
	set(query, "order", l.Order)

	api, err := f.client()
	if err != nil {
		return err
	}

	out := newTable(c.stdout, header)
	for left := limit; ; {
		size := pageSize
		if limit > 0 {
			size = min(left, pageSize)
		}
		query.Set("limit", strconv.Itoa(size))

		_, page, err := get[struct {
			Items      []json.RawMessage `json:"items"`
			NextCursor *string           `json:"next_cursor"`
		}](c.ctx, api, path, query)
		if err != nil {
			return err
		}

		for _, raw := range page.Items {
			if err := printItem(c, f, out, raw, row); err != nil {
				return err
			}
		}
		if !f.JSON {
			out.flush()
		}

		left -= len(page.Items)
		if page.NextCursor == nil {
			return nil
		}

		if limit > 0 && left <= 0 {
			if !f.JSON {
				fmt.Fprintf(c.stderr, "there are more: --limit 0 prints all\n")
			}
			return nil
		}

		query.Set("cursor", *page.NextCursor)
	}
}

func printItem[T any](c *command, f apiFlags, out *table, raw json.RawMessage, row func(T) []string) error {
	if f.JSON {
		return printLine(c.stdout, raw)
	}

	var item T
	if err := decode(raw, &item); err != nil {
		return err
	}
	out.row(row(item)...)
	return nil
}
