package api

import (
	"bytes"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/api/svix"
)

// addSvix mounts the calls of Svix's SDKs. The key and the body are looked at here, as for any request; what a call
// asks of this API is asked with the same key, which is not looked up again.
func (s *Server) addSvix() {
	if !s.cfg.Svix {
		return
	}
	calls := svix.New(s, s.cfg.Logger)

	// A payload that stands in a string, as a raw one does, may be twice as long as it is.
	limit := 2*int64(s.cfg.Limits.MaxPayloadBytes) + envelopeBytes

	s.echo.Any(svix.Mount+"/*", func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength != 0 {
			body, release, err := s.readCall(c, limit)
			if err != nil {
				return err
			}
			defer release()
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		calls.ServeHTTP(c.Response(), r)
		return nil
	})
}

// readCall reads the body of a call. Where there is none, Svix's SDK for Go sends an empty one, without a length and a
// type.
func (s *Server) readCall(c echo.Context, limit int64) (body []byte, release func(), err error) {
	head := c.Request().Header
	if c.Request().ContentLength > 0 || head.Get(echo.HeaderContentType) != "" {
		return s.readBody(c, limit)
	}

	head.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	body, release, err = s.readBody(c, limit)
	if err == nil && len(body) > 0 {
		release()
		return nil, nil, checkContent(http.Header{})
	}
	return body, release, err
}
