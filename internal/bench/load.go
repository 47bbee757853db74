package bench

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// enqueueFunc enqueues events whose payloads hold the time they were due, and returns the ids of those that are
// committed. conn is the number of the connection, from 0.
type enqueueFunc func(ctx context.Context, conn int, due time.Time) ([]uuid.UUID, error)

// load is what clients saw.
type load struct {
	ids      []uuid.UUID
	began    time.Time
	ended    time.Time
	latency  *hdrhistogram.Histogram // of an enqueue from when it was due
	enqueues int64
}

// generate enqueues for a time over a number of connections: in a closed loop, each the next when the one before has
// ended, or at a rate, where each of the connections takes the next that is due. An enqueue that starts late because
// all connections are busy is measured from when it was due, so that a stall is not left out.
func generate(ctx context.Context, cfg Config, enqueue enqueueFunc, progress func(int64)) (*load, error) {
	l := &load{latency: newHistogram(), began: time.Now()}
	end := l.began.Add(cfg.Duration)

	var mu sync.Mutex
	var next, count atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for conn := range cfg.Conns {
		g.Go(func() error {
			var ids []uuid.UUID
			latency := newHistogram()
			for {
				due := time.Now()
				if cfg.Rate > 0 {
					due = l.began.Add(time.Duration(float64(next.Add(1)-1) / cfg.Rate * float64(time.Second)))
				}
				if !due.Before(end) {
					break
				}
				if err := sleepUntil(ctx, due); err != nil {
					return err
				}

				got, err := enqueue(ctx, conn, due)
				if err != nil {
					return fmt.Errorf("enqueueing: %w", err)
				}

				record(latency, time.Since(due))
				ids = append(ids, got...)
				progress(count.Add(int64(len(got))))
			}

			mu.Lock()
			defer mu.Unlock()
			l.ids = append(l.ids, ids...)
			l.latency.Merge(latency)
			return nil
		})
	}

	err := g.Wait()
	l.ended, l.enqueues = time.Now(), l.latency.TotalCount()
	return l, err
}

func sleepUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err()
	}

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// perSecond returns n in so much time as a rate.
func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return math.Round(float64(n)/d.Seconds()*10) / 10
}
