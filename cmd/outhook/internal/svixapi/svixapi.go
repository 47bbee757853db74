// Package svixapi reads what a server of Svix has, by the calls of its REST API that moving to Outhook needs.
//
// Begin with [New]. Lists are iterators over all their pages; what a server has not is the zero value.
package svixapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// path is where the calls are, behind a server's URL.
	path = "/api/v1"

	// pageSize is Svix's most.
	pageSize = "250"

	// maxAnswerBytes bounds what is read of an answer: 250 endpoints with 4 KiB of metadata each, many times over.
	maxAnswerBytes = 32 << 20

	// maxTries is how often a request is sent: Svix limits how many a token may send.
	maxTries = 6

	// maxWait bounds what a server may ask to wait.
	maxWait = time.Minute
)

// ErrInvalidAddress is what New returns for an address that is none of a server.
var ErrInvalidAddress = errors.New("svix: the address is not valid: it must look like https://api.eu.svix.com")

// Client reads from one server. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client of the server at an address, like https://api.eu.svix.com, for a token. timeout is for one
// answer. Returns ErrInvalidAddress.
func New(address, token string, timeout time.Duration) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, ErrInvalidAddress
	}
	return &Client{base: base.String() + path, token: token, http: &http.Client{
		Timeout: timeout,
		// A redirect might take the token somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Error is what a server has refused.
type Error struct {
	Status int
	Path   string
	Detail string
}

// Error says what was refused, and why.
func (e *Error) Error() string {
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
		return "Svix refuses the token: " + e.Detail
	}
	return fmt.Sprintf("Svix answers %d to GET %s: %s", e.Status, e.Path, e.Detail)
}

// get reads what is at a path. What may pass is tried again.
func (c *Client) get(ctx context.Context, at string, query url.Values, out any) error {
	for try := 1; ; try++ {
		wait, err := c.try(ctx, at, query, out)
		if err == nil || wait < 0 || try == maxTries {
			return err
		}

		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// try sends a request once. wait is after how long to send it again, negative for not at all.
func (c *Client) try(ctx context.Context, at string, query url.Values, out any) (wait time.Duration, err error) {
	target := c.base + at
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return -1, fmt.Errorf("making a request: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)

	res, err := c.http.Do(r)
	if err != nil {
		return time.Second, fmt.Errorf("asking Svix: %w", err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return time.Second, fmt.Errorf("reading Svix's answer: %w", err)
	}

	if res.StatusCode != http.StatusOK {
		return again(res), &Error{Status: res.StatusCode, Path: at, Detail: detail(data)}
	}
	if err := json.Unmarshal(data, out); err != nil {
		return -1, fmt.Errorf("reading Svix's answer to GET %s: %w", at, err)
	}
	return -1, nil
}

// again returns after how long an answer that is no success may be another one.
func again(res *http.Response) time.Duration {
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode < http.StatusInternalServerError {
		return -1
	}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n >= 0 {
		return min(time.Duration(n)*time.Second, maxWait)
	}
	return time.Second
}

// detail returns what a refusal says.
func detail(data []byte) string {
	var refusal struct {
		Detail json.RawMessage `json:"detail"`
	}
	var text string
	if json.Unmarshal(data, &refusal) != nil || len(refusal.Detail) == 0 {
		return "it says nothing more"
	}
	if json.Unmarshal(refusal.Detail, &text) != nil {
		return string(refusal.Detail)
	}
	return text
}

// isAbsent tells whether a server has no such thing, or no such call.
func isAbsent(err error) bool {
	refused, ok := errors.AsType[*Error](err)
	return ok && refused.Status == http.StatusNotFound
}

// all goes through the pages of a list, from the one after an item; "": from the first.
func all[T any](ctx context.Context, c *Client, at, after string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query.Set("limit", pageSize)
		for {
			if after != "" {
				query.Set("iterator", after)
			}
			var page struct {
				Data     []T     `json:"data"`
				Iterator *string `json:"iterator"`
				Done     bool    `json:"done"`
			}
			if err := c.get(ctx, at, query, &page); err != nil {
				var none T
				yield(none, err)
				return
			}

			for _, item := range page.Data {
				if !yield(item, nil) {
					return
				}
			}
			if page.Done || page.Iterator == nil || *page.Iterator == after {
				return
			}
			after = *page.Iterator
		}
	}
}
