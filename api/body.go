package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/problem"
)

type bodyKey struct{}

// bodyOf returns the body of the request that ctx belongs to.
func bodyOf(ctx context.Context) []byte {
	body, _ := ctx.Value(bodyKey{}).([]byte)
	return body
}

// withBody is the middleware of an operation with a body of at most limit bytes. huma would decode JSON numbers into
// float64 and repeat the input in its errors, so the body is ours to read and to decode.
func (s *Server) withBody(limit int64, optional bool) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		c := humaecho.Unwrap(hc)
		if optional && c.Request().ContentLength == 0 {
			next(hc)
			return
		}

		body, release, err := s.readBody(c, limit)
		if err != nil {
			c.Error(err)
			return
		}

		defer release()
		next(huma.WithValue(hc, bodyKey{}, body))
	}
}

// readBody reads a body whole. release gives back the room that it takes.
func (s *Server) readBody(c echo.Context, limit int64) (body []byte, release func(), err error) {
	r := c.Request()
	if err := checkContent(r.Header); err != nil {
		return nil, nil, err
	}
	if r.ContentLength > limit {
		return nil, nil, tooLarge(limit)
	}

	room := r.ContentLength
	if room < 0 {
		room = limit
	}
	if s.held.Add(room) > int64(s.cfg.Limits.MaxHeldBytes) {
		s.held.Add(-room)
		return nil, nil, problem.Unavailable("the server holds as many requests as it can: repeat the request", 1)
	}

	release = func() { s.held.Add(-room) }
	if body, err = s.readAll(c, limit); err != nil {
		release()
		return nil, nil, err
	}
	return body, release, nil
}

// readAll reads a body within the time for it. After an error the deadline stays, so that net/http, which reads what is
// left of a body before it answers, does not wait for it either. In a test without a connection there are no deadlines.
func (s *Server) readAll(c echo.Context, limit int64) ([]byte, error) {
	control := http.NewResponseController(c.Response())
	_ = control.SetReadDeadline(time.Now().Add(s.cfg.Timeouts.Body))

	var buf bytes.Buffer
	_, err := buf.ReadFrom(http.MaxBytesReader(c.Response().Writer, c.Request().Body, limit))
	var tooMuch *http.MaxBytesError
	switch {
	case errors.As(err, &tooMuch):
		return nil, tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, problem.New(http.StatusRequestTimeout,
			fmt.Sprintf("the body did not come within %v", s.cfg.Timeouts.Body))
	case err != nil:
		return nil, problem.New(http.StatusBadRequest, "the body ended before it was complete")
	}

	_ = control.SetReadDeadline(time.Now().Add(readTimeout))
	return buf.Bytes(), nil
}

func tooLarge(limit int64) *problem.Error {
	return problem.New(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", limit))
}

// checkContent accepts JSON as it is: no other media type, no compression.
func checkContent(h http.Header) error {
	media, _, err := mime.ParseMediaType(h.Get(echo.HeaderContentType))
	isJSON := media == echo.MIMEApplicationJSON ||
		strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
	if err != nil || !isJSON {
		return problem.New(http.StatusUnsupportedMediaType, "send JSON: Content-Type: application/json")
	}

	if encoding := h.Get(echo.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return problem.New(http.StatusUnsupportedMediaType, "send the body without Content-Encoding")
	}
	return nil
}
