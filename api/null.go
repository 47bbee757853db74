package api

import "time"

// textOrNull returns nil for an empty text.
func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// bound returns a bound of a list by time, nil for no time. An id can't hold a time before 1970.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	if epoch := time.Unix(0, 0); t.Before(epoch) {
		t = epoch
	}
	return &t
}
