//go:build unix

package bench_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/bench"
)

// What a process says last counts, also if it has ended before anybody looks.
func TestLastLineOfAProcess(t *testing.T) {
	t.Parallel()
	for range 20 {
		value, err := bench.ValueOf(t.Context(), "took ", "/bin/sh", "-c", "echo took 5")
		require.NoError(t, err)
		require.Equal(t, "5", value)
	}
	_, err := bench.ValueOf(t.Context(), "took ", "/bin/sh", "-c", "echo nothing")
	require.ErrorContains(t, err, "ended: nothing")
}
