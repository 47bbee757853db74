package batch_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/batch"
)

// echo allocates nothing, so that what a benchmark counts is the Group's own.
func echo(_ context.Context, in []int) ([]int, error) { return in, nil }

func intSize(int) int { return 8 }

func BenchmarkDoIdle(b *testing.B) {
	ctx := b.Context()
	g := batch.New(batch.Config{}, intSize, echo)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		out, err := g.Do(ctx, i)
		if err != nil || out != i {
			b.Fatalf("got %d, %v for %d", out, err, i)
		}
	}
	require.NoError(b, g.Close(ctx))
}

// BenchmarkDoContended has 64 callers. With a run that costs nothing it shows
// the Group's own cost; with one of a millisecond, how it collects.
func BenchmarkDoContended(b *testing.B) {
	b.Run("RunAtOnce", func(b *testing.B) { benchmarkContended(b, echo) })
	b.Run("RunOneMillisecond", func(b *testing.B) {
		benchmarkContended(b, func(ctx context.Context, in []int) ([]int, error) {
			<-time.After(time.Millisecond)
			return echo(ctx, in)
		})
	})
}

func benchmarkContended(b *testing.B, run func(context.Context, []int) ([]int, error)) {
	b.Helper()
	const callers = 64
	ctx := b.Context()
	g := batch.New(batch.Config{}, intSize, run)
	b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if out, err := g.Do(ctx, i); err != nil || out != i {
				b.Errorf("got %d, %v for %d", out, err, i)
				return
			}
		}
	})
	require.NoError(b, g.Close(ctx))
	s := g.Stats()
	b.ReportMetric(float64(s.Items)/float64(s.Groups), "items/group")
}
