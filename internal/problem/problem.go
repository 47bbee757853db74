// Package problem is the answer to a request that failed: an RFC 9457 problem, which says what is wrong and what to do.
// It never repeats the request's input.
//
// Begin with [Error], which [New], [Invalid] and [Later] make, and [Code], which names its kind for programs. [Faults]
// collects what is wrong with a body, place by place. Which error gets which problem is decided where requests are
// answered: in package api.
package problem

import (
	"net/http"
	"strconv"
)

// MediaType is the content type of a problem.
const MediaType = "application/problem+json"

// InvalidText is the detail of a request that can be read but breaks a rule. Its Errors say which.
const InvalidText = "the request is invalid"

// Error is an RFC 9457 problem: the body of every answer that is an error.
type Error struct {
	Type   string   `json:"type" format:"uri" example:"https://github.com/outhook/outhook/blob/main/docs/errors.md#invalid_request" doc:"The code as a URI, which leads to its explanation. It never changes."`
	Code   Code     `json:"code" example:"invalid_request" doc:"What kind of problem it is, for programs: a code keeps its meaning and its status. There may be new ones."`
	Title  string   `json:"title" example:"Unprocessable Entity" doc:"The status in words."`
	Status int      `json:"status" example:"422" doc:"The HTTP status."`
	Detail string   `json:"detail" example:"the request is invalid" doc:"What is wrong and what to do. The text may change."`
	Errors []Detail `json:"errors,omitempty" nullable:"false" doc:"What is wrong with the request, place by place."`

	// retryAfter is the Retry-After header in seconds, of a problem that may pass.
	retryAfter int
}

// Detail is one thing that is wrong with a request.
type Detail struct {
	Location string `json:"location" example:"body.events[3].type" doc:"Where: a path that begins with body, path, query or header."`
	Message  string `json:"message" example:"is required" doc:"What is wrong there. It never repeats the value."`
}

// New returns the problem with a code. text says what is wrong and what to do.
func New(code Code, text string, details ...Detail) *Error {
	status := code.Status()
	return &Error{
		Type: TypePrefix + string(code), Code: code, Title: http.StatusText(status), Status: status, Detail: text,
		Errors: details,
	}
}

// Invalid is the problem of a request that can be read but breaks a rule in one place.
func Invalid(location, message string) *Error {
	return New(InvalidRequest, InvalidText, Detail{Location: location, Message: message})
}

// Later is a problem that may pass (Code.Passes). retryAfter is in seconds; New says one second.
func Later(code Code, text string, retryAfter int) *Error {
	p := New(code, text)
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
	if p.Code.Passes() {
		h.Set("Retry-After", strconv.Itoa(max(p.retryAfter, 1)))
	}
	return h
}

// ContentType tells huma the media type.
func (p *Error) ContentType(string) string { return MediaType }
