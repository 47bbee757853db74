// Package client calls Outhook's HTTP API. It needs the standard library only.
//
// Begin with [New]. Each operation of the API is a method, named like it: [Client.CreateEvent], [Client.ListEndpoints],
// [Client.ReplayDelivery]. They and their types are generated from the API's OpenAPI document, which says what each
// member means (GET /docs of a running server). [All] goes through the pages of a list.
//
// What is refused is an [*Error], whose Code is one of docs/errors.md; where nothing answers, a [*NoAnswerError]; where
// something else does, a [*NotOuthookError]. Trouble that may pass is tried again: [WithRepeats] says what and how
// often.
//
// Two who change one endpoint at the same time do not undo each other's work if they say what they have seen: an
// [Endpoint] has its ETag, which [UpdateEndpointParams], [PutEndpointParams] and [DeleteEndpointParams] take as
// IfMatch. If somebody was faster, the change is refused with the status 412. A GET with IfNoneMatch returns
// [ErrNotModified] if nothing has changed.
//
// An application that enqueues in its own transaction needs package outhook instead: this one reports an event only
// after the change is committed, or before.
package client

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// DefaultTimeout is how long a call may take, with its repeats.
	DefaultTimeout = 60 * time.Second

	// DefaultRepeats is how often a request is repeated at most.
	DefaultRepeats = 3
)

var (
	// ErrInvalidAddress is what New returns for an address that is none of a server.
	ErrInvalidAddress = errors.New("outhook: the address is not valid: it must look like https://outhook.example.com")

	// ErrNoKey is what New returns without a key.
	ErrNoKey = errors.New("outhook: no API key: `outhook keys create` makes one")
)

// Client calls the API at one address with one key. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	key       string
	userAgent string
	timeout   time.Duration
	repeats   int
	http      *http.Client
}

// New returns a client. address is the API's, like https://outhook.example.com, and key an API key. Returns
// [ErrInvalidAddress] or [ErrNoKey].
func New(address, key string, options ...Option) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, ErrInvalidAddress
	}
	if key == "" {
		return nil, ErrNoKey
	}

	c := &Client{
		base: base, key: key, userAgent: "outhook-go", timeout: DefaultTimeout, repeats: DefaultRepeats, http: &http.Client{},
	}
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

// WithHTTPClient makes requests with a client of yours: its transport, and its timeout, which bounds each request that
// is sent, while [WithTimeout] bounds them together. Redirects are never followed.
func WithHTTPClient(hc *http.Client) Option { return func(c *Client) { c.http = hc } }

// WithUserAgent sets the User-Agent of requests.
func WithUserAgent(text string) Option { return func(c *Client) { c.userAgent = text } }

// WithTimeout bounds how long a call may take, with its repeats and the pauses before them. 0: no limit but the
// context's. Default: [DefaultTimeout].
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithRepeats sets how often a request is repeated at most; 0: never. Default: [DefaultRepeats].
//
// Repeated is what met trouble that may pass: no answer, whole or at all (refused, cut, none within 45 s, which is more
// than the server takes for any); the status 429, 502 or 503, also of a proxy; and idempotency_key_in_use, which says
// that the request before is under way yet. Before the first repeat the client waits 0.1 to 0.2 s, and twice as long
// before each further one; as long as Retry-After says, if that is longer. A Retry-After of more than 5 s, or a pause
// that would outlast [WithTimeout] or the context, is not waited for: the call returns what it got.
//
// Repeated are GET, HEAD, PUT, PATCH and DELETE, whose repetition changes nothing more, and each POST that has an
// Idempotency-Key: a method whose parameters have one draws it, unless it is given, so the change is made once
// (docs/idempotency.md). For an event that key is the event's own, kept as long as the event; if the answer to the
// first request was lost, the event that it stored comes back as a Duplicate.
//
// Never repeated are
//   - a change with IfMatch or IfNoneMatch: it may have been made, and would refuse its own repetition;
//   - a batch of events of which one has no IdempotencyKey, and an event or a batch whose body is given by [WithBody];
//   - a POST of [Client.Do] without the header Idempotency-Key;
//   - a call with [Once];
//   - what is answered with database_timeout: it asks for too much, and more of it would not be less.
//
// A DELETE that is repeated may be answered with not_found, because the first one has done it.
func WithRepeats(most int) Option { return func(c *Client) { c.repeats = most } }
