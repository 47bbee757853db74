package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// clockVariable names the file that holds how many seconds a worker's clock is ahead.
	clockVariable = "CHAOS_CLOCK"

	// wrongBy is how far a clock is set off, either way.
	wrongBy = 2 * time.Minute

	// nowHead is how time.Now begins in Go's own sources. What follows it in ours adds what the file says.
	nowHead = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"

	// clockSource is added to package time of the workers' binaries. Go reads the clock without libc, so that libfaketime
	// has nothing to hold on to, and Linux' time namespaces leave the wall clock alone.
	clockSource = `package time

import (
	"sync/atomic"
	"syscall"
)

var chaosAhead atomic.Int64

func init() {
	path, ok := syscall.Getenv("` + clockVariable + `")
	if !ok {
		return
	}
	readChaosAhead(path)
	go func() {
		for {
			Sleep(50 * Millisecond)
			readChaosAhead(path)
		}
	}()
}

func readChaosAhead(path string) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	var text [32]byte
	n, _ := syscall.Read(fd, text[:])
	syscall.Close(fd)
	var ahead, sign int64 = 0, 1
	for _, c := range text[:max(n, 0)] {
		switch {
		case c == '-':
			sign = -1
		case '0' <= c && c <= '9':
			ahead = 10*ahead + int64(c-'0')
		}
	}
	chaosAhead.Store(sign * ahead)
}
`
)

// writeOverlay writes, for go build -overlay, a package time whose wall clock a file moves while the process runs. Its
// monotonic clock goes on as it does when a machine's clock is set.
func writeOverlay(ctx context.Context, dir string) (path string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("finding Go's sources: %w", err)
	}

	folder := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(folder, "time.go")) //nolint:gosec // Go's own
	if err != nil {
		return "", fmt.Errorf("reading package time: %w", err)
	}

	before, after, ok := strings.Cut(string(source), nowHead)
	if !ok {
		return "", errors.New("changing package time: time.Now is not as it was in Go 1.26; " +
			"adapt nowHead to this version of Go")
	}
	files := map[string]string{
		"time.go":        before + nowHead + "\tsec += chaosAhead.Load()\n" + after,
		"chaos_ahead.go": clockSource,
	}

	replace := map[string]string{}
	for name, text := range files {
		ours := filepath.Join(dir, name)
		if err := os.WriteFile(ours, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("changing package time: %w", err)
		}
		replace[filepath.Join(folder, name)] = ours
	}

	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("changing package time: %w", err)
	}
	path = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return "", fmt.Errorf("changing package time: %w", err)
	}

	return path, nil
}

// setClock makes the clock of a process run ahead, or behind if ahead is negative, for a time.
func (n *node) setClock(ctx context.Context, ahead, length time.Duration) error {
	write := func(d time.Duration) error {
		if err := os.WriteFile(n.clock, []byte(strconv.Itoa(int(d.Seconds()))), 0o600); err != nil {
			return fmt.Errorf("setting a clock: %w", err)
		}
		return nil
	}

	if err := write(ahead); err != nil {
		return err
	}
	wait(ctx, length)
	return write(0)
}
