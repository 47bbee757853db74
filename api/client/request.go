package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
)

const (
	// maxAnswerBytes bounds what is read of an answer. The largest is a page of 200 endpoints of up to 50 KiB.
	maxAnswerBytes = 64 << 20

	keyHeader = "Idempotency-Key"
)

// Request is one that has no method of its own.
type Request struct {
	Method string
	Path   string // below the address, escaped: /api/events
	Query  url.Values
	Header http.Header
	Body   []byte // JSON. nil: none

	takesKey bool // an operation with an Idempotency-Key, which is drawn if none is given
	keyed    bool // the keys are in the body: of events
	once     bool
	answer   *Answer
}

// CallOption changes one call.
type CallOption func(*Request)

// Answer is an answer as it came.
type Answer struct {
	Status int
	Header http.Header // X-Request-Id, ETag, Location, Idempotent-Replayed and the like
	Body   json.RawMessage
}

// WithAnswer writes the last answer to a, also that of a refusal, before the call returns. If none came, a stays as it
// is.
func WithAnswer(a *Answer) CallOption { return func(r *Request) { r.answer = a } }

// WithBody sends this JSON in the place of the call's body: for members that this package does not know.
func WithBody(data []byte) CallOption { return func(r *Request) { r.Body = data } }

// Once sends the request once, whatever comes of it, and draws no key for it.
func Once() CallOption { return func(r *Request) { r.once = true } }

// Do sends a request and returns the answer's body. Its errors are those of the methods.
func (c *Client) Do(ctx context.Context, r Request, options ...CallOption) (json.RawMessage, error) {
	for _, option := range options {
		option(&r)
	}

	a, err := c.send(ctx, &r)
	if err != nil {
		return nil, err
	}
	return a.Body, nil
}

// call sends a request and decodes the answer. in is the body, nil for none.
func call[T any](ctx context.Context, c *Client, r Request, in any, options []CallOption) (*T, error) {
	for _, option := range options {
		option(&r)
	}
	if err := r.put(in); err != nil {
		return nil, fmt.Errorf("encoding the body: %w", err)
	}

	a, err := c.send(ctx, &r)
	if err != nil {
		return nil, err
	}

	out := new(T)
	if len(a.Body) > 0 && json.Unmarshal(a.Body, out) != nil {
		return nil, &NotOuthookError{Address: c.base.Redacted(), Status: a.Status}
	}
	if tagged, ok := any(out).(interface{ setETag(tag string) }); ok {
		tagged.setETag(a.Header.Get("ETag"))
	}
	return out, nil
}

// attempt sends a request once. The answer is there with the error of a refusal, too.
func (c *Client) attempt(ctx context.Context, r *Request) (*Answer, error) {
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
		return nil, c.silence(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()

	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return nil, c.silence(ctx, err)
	}
	a := &Answer{Status: res.StatusCode, Header: res.Header, Body: body}
	return a, c.judge(a)
}
