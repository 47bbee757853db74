// Package logthrottle keeps trouble from flooding the log: what is said again and again is said once in a while, with
// the number of times that it was not.
package logthrottle

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Interval is how often the same message is passed on. While the database is away there is one line per fetch, per
// group and per request, which are hundreds per second.
const Interval = 10 * time.Second

// handler passes on what is at least a warning, the same message at most once in Interval.
type handler struct {
	slog.Handler
	memory *memory
}

// memory is shared by the handlers that come from one.
type memory struct {
	mu   sync.Mutex
	said map[string]*saying // by level and message, which are constant, so it stays small
}

type saying struct {
	at      time.Time
	omitted int // since then
}

// Handler returns a handler that passes warnings and errors on to h, those with the same level and message at most once
// in [Interval]. The attribute omitted counts those before it that were not passed on. It drops what is below a
// warning.
func Handler(h slog.Handler) slog.Handler {
	return &handler{Handler: h, memory: &memory{said: make(map[string]*saying)}}
}

// Enabled drops what is below a warning.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// Handle passes a record on unless its message was passed on a moment ago.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	omitted, ok := h.memory.say(r)
	if !ok {
		return nil
	}

	if omitted > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("omitted", omitted))
	}

	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the memory.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{Handler: h.Handler.WithAttrs(attrs), memory: h.memory}
}

// WithGroup keeps the memory.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{Handler: h.Handler.WithGroup(name), memory: h.memory}
}

// say returns how many records like r were omitted before it, or false if r is to be.
func (m *memory) say(r slog.Record) (omitted int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	key := r.Level.String() + " " + r.Message
	s := m.said[key]
	if s == nil {
		m.said[key] = &saying{at: r.Time}
		return 0, true
	}

	if r.Time.Sub(s.at) < Interval {
		s.omitted++
		return 0, false
	}

	omitted, s.at, s.omitted = s.omitted, r.Time, 0
	return omitted, true
}
