package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/jobs"
)

const (
	contentProblem = "application/problem+json"

	// maxDetails bounds an answer to a body that is wrong in very many places.
	maxDetails = 20

	invalidRequest = "the request is invalid"
)

// problemError is an RFC 9457 problem: the body of every answer that is an error. Its texts never repeat the request's
// input.
type problemError struct {
	Type   string   `json:"type,omitempty" format:"uri-reference" doc:"What kind of problem it is. Absent: the status says it all (about:blank)."`
	Title  string   `json:"title" example:"Unprocessable Entity" doc:"The status in words."`
	Status int      `json:"status" example:"422" doc:"The HTTP status."`
	Detail string   `json:"detail" example:"the request is invalid" doc:"What is wrong and what to do."`
	Errors []detail `json:"errors,omitempty" nullable:"false" doc:"What is wrong with the request, place by place."`

	// retryAfter is the Retry-After header in seconds, if not 0.
	retryAfter int
}

// detail is one thing that is wrong with a request.
type detail struct {
	Location string `json:"location" example:"body.events[3].type" doc:"Where: a path that begins with body, path, query or header."`
	Message  string `json:"message" example:"is required" doc:"What is wrong there. It never repeats the value."`
}

func newProblem(status int, text string, details ...detail) *problemError {
	return &problemError{Title: http.StatusText(status), Status: status, Detail: text, Errors: details}
}

// invalid is the problem of a request that can be read but breaks a rule.
func invalid(location, message string) *problemError {
	return newProblem(http.StatusUnprocessableEntity, invalidRequest, detail{location, message})
}

// unavailable is the problem of a request that may succeed later.
func unavailable(text string, retryAfter int) *problemError {
	p := newProblem(http.StatusServiceUnavailable, text)
	p.retryAfter = retryAfter
	return p
}

// Error returns the detail.
func (p *problemError) Error() string { return p.Detail }

// GetStatus tells huma the HTTP status.
func (p *problemError) GetStatus() int { return p.Status }

// GetHeaders tells huma the headers that belong to the problem.
func (p *problemError) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	return h
}

// ContentType tells huma the media type.
func (p *problemError) ContentType(string) string { return contentProblem }

// loggedError is an error whose cause has been logged already, once for all requests of a group.
type loggedError struct{ error }

// Unwrap returns the cause.
func (e loggedError) Unwrap() error { return e.error }

// problem returns what to answer for an error, and logs it if it is ours.
func (s *Server) problem(ctx context.Context, err error) *problemError {
	p := problemOf(err)
	var logged loggedError
	known := errors.As(err, &logged) || errors.Is(ctx.Err(), context.Canceled) || isProblem(err)
	if known || p.Status < http.StatusInternalServerError {
		return p
	}

	level, logger := slog.LevelError, s.cfg.Logger
	if p.Status == http.StatusServiceUnavailable {
		level, logger = slog.LevelWarn, s.cfg.calm // while the database is away, each request ends here
	}

	logger.LogAttrs(ctx, level, "answering a request", slog.Int("status_code", p.Status),
		slog.String("error", causeOf(err)), slog.String("request_id", requestOf(ctx).id))
	return p
}

func isProblem(err error) bool {
	var p *problemError
	return errors.As(err, &p)
}

// problemOf is the table of errors and answers.
func problemOf(err error) *problemError {
	var problem *problemError
	var fromEcho *echo.HTTPError
	var pgErr *pgconn.PgError

	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &fromEcho):
		return newProblem(fromEcho.Code, echoDetail(fromEcho.Code))
	case errors.Is(err, pgx.ErrNoRows), errors.Is(err, jobs.ErrNotFound), errors.Is(err, jobs.ErrNoOperation):
		return newProblem(http.StatusNotFound, "nothing has this id: it may have been deleted, or expired with the retention")

	case errors.Is(err, jobs.ErrPending):
		return newProblem(http.StatusConflict, jobs.ErrPending.Error())
	case errors.Is(err, jobs.ErrSettled):
		return newProblem(http.StatusConflict, jobs.ErrSettled.Error())
	case errors.Is(err, jobs.ErrOperationOver):
		return newProblem(http.StatusConflict, jobs.ErrOperationOver.Error())
	case errors.Is(err, jobs.ErrOperationUnderway):
		return newProblem(http.StatusConflict, jobs.ErrOperationUnderway.Error())
	case errors.Is(err, jobs.ErrEndpointGone):
		return newProblem(http.StatusConflict, jobs.ErrEndpointGone.Error())
	case errors.Is(err, jobs.ErrPayloadGone):
		return newProblem(http.StatusConflict, jobs.ErrPayloadGone.Error())

	case errors.Is(err, batch.ErrFull), errors.Is(err, batch.ErrClosed):
		return unavailable("the server is busy or stopping: nothing was stored; repeat the request", 1)
	case errors.Is(err, batch.ErrInFlight):
		return unavailable(
			"the outcome is not known in time: repeat the request, with the same idempotency_key to store it once", 5)

	case errors.As(err, &pgErr):
		return pgProblem(pgErr.Code)
	case isTrouble(err):
		return unavailable("the database can't be reached at the moment: repeat the request", 5)
	}
	return newProblem(http.StatusInternalServerError, "internal error")
}

// pgProblem maps SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html.
func pgProblem(code string) *problemError {
	switch {
	case code == "23505": // unique_violation
		return newProblem(http.StatusConflict, "it exists already")
	case code == "57014": // query_canceled
		return unavailable(
			"the database took too long: narrow the query (tenant_id, endpoint_id, since, until), or repeat it later", 5)
	case isTroubleCode(code):
		return unavailable("the database can't do this at the moment: repeat the request", 5)
	}
	return newProblem(http.StatusInternalServerError, "internal error")
}

// isTroubleCode tells whether a SQLSTATE speaks of the database's condition and not of the query: connection exception,
// transaction rollback, insufficient resources, operator intervention, lock not available, and read-only after a
// failover.
func isTroubleCode(code string) bool {
	switch pgClass(code) {
	case "08", "40", "53", "57":
		return true
	}
	return code == "55P03" || code == "25006"
}

func pgClass(code string) string { return code[:min(len(code), 2)] }

// isTrouble tells whether an error is that of a connection and not of a query.
func isTrouble(err error) bool {
	var connectErr *pgconn.ConnectError
	var netErr net.Error
	return errors.As(err, &connectErr) || errors.As(err, &netErr) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, puddle.ErrClosedPool) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// causeOf returns the text of an error for the log. Postgres' messages of class 22, data exception, can hold a value.
func causeOf(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgClass(pgErr.Code) == "22" {
		return "data exception (SQLSTATE " + pgErr.Code + ")"
	}
	return err.Error()
}

func echoDetail(status int) string {
	switch status {
	case http.StatusNotFound:
		return "there is nothing here: /docs lists what there is"
	case http.StatusMethodNotAllowed:
		return "this method is not allowed here: the header Allow names those that are"
	}
	return strings.ToLower(http.StatusText(status))
}

// writeError is Echo's error handler.
func (s *Server) writeError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}

	p := s.problem(c.Request().Context(), err)
	header := c.Response().Header()
	maps.Copy(header, p.GetHeaders())
	header.Set(echo.HeaderContentType, contentProblem)
	c.Response().WriteHeader(p.Status)
	if c.Request().Method != http.MethodHead {
		_ = writeJSON(c.Response(), p) // a problem can always be encoded
	}
}

// safeLocation is what a location may repeat of a request: names as they are in use, and nothing long.
var safeLocation = regexp.MustCompile(`^(body|path|query|header)(\.[A-Za-z0-9_-]{1,64}|\[[0-9]{1,6}\])*$`)

// withoutInput is huma's transformer: it makes problems of huma's own errors, which would repeat the input.
func withoutInput(_ huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}

	p := newProblem(model.Status, model.Detail)
	if model.Status == http.StatusUnprocessableEntity {
		p.Detail = invalidRequest
	}
	for _, e := range model.Errors[:min(len(model.Errors), maxDetails)] {
		p.Errors = append(p.Errors, detail{Location: location(e.Location), Message: message(e.Message)})
	}
	return p, nil
}

// location drops the last part of a location that is not a plain name.
func location(path string) string {
	if safeLocation.MatchString(path) {
		return path
	}
	root, _, _ := strings.Cut(path, ".")
	return root
}

// message drops what huma's messages repeat, which always stands behind a colon.
func message(text string) string {
	text, _, _ = strings.Cut(text, ": ")
	switch {
	case text == "invalid value": // of a parameter with a decoder of its own, which only ids have
		return "must be a UUID"
	case strings.HasPrefix(text, "invalid date/time"):
		return "expected a time like 2026-01-02T15:04:05Z (RFC 3339; a + must be written as %2B)"
	}
	return text
}
