package retry

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxAfter bounds the wait that an answer's Retry-After may ask for.
const MaxAfter = time.Hour

// After returns the wait that a Retry-After header asks for (RFC 9110, section 10.2.3: seconds, or a date), at
// most limit. It is 0 if there is none, it can't be read, or its date is past.
func After(value string, now time.Time, limit time.Duration) time.Duration {
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
