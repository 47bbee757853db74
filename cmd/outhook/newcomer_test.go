package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// newcomerLimit is how long it may take from the command to a delivery in the browser, with the modules on the machine: it
// is checked with OUTHOOK_TEST_LOAD=all, as .ci/full does.
const newcomerLimit = time.Minute

// demoProcess is a dev --demo as the README says to start it.
type demoProcess struct {
	*exec.Cmd

	began   time.Time
	link    string // that it printed
	lines   *bufio.Scanner
	printed strings.Builder
	log     *syncBuffer

	node, chromium string
}

// startDemo starts a demo and waits for its link. Without a browser to look at it, the test is skipped.
func startDemo(t *testing.T) *demoProcess {
	t.Helper()
	node, nodeErr := exec.LookPath("node")
	chromium, chromiumErr := exec.LookPath("chromium")
	_, missing := os.Stat(filepath.Join(nodeDir, "node_modules", "playwright-core"))
	dbtest.RequireTool(t, "Node, Chromium, or npm ci in jobs/testdata/node,", nodeErr == nil && chromiumErr == nil && missing == nil)

	// What go run does, but for its exit code, which after a Ctrl-C is 1 whatever the program's is.
	began, ctx := time.Now(), context.WithoutCancel(t.Context())
	program := filepath.Join(t.TempDir(), "outhook")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/outhook")
	build.Dir = "../.."
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	cmd := exec.CommandContext(ctx, program, "dev", "--demo", "--ephemeral", "--listen", "127.0.0.1:0", "--metrics-listen", "none")
	d := &demoProcess{Cmd: cmd, began: began, log: &syncBuffer{}, node: node, chromium: chromium}
	d.Stderr = d.log
	stdout, err := d.StdoutPipe()
	require.NoError(t, err)
	d.lines = bufio.NewScanner(stdout)
	require.NoError(t, d.Start())
	t.Cleanup(func() { require.NoError(t, d.end()) })

	for d.link == "" && d.lines.Scan() {
		d.printed.WriteString(d.lines.Text() + "\n")
		if rest, ok := strings.CutPrefix(d.lines.Text(), "Console "); ok {
			d.link = strings.Fields(rest)[0]
		}
	}
	require.NotEmpty(t, d.link, "%s\n%s", d.printed.String(), d.log)
	return d
}

// end presses Ctrl-C and waits for the demo's end.
func (d *demoProcess) end() error {
	if d.ProcessState != nil {
		return nil
	}
	if err := d.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	for d.lines.Scan() {
		d.printed.WriteString(d.lines.Text() + "\n")
	}
	return d.Wait()
}

// browse runs a script that drives Chromium, and returns what it prints.
func (d *demoProcess) browse(t *testing.T, script string, order any, folder string) []byte {
	t.Helper()
	in, err := json.Marshal(order)
	require.NoError(t, err)
	folder, err = filepath.Abs(folder)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), d.node, script, d.chromium, folder)
	cmd.Dir, cmd.Stdin, cmd.Stderr = nodeDir, bytes.NewReader(in), t.Output()
	out, err := cmd.Output()
	require.NoError(t, err)
	return out
}

// What the README says first, as a newcomer does it: the command, the printed link in a browser, a delivery, and Ctrl-C.
// How long it takes is held on a machine that does nothing else.
func TestANewcomerSeesADelivery(t *testing.T) {
	t.Parallel()
	dev := startDemo(t)
	linked := time.Since(dev.began)
	seen := dev.browse(t, "newcomer.mjs", map[string]string{"link": dev.link}, t.ArtifactDir())
	took := time.Since(dev.began)
	t.Logf("the link was there after %s, a delivery in the browser after %s: %s", linked, took, seen)
	if os.Getenv("OUTHOOK_TEST_LOAD") == "all" {
		require.LessOrEqual(t, took, newcomerLimit)
	}

	require.NoError(t, dev.end(), "%s\n%s", dev.printed.String(), dev.log)
	require.Empty(t, dev.log.String(), "a demo that works has nothing to say of trouble")
	lines := strings.Split(strings.TrimSpace(dev.printed.String()), "\n")
	require.True(t, strings.HasPrefix(lines[len(lines)-1], "Console "), "it ends with the link:\n%s", dev.printed.String())
}
