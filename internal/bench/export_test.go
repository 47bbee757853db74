package bench

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
)

// Generate runs the load generator and returns the latencies of its enqueues.
func Generate(ctx context.Context, cfg Config, enqueue func() error) (*hdrhistogram.Histogram, error) {
	l, err := generate(ctx, cfg, func(context.Context, int, time.Time) ([]uuid.UUID, error) { return nil, enqueue() }, func(int64) {})
	return l.latency, err
}

// ValueOf starts a program and returns what it says behind prefix in one of its lines.
func ValueOf(ctx context.Context, prefix, executable string, args ...string) (string, error) {
	c, err := spawn(executable, args)
	if err != nil {
		return "", err
	}
	return c.value(ctx, prefix, "\n")
}
