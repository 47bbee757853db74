// Package client calls Outhook's HTTP API. It needs the standard library only.
//
// Begin with [New]. Each operation of the API is a method, named like it: [Client.CreateEvent], [Client.ListEndpoints],
// [Client.ReplayDelivery]. They and their types are generated from the API's OpenAPI document, which says what each
// member means (GET /docs of a running server). An answer that is an error is an [*Error], whose Code is one of
// docs/errors.md. [All] goes through the pages of a list.
//
// An application that enqueues in its own transaction needs package outhook instead: this one reports an event only
// after the change is committed, or before.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTimeout is how long a request may take, unless the HTTP client says otherwise.
	DefaultTimeout = 60 * time.Second

	// maxAnswerBytes bounds what is read of an answer. The largest is a page of 200 endpoints of up to 50 KiB.
	maxAnswerBytes = 64 << 20
)

// ErrNotOuthook is an answer that is not one of Outhook's API: the address is another server's, or a proxy's.
var ErrNotOuthook = errors.New("the answer is not one of Outhook's API")

// Error is an answer of the API that is no success: an RFC 9457 problem.
type Error struct {
	Problem

	// RetryAfter is after how long to repeat the request. 0: the API did not say.
	RetryAfter time.Duration
}

// Error says what the API said, with what to do about it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Detail)
	for _, d := range e.Errors {
		fmt.Fprintf(&b, "; %s %s", d.Location, d.Message)
	}
	return b.String()
}

// Client calls the API at one address with one key. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	key       string
	userAgent string
	http      *http.Client
}

// New returns a client. address is the API's, like https://outhook.example.com, and key an API key.
func New(address, key string, options ...Option) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, errors.New("outhook: the address is not valid: it must look like https://outhook.example.com")
	}
	if key == "" {
		return nil, errors.New("outhook: no API key: `outhook keys create` makes one")
	}

	c := &Client{base: base, key: key, userAgent: "outhook-go", http: &http.Client{Timeout: DefaultTimeout}}
	for _, option := range options {
		option(c)
	}

	// A redirect would repeat the request, and might take the key somewhere else.
	stay := *c.http
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &stay
	return c, nil
}

// Option changes a client that New makes.
type Option func(*Client)

// WithHTTPClient makes requests with a client of yours: its timeout, its transport. Redirects are never followed.
func WithHTTPClient(hc *http.Client) Option { return func(c *Client) { c.http = hc } }

// WithUserAgent sets the User-Agent of requests.
func WithUserAgent(text string) Option { return func(c *Client) { c.userAgent = text } }

// Request is one that has no method of its own.
type Request struct {
	Method string
	Path   string // below the address, escaped: /api/events
	Query  url.Values
	Header http.Header
	Body   []byte // JSON. nil: none
}

// Do sends a request and returns the answer's body. Its error is an [*Error] if the API refuses the request,
// [ErrNotOuthook] if something else answers, and else that of the connection, without the URL.
func (c *Client) Do(ctx context.Context, r Request) (json.RawMessage, error) {
	target := c.base.String() + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}

	maps.Copy(req.Header, r.Header)
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("User-Agent", c.userAgent)
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	res, err := c.http.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer func() { _ = res.Body.Close() }()

	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	switch {
	case err != nil:
		return nil, withoutURL(err)
	case res.StatusCode/100 != 2:
		return nil, refusal(res, body)
	case len(body) > 0 && !json.Valid(body):
		return nil, fmt.Errorf("%w: it is no JSON", ErrNotOuthook)
	}
	return body, nil
}

// withoutURL drops the URL that errors of requests have.
func withoutURL(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	return fmt.Errorf("calling the API: %w", err)
}

func refusal(res *http.Response, body []byte) error {
	e := &Error{}
	if err := json.Unmarshal(body, &e.Problem); err != nil || e.Code == "" {
		return fmt.Errorf("%w: it has the status %d", ErrNotOuthook, res.StatusCode)
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// call sends a request and decodes the answer. in is the body, nil for none.
func call[T any](ctx context.Context, c *Client, r Request, in any) (*T, error) {
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encoding the body: %w", err)
		}
		r.Body = body
	}

	answer, err := c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	out := new(T)
	if len(answer) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOuthook, err)
	}
	return out, nil
}

// Page is a page of a list.
type Page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// All goes through a list, page by page: list is called with "" and then with the cursor of each next page. It ends
// with an error, with the zero value, if a page can't be had.
//
//	for event, err := range client.All(func(cursor string) (*client.Page[client.Event], error) {
//		return c.ListEvents(ctx, client.ListEventsParams{Cursor: cursor})
//	}) {
func All[T any](list func(cursor string) (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			page, err := list(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}

			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == nil {
				return
			}
			cursor = *page.NextCursor
		}
	}
}

// Change is a member of a body that changes an object: one that is not given stays as it is.
type Change[T any] struct {
	value *T
	given bool
}

// Set sets a member to a value.
func Set[T any](v T) Change[T] { return Change[T]{value: &v, given: true} }

// Reset sets a member to null: back to its default.
func Reset[T any]() Change[T] { return Change[T]{given: true} }

// IsZero tells encoding/json whether to leave the member out.
func (c Change[T]) IsZero() bool { return !c.given }

// MarshalJSON encodes the value, or null.
func (c Change[T]) MarshalJSON() ([]byte, error) { return json.Marshal(c.value) }
