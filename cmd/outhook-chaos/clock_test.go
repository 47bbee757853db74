package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Nothing that a process does by the database's clock goes by what its own is set to.
func TestTheOverlayMovesAProcesssClock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	overlay, err := writeOverlay(t.Context(), dir)
	require.NoError(t, err)

	program := filepath.Join(dir, "program")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", program, "./testdata/clock").CombinedOutput()
	require.NoError(t, err, string(out))

	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), clockVariable+"="+filepath.Join(dir, "clock"))
	out, err = cmd.Output()
	require.NoError(t, err)
	require.Equal(t, `the wall clock moved: true
the monotonic one goes on: true
the database's goes on: true
ahead of the wall clock: 1h0m0s
`, string(out))
}

func TestClocksAreSetForATime(t *testing.T) {
	t.Parallel()
	n := &node{clock: filepath.Join(t.TempDir(), "clock")}
	require.NoError(t, n.setClock(t.Context(), -wrongBy, time.Millisecond))
	text, err := os.ReadFile(n.clock)
	require.NoError(t, err)
	require.Equal(t, "0", string(text))
}
