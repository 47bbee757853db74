package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/limit"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/jobs/ledger"
)

// maxURLBytes is 4 times what the longest query that means something takes.
const maxURLBytes = 8 << 10

// admit refuses what is too much before anything is done for it. The health checks are answered always: a process
// that is busy is alive.
func (s *Server) admit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if isHealth(c.Path()) || requestOf(c.Request().Context()).inner {
			return next(c)
		}
		if isDelivery(c.Request().Header) {
			c.Response().Header().Set(ledger.HeaderLoop, "1")
			return problem.New(problem.LoopDetected,
				"this is a delivery of Outhook's, whose endpoint leads to this API: give the endpoint the receiver's URL")
		}
		if len(c.Request().RequestURI) > maxURLBytes {
			return problem.New(problem.URLTooLong, fmt.Sprintf("the URL is longer than %d bytes", maxURLBytes))
		}

		defer s.active.Add(-1)
		if s.active.Add(1) > int64(s.cfg.Limits.MaxRequests) {
			return problem.Later(problem.ServerBusy, "the server serves as many requests as it can: repeat the request", 1)
		}

		return next(c)
	}
}

// isDelivery tells whether a request is a delivery. One that came in here as an event would be delivered in turn:
// what one request began would never end.
func isDelivery(h http.Header) bool {
	return len(h.Values("outhook-attempt")) > 0 || strings.HasPrefix(h.Get("user-agent"), "Outhook/")
}

// checkDepth refuses events to which too many webhooks have led, one by another.
func checkDepth(depth int) error {
	if depth <= ledger.MaxDepth {
		return nil
	}
	return problem.New(problem.LoopDetected, fmt.Sprintf("%d webhooks in a row led to this, more than %d: a receiver "+
		"publishes what comes back to it; publish nothing in response to your own events", depth, ledger.MaxDepth))
}

// checkRate refuses a request of a key that has sent too many.
func (s *Server) checkRate(id uuid.UUID) error {
	if s.rates == nil {
		return nil
	}
	if wait := s.rates.Take(id, time.Now()); wait > 0 {
		text := fmt.Sprintf("this key may send %g requests a second: repeat the request later", s.cfg.Access.RateLimit)
		return problem.Later(problem.RateLimited, text, limit.Seconds(wait))
	}
	return nil
}
