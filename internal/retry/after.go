package retry

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxAfter bounds the wait that an answer's Retry-After may ask for.
const MaxAfter = time.Hour

// After returns the wait that a Retry-After header asks for (RFC 9110, section 10.2.3: seconds, or a date), at most
// limit, also for a number of seconds that no machine word holds. It is 0 if there is none, it can't be read, or its
// date is past.
func After(value string, now time.Time, limit time.Duration) time.Duration {
	value = strings.TrimSpace(value)
	wait := time.Duration(0)

	if isDigits(value) {
		wait = limit
		if seconds, err := strconv.ParseInt(value, 10, 64); err == nil && seconds < int64(limit/time.Second) {
			wait = time.Duration(seconds) * time.Second
		}
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}

	return min(max(wait, 0), limit)
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
