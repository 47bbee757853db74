package lane

import (
	"net/http"
	"time"

	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/retry"
)

// throttleHold is how long an endpoint gets nothing after it answered 429, 502 or 504 without saying how long.
const throttleHold = 2 * time.Second

// throttle tells whether an answer slows the whole endpoint and not only this delivery, and for how
// long nothing may leave.
func throttle(res egress.Result, now time.Time) (hold time.Duration, throttled bool) {
	asked := retry.After(res.RetryAfter, now, retry.MaxAfter)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
		return max(asked, throttleHold), true
	case http.StatusServiceUnavailable:
		return asked, asked > 0
	}
	return 0, false
}
