package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"time"
)

const (
	// attemptTimeout is how long an answer is waited for while the request may be repeated. The server answers whatever it
	// takes within 40 s.
	attemptTimeout = 45 * time.Second

	// firstPause is the longest pause before the first repeat; it doubles with each.
	firstPause = 200 * time.Millisecond

	// maxRetryAfter is the longest Retry-After that is waited for: the server's for trouble that passes by itself.
	maxRetryAfter = 5 * time.Second

	codeKeyInUse        = "idempotency_key_in_use"
	codeDatabaseTimeout = "database_timeout"
)

// send sends a request, and repeats it as [WithRepeats] says.
func (c *Client) send(ctx context.Context, r *Request) (*Answer, error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.timeout, tooSlow(c.timeout))
		defer cancel()
	}

	repeats := c.repeatsOf(r)
	for n := 0; ; n++ {
		a, err := c.bounded(ctx, r, n < repeats)
		if a != nil && r.answer != nil {
			*r.answer = *a
		}

		wait, passes := pause(err, n)
		deadline, ends := ctx.Deadline()
		if !passes || n >= repeats || ends && time.Until(deadline) <= wait {
			return a, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, c.silence(ctx, err)
		}
	}
}

// bounded sends a request once, and waits for the answer to the end of the call only if nothing may follow.
func (c *Client) bounded(ctx context.Context, r *Request, more bool) (*Answer, error) {
	if !more {
		return c.attempt(ctx, r)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, tooSlow(attemptTimeout))
	defer cancel()
	return c.attempt(ctx, r)
}

func tooSlow(d time.Duration) error {
	return fmt.Errorf("none came within %s: %w", d, context.DeadlineExceeded)
}

// repeatsOf returns how often a request may be repeated, and draws the key that it needs for that.
func (c *Client) repeatsOf(r *Request) int {
	if r.once || c.repeats <= 0 {
		return 0
	}

	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return c.repeats
	case http.MethodPut, http.MethodPatch, http.MethodDelete:
		if r.Header.Get("If-Match") == "" && r.Header.Get("If-None-Match") == "" {
			return c.repeats
		}
		return 0
	}

	if r.takesKey && !r.keyed && r.Header.Get(keyHeader) == "" {
		r.Header.Set(keyHeader, rand.Text())
	}
	if r.keyed || r.Header.Get(keyHeader) != "" {
		return c.repeats
	}
	return 0
}

// pause returns how long to wait before a request is repeated for the n-th time, from 0, and whether its trouble may
// pass.
func pause(err error, n int) (wait time.Duration, passes bool) {
	var refused *Error
	var strange *NotOuthookError
	var silent *NoAnswerError
	var retryAfter time.Duration

	switch {
	case errors.As(err, &silent):
		passes = true
	case errors.As(err, &refused):
		passes = statusPasses(refused.Status) && refused.Code != codeDatabaseTimeout || refused.Code == codeKeyInUse
		retryAfter = refused.RetryAfter
	case errors.As(err, &strange):
		passes, retryAfter = statusPasses(strange.Status), strange.retryAfter
	}

	longest := firstPause << min(n, 10)      // three minutes: more is no pause
	wait = longest/2 + mathrand.N(longest/2) //nolint:gosec // it keeps no secret
	return max(wait, retryAfter), passes && retryAfter <= maxRetryAfter
}

func statusPasses(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable:
		return true
	}
	return false
}
