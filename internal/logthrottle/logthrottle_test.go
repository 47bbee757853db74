package logthrottle_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/logthrottle"
)

func TestTheSameMessageIsSaidOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(logthrottle.Handler(slog.NewTextHandler(&out, nil), slog.LevelWarn))
		for range 1000 {
			logger.With(slog.Int("n", 1)).Warn("no database")
		}
		logger.Info("an attempt")
		logger.Warn("something else")
		logger.Error("no database")
		require.Equal(t, 1, strings.Count(out.String(), `level=WARN msg="no database"`))
		require.Contains(t, out.String(), "something else")
		require.Contains(t, out.String(), `level=ERROR msg="no database"`)
		require.NotContains(t, out.String(), "an attempt")
		require.NotContains(t, out.String(), "omitted")

		<-time.After(logthrottle.Interval)
		out.Reset()
		logger.Warn("no database")
		require.Contains(t, out.String(), fmt.Sprintf(`msg="no database" omitted=%d`, 999))

		<-time.After(logthrottle.Interval)
		out.Reset()
		logger.Warn("no database")
		require.NotContains(t, out.String(), "omitted")
	})
}
