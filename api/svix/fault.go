package svix

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// fault is the body of an answer that is an error, but for those with the status 422.
type fault struct {
	status int

	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error returns the detail.
func (f *fault) Error() string { return f.Detail }

// validation is the body of an answer with the status 422.
type validation struct {
	Detail []validationItem `json:"detail"`
}

type validationItem struct {
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// Codes of Svix, by what its server answers with them.
const (
	codeGeneric      = "generic_error"
	codeUnauthorized = "authentication_failed"
	codeForbidden    = "insufficient access"
	codeNotFound     = "not_found"
	codeConflict     = "conflict"
	codeTooLarge     = "payload_too_large"
	codeLimit        = "limit_reached"
	codeNoPayload    = "missing_payload"
	codeServer       = "server_error"
)

// errNotFound is the answer for what is not there, or belongs to an application that the key may not see.
func errNotFound() error { return &fault{http.StatusNotFound, codeNotFound, "Entity not found"} }

// WriteError answers with an error as Svix writes it: a [*problem.Error], or one of this package.
func WriteError(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	p, isProblem := errors.AsType[*problem.Error](err)
	if isProblem && p.Status == http.StatusUnprocessableEntity {
		w.WriteHeader(p.Status)
		_ = strictjson.Write(w, newValidation(p)) // it can always be encoded
		return
	}

	f, isFault := errors.AsType[*fault](err)
	switch {
	case isFault:
	case isProblem:
		f = faultOf(p)
	default:
		f = &fault{http.StatusInternalServerError, codeServer, "internal error"}
	}
	w.WriteHeader(f.status)
	_ = strictjson.Write(w, f) // it can always be encoded
}

// faultOf is the table of the API's problems and Svix's errors.
func faultOf(p *problem.Error) *fault {
	switch p.Code { //nolint:exhaustive // the others go by their status
	case problem.OtherTenant, problem.NotFound:
		return &fault{http.StatusNotFound, codeNotFound, "Entity not found"}
	case problem.PayloadGone:
		return &fault{http.StatusBadRequest, codeNoPayload, p.Detail}
	case problem.TwoSecretsLive, problem.EndpointLimit, problem.RateLimitLimit:
		return &fault{http.StatusBadRequest, codeLimit, p.Detail}
	}

	switch p.Status {
	case http.StatusUnauthorized:
		return &fault{p.Status, codeUnauthorized, "Invalid token"}
	case http.StatusForbidden:
		return &fault{p.Status, codeForbidden, p.Detail}
	case http.StatusNotFound:
		return &fault{p.Status, codeNotFound, p.Detail}
	case http.StatusConflict, http.StatusPreconditionFailed:
		return &fault{http.StatusConflict, codeConflict, p.Detail}
	case http.StatusRequestEntityTooLarge:
		return &fault{p.Status, codeTooLarge, p.Detail}
	case http.StatusTooManyRequests:
		return &fault{p.Status, codeLimit, p.Detail}
	}
	if p.Status >= http.StatusInternalServerError {
		return &fault{p.Status, codeServer, p.Detail}
	}
	return &fault{http.StatusBadRequest, codeGeneric, p.Detail}
}

func newValidation(p *problem.Error) validation {
	out := validation{Detail: []validationItem{}}
	for _, at := range p.Errors {
		out.Detail = append(out.Detail, validationItem{Loc: location(at.Location), Msg: at.Message, Type: "value_error"})
	}
	if len(out.Detail) == 0 {
		out.Detail = append(out.Detail, validationItem{Loc: []any{"body"}, Msg: p.Detail, Type: "value_error"})
	}
	return out
}

// svixNames are the members that Svix calls otherwise than the API, but for their case.
//
//nolint:gochecknoglobals // a constant table
var svixNames = map[string]string{
	"type": "eventType", "idempotency_key": "eventId", "tenant_id": "uid", "status": "disabled",
	"rate_limit": "throttleRate", "secret_headers": "headers", "overlap_seconds": "gracePeriodSeconds",
	"label": "sessionId",
}

// locationPart is a name in a location of the API, or an index.
var locationPart = regexp.MustCompile(`[^.\[\]]+`)

// location writes a place as Svix does: body.event_types[3] is ["body", "eventTypes", 3].
func location(text string) []any {
	root, _, _ := strings.Cut(text, ".")
	var loc []any

	for _, part := range locationPart.FindAllString(text, -1) {
		if n, err := strconv.Atoi(part); err == nil {
			loc = append(loc, n)
			continue
		}
		if root == "body" && len(loc) == 1 {
			part = svixName(part)
		}
		loc = append(loc, part)
	}
	return loc
}

func svixName(name string) string {
	if other, ok := svixNames[name]; ok {
		return other
	}
	first, rest, _ := strings.Cut(name, "_")
	var out strings.Builder
	out.WriteString(first)
	for part := range strings.SplitSeq(rest, "_") {
		if part != "" {
			out.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return out.String()
}
