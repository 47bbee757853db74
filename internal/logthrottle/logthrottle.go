// Package logthrottle keeps trouble from flooding the log: what is said again and again is said once in a while, with
// the number of times that it was not.
package logthrottle

import (
	"context"
	"log/slog"
	"time"
)

const (
	// Interval is how often the same message is passed on. While the database is away there is one line per fetch, per
	// group and per request, which are hundreds per second.
	Interval = 10 * time.Second

	// Cause is the key of an attribute that tells messages apart that are worded alike. Its values are few.
	Cause = "cause"

	// Omitted is the key of the attribute that counts what was not passed on since the last line.
	Omitted = "omitted"

	// maxMessages bounds the memory: messages are constant, those of libraries nearly all are.
	maxMessages = 1000
)

// handler passes on the same message at most once in Interval.
type handler struct {
	slog.Handler
	least  slog.Level
	memory *Sampler[message] // shared by the handlers that come from one
}

// message is what is the same.
type message struct {
	level       slog.Level
	text, cause string
}

// New returns a logger whose [Handler] passes on to that of another.
func New(logger *slog.Logger) *slog.Logger {
	return slog.New(Handler(logger.Handler(), slog.LevelDebug))
}

// Handler returns a handler that passes on to h those warnings and errors that have the same level, message and [Cause]
// at most once in [Interval], and so other lines that have a cause. The attribute [Omitted] counts those before it that
// were not passed on. Other lines pass. What is below least is dropped.
func Handler(h slog.Handler, least slog.Level) slog.Handler {
	return &handler{Handler: h, least: least, memory: NewSampler[message](1, Interval, maxMessages)}
}

// Enabled drops what is below the least level.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.least && h.Handler.Enabled(ctx, level)
}

// Handle passes a record on unless its message was passed on a moment ago.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	cause := causeOf(r)
	if r.Level < slog.LevelWarn && cause == "" {
		return h.Handler.Handle(ctx, r)
	}

	omitted, ok := h.memory.Allow(message{r.Level, r.Message, cause}, r.Time)
	if !ok {
		return nil
	}
	if omitted > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int(Omitted, omitted))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the memory.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{Handler: h.Handler.WithAttrs(attrs), least: h.least, memory: h.memory}
}

// WithGroup keeps the memory.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{Handler: h.Handler.WithGroup(name), least: h.least, memory: h.memory}
}

// causeOf returns a record's cause, "" if it has none.
func causeOf(r slog.Record) (cause string) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == Cause {
			cause = a.Value.String()
		}
		return cause == ""
	})
	return cause
}
