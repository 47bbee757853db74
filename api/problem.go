package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/api/svix"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/ingest"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/ledger"
	joboperation "github.com/outhook/outhook/jobs/operation"
)

// operationRetry is after how many seconds to ask again while as many operations of a tenant run as may.
const operationRetry = 10

// problem returns what to answer for an error, and logs it if it is ours.
func (s *Server) problem(ctx context.Context, err error) *problem.Error {
	p := problemOf(err)
	var logged *ingest.GroupError
	known := errors.As(err, &logged) || errors.Is(ctx.Err(), context.Canceled) || isProblem(err)
	if known || p.Status < http.StatusInternalServerError {
		return p
	}

	level := slog.LevelError
	if p.Status == http.StatusServiceUnavailable {
		level = slog.LevelWarn // while the database is away, each request ends here
	}

	s.calm.LogAttrs(ctx, level, "answering a request", slog.Int("status_code", p.Status),
		slog.String(logthrottle.Cause, cmp.Or(sqlstate.Of(err), "other")),
		slog.String("error", sqlstate.Text(err)), slog.String("request_id", requestOf(ctx).id))
	return p
}

func isProblem(err error) bool {
	var p *problem.Error
	return errors.As(err, &p)
}

// problemOf is the table of errors and answers.
func problemOf(err error) *problem.Error {
	var known *problem.Error
	var fromEcho *echo.HTTPError

	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &fromEcho):
		return problem.New(problem.OfStatus(fromEcho.Code), echoDetail(fromEcho.Code))
	case errors.Is(err, pgx.ErrNoRows), errors.Is(err, ledger.ErrNotFound), errors.Is(err, joboperation.ErrNotFound):
		return problem.New(problem.NotFound,
			"nothing has this id: it may have been deleted, or expired with the retention")

	case errors.Is(err, ledger.ErrPending):
		return problem.New(problem.DeliveryPending, ledger.ErrPending.Error())
	case errors.Is(err, ledger.ErrUndelivered):
		return problem.New(problem.DeliveryPending, ledger.ErrUndelivered.Error())
	case errors.Is(err, ledger.ErrSettled):
		return problem.New(problem.DeliverySettled, ledger.ErrSettled.Error())
	case errors.Is(err, ledger.ErrWithdrawn):
		return problem.New(problem.EventWithdrawn, ledger.ErrWithdrawn.Error())
	case errors.Is(err, ledger.ErrInOrder):
		return problem.New(problem.DeliveryInOrder, ledger.ErrInOrder.Error())
	case errors.Is(err, joboperation.ErrOver):
		return problem.New(problem.OperationOver, joboperation.ErrOver.Error())
	case errors.Is(err, joboperation.ErrUnderway):
		return problem.New(problem.OperationUnderWay, joboperation.ErrUnderway.Error())
	case errors.Is(err, joboperation.ErrTooMany):
		return problem.Later(problem.TooManyOperations, joboperation.ErrTooMany.Error(), operationRetry)
	case errors.Is(err, ledger.ErrEndpointGone):
		return problem.New(problem.EndpointGone, ledger.ErrEndpointGone.Error())
	case errors.Is(err, ledger.ErrPayloadGone):
		return problem.New(problem.PayloadGone, ledger.ErrPayloadGone.Error())

	case errors.Is(err, batch.ErrFull), errors.Is(err, batch.ErrClosed):
		return problem.Later(problem.ServerBusy,
			"the server is busy or stopping: nothing was stored; repeat the request", 1)
	case errors.Is(err, batch.ErrInFlight):
		return problem.Later(problem.OutcomeUnknown,
			"the outcome is not known in time: repeat the request, with the same idempotency_key to store it once", 5)

	case sqlstate.Of(err) != "":
		return pgProblem(sqlstate.Of(err))
	case isTrouble(err):
		return problem.Later(problem.DatabaseUnavailable,
			"the database can't be reached at the moment: repeat the request", 5)
	}
	return problem.New(problem.InternalError, "internal error")
}

// pgProblem maps SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html.
func pgProblem(code string) *problem.Error {
	switch {
	case code == sqlstate.UniqueViolation:
		return problem.New(problem.AlreadyExists, "it exists already")
	case code == sqlstate.QueryCanceled:
		return problem.Later(problem.DatabaseTimeout,
			"the database took too long: narrow the query (tenant_id, endpoint_id, since, until), or repeat it later", 5)
	case isTroubleCode(code):
		return problem.Later(problem.DatabaseUnavailable,
			"the database can't do this at the moment: repeat the request", 5)
	}
	return problem.New(problem.InternalError, "internal error")
}

// isTroubleCode tells whether a SQLSTATE speaks of the database's condition and not of the query: connection exception,
// transaction rollback, insufficient resources, operator intervention, lock not available, and read-only after a
// failover.
func isTroubleCode(code string) bool {
	switch sqlstate.Class(code) {
	case "08", "40", "53", "57":
		return true
	}
	return code == sqlstate.LockNotAvailable || code == sqlstate.ReadOnly
}

// isTrouble tells whether an error is that of a connection and not of a query.
func isTrouble(err error) bool {
	var connectErr *pgconn.ConnectError
	var netErr net.Error
	return errors.As(err, &connectErr) || errors.As(err, &netErr) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, puddle.ErrClosedPool) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
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
	if svix.IsCall(c.Path()) {
		svix.WriteError(c.Response(), p)
		return
	}
	header.Set(echo.HeaderContentType, problem.MediaType)
	if allow := header.Get(echo.HeaderAllow); strings.Contains(allow, http.MethodGet) {
		header.Set(echo.HeaderAllow, allow+", "+http.MethodHead) // see ServeHTTP
	}
	c.Response().WriteHeader(p.Status)
	_ = strictjson.Write(c.Response(), p) // a problem can always be encoded
}

// withoutInput is huma's transformer: it makes problems of huma's own errors, which would repeat the input.
func withoutInput(_ huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}

	p := problem.New(problem.OfStatus(model.Status), model.Detail)
	if p.Code == problem.InvalidRequest {
		p.Detail = problem.InvalidText
	}
	for _, e := range model.Errors[:min(len(model.Errors), problem.MaxDetails)] {
		p.Errors = append(p.Errors, problem.Detail{Location: location(e.Location), Message: message(e.Message)})
	}
	return p, nil
}

// location drops the last part of a location that is not a plain name.
func location(path string) string {
	if problem.IsPlain(path) {
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
