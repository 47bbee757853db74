package outhook

import (
	"context"
	"strings"
)

// traceKey is the key of a context's traceparent.
type traceKey struct{}

// ContextWithTraceparent returns a copy of ctx with which the events that are enqueued belong to a trace, unless they
// name one themselves ([Event].Traceparent). Set it once where a request comes in, from its header:
//
//	ctx = outhook.ContextWithTraceparent(ctx, r.Header.Get("traceparent"))
//
// or, with OpenTelemetry, from the span that is in the context:
//
//	carrier := propagation.MapCarrier{}
//	propagation.TraceContext{}.Inject(ctx, carrier)
//	ctx = outhook.ContextWithTraceparent(ctx, carrier["traceparent"])
//
// An empty traceparent, or one that is none, means no trace.
func ContextWithTraceparent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// depthKey is the key of a context's depth.
type depthKey struct{}

// ContextWithDepth returns a copy of ctx with which the events that are enqueued are known to follow from a webhook of
// Outhook. Set it where one comes in, from its header:
//
//	ctx = outhook.ContextWithDepth(ctx, r.Header.Get("outhook-depth"))
//
// It stops loops: an event to which more than 8 webhooks in a row led is stored and not delivered. An empty depth, or
// one that is no number from 1 to 999, means that no webhook led to them.
func ContextWithDepth(ctx context.Context, depth string) context.Context {
	return context.WithValue(ctx, depthKey{}, depth)
}

// traceparent returns the event's trace and what of webhooks led to it, or "". What is unusable is not sent, since its
// text may be anything, even bytes that Postgres refuses.
func traceparent(ctx context.Context, e Event) string {
	value := e.Traceparent
	if value == "" {
		value, _ = ctx.Value(traceKey{}).(string)
	}
	if !isTraceparent(value) {
		value = ""
	}

	if depth, _ := ctx.Value(depthKey{}).(string); isDepth(depth) {
		value += ";depth=" + depth
	}
	return value
}

// isDepth tells whether s is a number from 1 to 999, as the SQL function takes it.
func isDepth(s string) bool {
	return len(s) > 0 && len(s) <= 3 && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

// isTraceparent tells whether s is a traceparent of version 00 (W3C Trace Context, section 3.2): 00, trace id, span id
// and flags in lower-case hexadecimal, neither id all zeros. The SQL function has the same rule.
func isTraceparent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	return isID(s[3:35]) && isID(s[36:52]) && isHex(s[53:])
}

func isID(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return isHex(s)
		}
	}
	return false
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
