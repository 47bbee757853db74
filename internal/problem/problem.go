// Package problem is the answer to a request that failed: an RFC 9457 problem, which says what is wrong and what to do.
// It never repeats the request's input.
//
// Begin with [Error], which [New], [Invalid], [Unavailable] and [TooMany] make. [Faults] collects what is wrong with a
// body, place by place. Which error gets which problem is decided where requests are answered: in package api.
package problem

import (
	"net/http"
	"strconv"
)

const (
	// MediaType is the content type of a problem.
	MediaType = "application/problem+json"

	// InvalidRequest is the detail of a request that can be read but breaks a rule. Its Errors say which.
	InvalidRequest = "the request is invalid"
)

// Error is an RFC 9457 problem: the body of every answer that is an error.
type Error struct {
	Type   string   `json:"type,omitempty" format:"uri-reference" doc:"What kind of problem it is. Absent: the status says it all (about:blank)."`
	Title  string   `json:"title" example:"Unprocessable Entity" doc:"The status in words."`
	Status int      `json:"status" example:"422" doc:"The HTTP status."`
	Detail string   `json:"detail" example:"the request is invalid" doc:"What is wrong and what to do."`
	Errors []Detail `json:"errors,omitempty" nullable:"false" doc:"What is wrong with the request, place by place."`

	// retryAfter is the Retry-After header in seconds, if not 0.
	retryAfter int
}

// Detail is one thing that is wrong with a request.
type Detail struct {
	Location string `json:"location" example:"body.events[3].type" doc:"Where: a path that begins with body, path, query or header."`
	Message  string `json:"message" example:"is required" doc:"What is wrong there. It never repeats the value."`
}

// New returns the problem of a status. text says what is wrong and what to do.
func New(status int, text string, details ...Detail) *Error {
	return &Error{Title: http.StatusText(status), Status: status, Detail: text, Errors: details}
}

// Invalid is the problem of a request that can be read but breaks a rule in one place.
func Invalid(location, message string) *Error {
	return New(http.StatusUnprocessableEntity, InvalidRequest, Detail{Location: location, Message: message})
}

// Unavailable is the problem of a request that may succeed later. retryAfter is in seconds.
func Unavailable(text string, retryAfter int) *Error {
	p := New(http.StatusServiceUnavailable, text)
	p.retryAfter = retryAfter
	return p
}

// TooMany is the problem of a client that has sent too many requests. retryAfter is in seconds.
func TooMany(text string, retryAfter int) *Error {
	p := New(http.StatusTooManyRequests, text)
	p.retryAfter = retryAfter
	return p
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (p *Error) SchemaName() string { return "Problem" }

// Error returns the detail.
func (p *Error) Error() string { return p.Detail }

// GetStatus tells huma the HTTP status.
func (p *Error) GetStatus() int { return p.Status }

// GetHeaders tells huma the headers that belong to the problem.
func (p *Error) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	return h
}

// ContentType tells huma the media type.
func (p *Error) ContentType(string) string { return MediaType }
