package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	semconv "go.opentelemetry.io/otel/semconv/v1.17.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/internal/problem"
)

// requestIDPattern is what is taken from a client as its request's id: it ends up in headers and log lines.
var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9_.:/+=-]{1,128}$`)

// observe is the outermost middleware: it names the request, sets the headers of every answer, answers errors and
// panics, and logs one line.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := time.Now()
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !requestIDPattern.MatchString(id) {
			id = uuid.NewString()
		}

		ctx := context.WithValue(c.Request().Context(), requestKey{}, newRequest(c, id))
		c.SetRequest(c.Request().WithContext(ctx))
		setHeaders(c, id)

		if err := s.guard(c, next); err != nil {
			c.Error(err)
		}
		s.finish(c, started)

		s.cfg.Logger.DebugContext(ctx, "request", slog.String("method", c.Request().Method), slog.String("route", c.Path()),
			slog.Int("status_code", c.Response().Status), slog.Int64("duration_ms", time.Since(started).Milliseconds()),
			slog.String("request_id", id))
		return nil
	}
}

// newRequest returns what is known of a request at once. The context of one that comes from outside has no other one.
func newRequest(c echo.Context, id string) *request {
	r := &request{id: id, http: c.Request()}
	if outer := requestOf(c.Request().Context()); outer.key.scope != "" {
		r.key, r.own, r.inner = outer.key, outer.own, true
	}
	return r
}

// finish counts a request and names its span, if it has one: only now its route is known.
func (s *Server) finish(c echo.Context, started time.Time) {
	if s.metrics != nil {
		s.metrics.observe(c, started)
	}
	if span := trace.SpanFromContext(c.Request().Context()); span.IsRecording() {
		span.SetName(c.Request().Method + " " + c.Path())
		span.SetAttributes(semconv.HTTPRoute(c.Path()))
	}
}

// guard calls next and turns a panic into an error. An answer that had begun can only be broken off.
func (s *Server) guard(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if cause, ok := v.(error); ok && errors.Is(cause, http.ErrAbortHandler) {
			panic(v)
		}

		ctx := c.Request().Context()
		s.calm.ErrorContext(ctx, "panic in a request", slog.String("route", c.Path()),
			slog.String("error", panicText(v)), slog.String("stack", string(debug.Stack())),
			slog.String("request_id", requestOf(ctx).id))

		if c.Response().Committed {
			panic(http.ErrAbortHandler)
		}
		err = problem.New(problem.InternalError, "internal error")
	}()
	return next(c)
}

// panicText tells what a panic was about. Only the runtime's own texts are known to hold nothing of a request.
func panicText(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}
