package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrNotOuthook is what every [*NotOuthookError] is.
	ErrNotOuthook = errors.New("the answer is not one of Outhook's API")

	// ErrNotModified is the answer to a GET with IfNoneMatch: what you have is what there is.
	ErrNotModified = errors.New("it has not changed")
)

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

// NotOuthookError is an answer of another server, or of a proxy.
type NotOuthookError struct {
	// Address is the client's, without user name and password.
	Address string

	// Status is the answer's.
	Status int

	retryAfter time.Duration
}

// Error says who answered what.
func (e *NotOuthookError) Error() string {
	if e.Status/100 == 2 {
		return e.Address + " answers, but not as Outhook's API"
	}
	return fmt.Sprintf("%s answered %d %s, and not as Outhook's API", e.Address, e.Status, http.StatusText(e.Status))
}

// Is tells that it is an ErrNotOuthook.
func (e *NotOuthookError) Is(target error) bool { return target == ErrNotOuthook }

// NoAnswerError says that no answer came, or not all of it. Whether the request was carried out is not known.
type NoAnswerError struct {
	// Address is the client's, without user name and password.
	Address string

	// Err is why: the connection's error, without the URL, or the context's.
	Err error
}

// Error says where nobody answers, and why.
func (e *NoAnswerError) Error() string { return "no answer from " + e.Address + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *NoAnswerError) Unwrap() error { return e.Err }

// silence is the error of a request that was sent and not answered.
func (c *Client) silence(ctx context.Context, err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &NoAnswerError{Address: c.base.Redacted(), Err: err}
}

// judge returns the error of an answer, nil for a success.
func (c *Client) judge(a *Answer) error {
	switch {
	case a.Status == http.StatusNotModified:
		return ErrNotModified
	case a.Status/100 == 2 && (len(a.Body) == 0 || json.Valid(a.Body)):
		return nil
	}

	var wait time.Duration
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil {
		wait = time.Duration(seconds) * time.Second
	}

	refused := &Error{RetryAfter: wait}
	if a.Status/100 == 2 || json.Unmarshal(a.Body, &refused.Problem) != nil || refused.Code == "" {
		return &NotOuthookError{Address: c.base.Redacted(), Status: a.Status, retryAfter: wait}
	}
	refused.Status = a.Status
	return refused
}
