package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a process believes whose clock is moved: that an hour has gone by, although a second has.
const clockProgram = `package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	start := time.Now()
	wall := start.Round(0)
	os.WriteFile(os.Getenv("` + clockVariable + `"), []byte("-3600"), 0o600)
	for time.Now().Round(0).Sub(wall) > -30*time.Minute && time.Since(start) < time.Minute {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println(time.Now().Round(0).Sub(wall) < -30*time.Minute, time.Since(start) < 30*time.Second)
}
`

func TestTheOverlayMovesAProcesssClock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	overlay, err := writeOverlay(t.Context(), dir)
	require.NoError(t, err)
	program := filepath.Join(dir, "main")
	require.NoError(t, os.Mkdir(program, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(program, "main.go"), []byte(clockProgram), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(program, "go.mod"), []byte("module clock\n\ngo 1.26\n"), 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", "clock", ".")
	build.Dir = program
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	cmd := exec.CommandContext(t.Context(), filepath.Join(program, "clock"))
	cmd.Env = append(os.Environ(), clockVariable+"="+filepath.Join(dir, "clock"))
	out, err = cmd.Output()
	require.NoError(t, err)
	require.Equal(t, "true true", strings.TrimSpace(string(out)), "the wall clock moves, the monotonic one goes on")
}

func TestClocksAreSetForATime(t *testing.T) {
	t.Parallel()
	n := &node{clock: filepath.Join(t.TempDir(), "clock")}
	require.NoError(t, n.setClock(t.Context(), -wrongBy, time.Millisecond))
	text, err := os.ReadFile(n.clock)
	require.NoError(t, err)
	require.Equal(t, "0", string(text))
}
