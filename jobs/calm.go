package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// calmInterval is how often the same message of River is passed on. While the database is away River logs one per fetch,
// that is 20 per second and queue.
const calmInterval = 10 * time.Second

// calmHandler passes River's warnings and errors on, the same message at most once in calmInterval. What River says at
// info level (every failed job) is said better by the line per attempt.
type calmHandler struct {
	slog.Handler
	memory *calmMemory
}

type calmMemory struct {
	mu   sync.Mutex
	last map[string]time.Time // by message: River's are constant, so it stays small
}

func newCalmHandler(h slog.Handler) *calmHandler {
	return &calmHandler{Handler: h, memory: &calmMemory{last: make(map[string]time.Time)}}
}

// Enabled drops what is below a warning.
func (h *calmHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// Handle passes a record on unless its message was passed on a moment ago.
func (h *calmHandler) Handle(ctx context.Context, r slog.Record) error {
	h.memory.mu.Lock()
	said := r.Time.Sub(h.memory.last[r.Message]) < calmInterval
	if !said {
		h.memory.last[r.Message] = r.Time
	}
	h.memory.mu.Unlock()
	if said {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the memory.
func (h *calmHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &calmHandler{Handler: h.Handler.WithAttrs(attrs), memory: h.memory}
}

// WithGroup keeps the memory.
func (h *calmHandler) WithGroup(name string) slog.Handler {
	return &calmHandler{Handler: h.Handler.WithGroup(name), memory: h.memory}
}
