package logthrottle_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/logthrottle"
)

func TestASamplerWritesTheFirstLinesAndThenAFewAMinute(t *testing.T) {
	t.Parallel()
	s := logthrottle.NewSampler[string](5, 15*time.Second, 10)
	began := time.Now()

	// A receiver that is down, 386 times a second for an hour.
	written, left := 0, 0
	for i := range 386 * 3600 {
		omitted, ok := s.Allow("down", began.Add(time.Duration(i)*time.Second/386))
		if ok {
			written++
			left += omitted
		}
		if i == 4 {
			require.Equal(t, 5, written, "the first ones at once")
		}
	}
	require.InDelta(t, 5+4*60, written, 1)
	require.InDelta(t, 386*3600-written, left, 15*386, "what was left out is told with the next line")

	// Another one is not its neighbour's.
	omitted, ok := s.Allow("other", began.Add(time.Hour))
	require.True(t, ok)
	require.Zero(t, omitted)
}

func TestASamplerRemembersABoundedNumberOfKeys(t *testing.T) {
	t.Parallel()
	const most = 100
	s := logthrottle.NewSampler[int](5, 15*time.Second, most)
	now := time.Now()

	written := 0
	for key := range 100_000 {
		if _, ok := s.Allow(key, now); ok {
			written++
		}
	}
	require.Equal(t, most+5, written, "those that there is no room for share what one may have")

	// When the first ones have been quiet, there is room again.
	now = now.Add(time.Minute)
	for key := range most {
		_, ok := s.Allow(200_000+key, now)
		require.True(t, ok)
	}
}

func TestMessagesWithACauseAreThrottledByIt(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := slog.New(logthrottle.Handler(slog.NewTextHandler(&out, nil), slog.LevelInfo))
	for range 10 {
		logger.Warn("gave a delivery back", slog.String("cause", "secret"))
		logger.Warn("gave a delivery back", slog.String("cause", "load"))
		logger.Info("a tenant is at its bound", slog.String("cause", "host"))
		logger.Info("an endpoint is quick again")
	}
	require.Equal(t, 1, strings.Count(out.String(), "cause=secret"))
	require.Equal(t, 1, strings.Count(out.String(), "cause=load"))
	require.Equal(t, 1, strings.Count(out.String(), "cause=host"))
	require.Equal(t, 10, strings.Count(out.String(), "quick again"), "what has no cause and is no trouble is not throttled")
}
