package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/share"
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

	h := requestOf(r.Context()).key.holder()
	body, held, err := s.readAll(c, limit, h)
	if err != nil {
		s.room.Give(h, held)
		return nil, nil, err
	}
	return body, func() { s.room.Give(h, held) }, nil
}

// A body comes in parts of bodyPart bytes, each within bodyStall: one that has stopped gives its room back soon.
const (
	bodyPart  = 16 << 10
	bodyStall = 10 * time.Second
)

// readAll reads a body within the time for it, and takes the room for what has come; held is how much. After an error
// the deadline stays, so that net/http, which reads what is left of a body before it answers, does not wait for it
// either. In a test without a connection there are no deadlines.
func (s *Server) readAll(c echo.Context, limit int64, h share.Holder) (body []byte, held int64, err error) {
	control := http.NewResponseController(c.Response())
	reader := http.MaxBytesReader(c.Response().Writer, c.Request().Body, limit)
	end := time.Now().Add(s.cfg.Timeouts.Body)

	var buf bytes.Buffer
	for whole := false; !whole; {
		part := int64(bodyPart)
		if length := c.Request().ContentLength; length >= 0 {
			part = min(part, length-held)
			whole = part == length-held
		}
		if err := s.takeRoom(h, part); err != nil {
			return nil, held, err
		}
		held += part

		_ = control.SetReadDeadline(earlier(end, time.Now().Add(bodyStall)))
		n, err := io.CopyN(&buf, reader, part)
		switch {
		case errors.Is(err, io.EOF):
			s.room.Give(h, part-n)
			held -= part - n
			whole = true
		case err != nil:
			return nil, held, s.bodyProblem(err, limit)
		}
	}

	if length := c.Request().ContentLength; length > int64(buf.Len()) {
		return nil, held, s.bodyProblem(io.ErrUnexpectedEOF, limit)
	}
	_ = control.SetReadDeadline(time.Now().Add(readTimeout))
	return buf.Bytes(), held, nil
}

// bodyProblem is the answer for a body that could not be read.
func (s *Server) bodyProblem(err error, limit int64) error {
	var tooMuch *http.MaxBytesError
	switch {
	case errors.As(err, &tooMuch):
		return tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem.New(problem.BodyTooSlow, fmt.Sprintf(
			"the body did not come within %v, or %d KiB of it within %v", s.cfg.Timeouts.Body, bodyPart>>10, bodyStall))
	}
	return problem.New(problem.BodyIncomplete, "the body ended before it was complete")
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func tooLarge(limit int64) *problem.Error {
	return problem.New(problem.BodyTooLarge, fmt.Sprintf("the body is larger than %d bytes", limit))
}

// checkContent accepts JSON as it is: no other media type, no compression.
func checkContent(h http.Header) error {
	media, _, err := mime.ParseMediaType(h.Get(echo.HeaderContentType))
	isJSON := media == echo.MIMEApplicationJSON ||
		strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
	if err != nil || !isJSON {
		return problem.New(problem.UnsupportedMediaType, "send JSON: Content-Type: application/json")
	}

	if encoding := h.Get(echo.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return problem.New(problem.UnsupportedMediaType, "send the body without Content-Encoding")
	}
	return nil
}

// newRoom returns the quota of request bodies that are held at the same time, in bytes, by what has come of them and
// the part that comes next: what was only promised takes none.
func newRoom(limits Limits) *share.Quota {
	return share.NewQuota(limits.MaxHeldBytes, max(limits.MaxHeldBytes/2, limits.MaxBatchBytes))
}

// takeRoom takes room for n bytes of a body.
func (s *Server) takeRoom(h share.Holder, n int64) error {
	switch err := s.room.Take(h, n); {
	case errors.Is(err, share.ErrTaken):
		return problem.Later(problem.ServerBusy, "the server holds as many requests as it can: repeat the request", 1)
	case errors.Is(err, share.ErrOwnTaken):
		return problem.Later(problem.TooManyRequests,
			"the requests of this key, or of its tenant, hold as much as one's may: repeat the request", 1)
	}
	return nil
}
