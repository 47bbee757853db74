package ledger

import (
	"strconv"
	"strings"
)

const (
	// HeaderDepth says with each webhook how many in a row have led to it, itself included: 1 if nothing led to its event.
	// An application that publishes an event in response passes it on.
	HeaderDepth = "outhook-depth"

	// MaxDepth is how many webhooks in a row may lead to an event that is delivered. More are a loop: an application of
	// several services that tell one another has a few.
	MaxDepth = 8

	// depthMark begins the depth in events.traceparent.
	depthMark = ";depth="
)

// WithDepth returns what is stored in events.traceparent: the trace, "" for none, and behind it, if it is not 0, how
// many webhooks led to the event, like ;depth=2. The SQL function takes no more than three digits.
func WithDepth(traceparent string, depth int) string {
	if depth == 0 {
		return traceparent
	}
	return traceparent + depthMark + strconv.Itoa(depth)
}

// SplitDepth returns the two parts of what WithDepth made.
func SplitDepth(stored string) (traceparent string, depth int) {
	traceparent, digits, _ := strings.Cut(stored, depthMark)
	depth, _ = strconv.Atoi(digits) // the database has nothing else there
	return traceparent, depth
}

// TraceID returns the trace id of a traceparent (version-trace-parent-flags), "" if it has none.
func TraceID(traceparent string) string {
	_, rest, _ := strings.Cut(traceparent, "-")
	id, _, _ := strings.Cut(rest, "-")
	if len(id) != 32 {
		return ""
	}
	return id
}
