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
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/internal/problem"
)

// requestIDPattern is what is taken from a client as its request's id: it ends up in headers and log lines.
var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9_.:/+=-]{1,128}$`)

// request is what is known of a request beside its HTTP: one value in its context, which the middlewares fill.
type request struct {
	id   string
	http *http.Request // as it came
	key  principal
}

type requestKey struct{}

// requestOf returns what is known of the request that ctx belongs to. Outside of a request all is empty, which no route
// admits.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// observe is the outermost middleware: it names the request, sets the headers of every answer, answers errors and
// panics, and logs one line.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := time.Now()
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !requestIDPattern.MatchString(id) {
			id = uuid.NewString()
		}

		ctx := context.WithValue(c.Request().Context(), requestKey{}, &request{id: id, http: c.Request()})
		c.SetRequest(c.Request().WithContext(ctx))
		setHeaders(c, id)

		if err := s.guard(c, next); err != nil {
			c.Error(err)
		}
		s.finish(c, started)

		s.cfg.Logger.DebugContext(ctx, "request", slog.String("method", c.Request().Method), slog.String("route", c.Path()),
			slog.Int("status_code", c.Response().Status), slog.Duration("duration", time.Since(started)),
			slog.String("request_id", id))
		return nil
	}
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

// setHeaders forbids everything that an answer of an API has no use for. Pages are kept apart from those of other
// origins too; /docs sets a policy of its own.
func setHeaders(c echo.Context, id string) {
	h := c.Response().Header()
	h.Set(echo.HeaderXRequestID, id)
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	h.Set(echo.HeaderXFrameOptions, "DENY")
	h.Set(echo.HeaderReferrerPolicy, "no-referrer")

	switch {
	case isUI(c.Path()):
		h.Set(echo.HeaderContentSecurityPolicy, uiPolicy)
	case isAPI(c):
		h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
		h.Set(echo.HeaderCacheControl, "no-store")
		return
	default:
		h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	}

	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// isAPI tells whether a request is for the API: by its route, or by its path if there is no such route.
func isAPI(c echo.Context) bool {
	return strings.HasPrefix(c.Path(), "/api/") || strings.HasPrefix(c.Request().URL.Path, "/api/")
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
		s.cfg.Logger.ErrorContext(ctx, "panic in a request", slog.String("route", c.Path()),
			slog.String("error", panicText(v)), slog.String("stack", string(debug.Stack())),
			slog.String("request_id", requestOf(ctx).id))

		if c.Response().Committed {
			panic(http.ErrAbortHandler)
		}
		err = problem.New(http.StatusInternalServerError, "internal error")
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
