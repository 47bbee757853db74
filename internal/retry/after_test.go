package retry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/retry"
)

// A Retry-After has two forms, and what is neither counts for nothing.
func TestAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               0,
		"7":                              7 * time.Second,
		" 7 ":                            7 * time.Second,
		"0":                              0,
		"-7":                             0,
		"7.5":                            0,
		"soon":                           0,
		"3600":                           time.Hour,
		"3601":                           time.Hour,
		"9223372036854775807":            time.Hour,
		"9223372036854775808":            time.Hour,
		"18446744073709551616":           time.Hour,
		"99999999999999999999":           time.Hour,
		"99999999999999999999 seconds":   0,
		"+7":                             0,
		"٧":                              0,
		"000000000000000000000000000007": 7 * time.Second,
		"Fri, 02 Jan 2026 03:04:35 GMT":  30 * time.Second,
		"Fri, 02 Jan 2026 03:04:05 GMT":  0,
		"Thu, 01 Jan 2026 03:04:05 GMT":  0,
		"Sat, 03 Jan 2026 03:04:05 GMT":  time.Hour,
		"Friday, 02-Jan-26 03:04:35 GMT": 30 * time.Second,
	} {
		require.Equal(t, want, retry.After(value, now, time.Hour), value)
	}
	require.Equal(t, time.Hour, retry.After(strings.Repeat("9", 256), now, time.Hour))
}
