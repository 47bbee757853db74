package jobs

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/internal/egress"
)

// throttleHold is how long an endpoint gets nothing after it answered 429, 502 or 504 without saying how long.
const throttleHold = 2 * time.Second

// retryAfter returns the wait that a Retry-After header asks for (RFC 9110, section 10.2.3: seconds, or a date), at
// most limit. It is 0 if there is none, it can't be read, or its date is past.
func retryAfter(value string, now time.Time, limit time.Duration) time.Duration {
	value = strings.TrimSpace(value)
	wait := time.Duration(0)

	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		wait = limit
		if seconds := int64(seconds); seconds < int64(limit/time.Second) {
			wait = time.Duration(seconds) * time.Second
		}
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}

	return min(max(wait, 0), limit)
}

// throttle tells whether an answer slows the whole endpoint and not only this delivery, and for how
// long nothing may leave.
func throttle(res egress.Result, now time.Time, limit time.Duration) (hold time.Duration, throttled bool) {
	asked := retryAfter(res.RetryAfter, now, limit)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
		return max(asked, throttleHold), true
	case http.StatusServiceUnavailable:
		return asked, asked > 0
	}
	return 0, false
}
