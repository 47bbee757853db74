//go:build unix

package localpg

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// childEnv makes this test binary start a server in the folder that it names and wait to be killed.
const childEnv = "OUTHOOK_LOCALPG_TEST_CHILD"

// runChild is what a process that dies without a Stop does. It says "ready" when the server is up, and ends without a Stop
// when its input does.
func runChild(dir string) int {
	s, err := Start(context.Background(), Config{DataDir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, "ready", s.DataDir(), s.URL("outhook"))
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // any end of input is the signal
	return 0
}

type owner struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	dataDir string
	url     string
	pid     int // of the postmaster
}

// startChild starts this binary again, with a server in dir.
func startChild(t *testing.T, dir string) *owner {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	fields := strings.Fields(line)
	require.Len(t, fields, 3)
	c := &owner{cmd: cmd, stdin: stdin, dataDir: fields[1], url: fields[2]}
	c.pid = postmasterPID(t, c.dataDir)
	return c
}

// die ends the child with SIGKILL and waits for it.
func (c *owner) die(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Kill())
	require.Error(t, c.cmd.Wait())
}

func postmasterPID(t *testing.T, dataDir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dataDir, "pg", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	return pid
}

// postgresRuns says whether a pid is a PostgreSQL; a zombie, which nobody may have waited for yet, is none.
func postgresRuns(pid int) bool {
	out, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // ends by itself
	return err == nil && strings.Contains(string(out), "postgres") && !strings.Contains(string(out), "<defunct>")
}

func TestOrphan(t *testing.T) {
	t.Parallel()

	t.Run("StartAfterAKillFindsTheData", func(t *testing.T) {
		t.Parallel()
		dir := newDataDir(t)
		c := startChild(t, dir)
		execute(t, c.url, "CREATE TABLE words AS SELECT 'kept' AS word")
		_, err := tryStart(t, Config{DataDir: dir})
		require.ErrorIs(t, err, ErrLocked)
		require.ErrorContains(t, err, "process "+strconv.Itoa(c.cmd.Process.Pid))

		group, err := syscall.Getpgid(c.pid)
		require.NoError(t, err)
		require.Equal(t, c.pid, group, "a Ctrl-C in the terminal does not reach it")

		c.die(t)
		s := startServer(t, Config{DataDir: dir})
		require.Equal(t, "kept", recall(t, s))
		require.NotEqual(t, c.pid, postmasterPID(t, dir))
		require.False(t, postgresRuns(c.pid))
	})

	t.Run("StartClearsAfterADoubleKillBesideABusyBackend", func(t *testing.T) {
		t.Parallel()
		dir := newDataDir(t)
		c := startChild(t, dir)
		execute(t, c.url, "CREATE TABLE words AS SELECT 'kept' AS word")
		busy := startBusyBackend(t, c.url)
		require.NoError(t, syscall.Kill(c.pid, syscall.SIGKILL))

		c.die(t)
		s := startServer(t, Config{DataDir: dir})
		require.Equal(t, "kept", recall(t, s))
		require.Error(t, <-busy)
	})

	t.Run("ServerEndsWithAProcessThatForgetsToStopIt", func(t *testing.T) {
		t.Parallel()
		if runtime.GOOS != "linux" {
			t.Skip("only Linux signals a child when its parent ends")
		}
		c := startChild(t, newDataDir(t))
		require.True(t, postgresRuns(c.pid))
		require.NoError(t, c.stdin.Close())
		require.NoError(t, c.cmd.Wait())

		require.Eventually(t, func() bool { return !postgresRuns(c.pid) }, startLimit, 10*time.Millisecond)
	})
}

// TestStalePIDFile starts over each kind of pid file that a crash of the machine can leave. They share a data folder.
//
//nolint:paralleltest,tparallel // the subtests share what is above them
func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	s := startServer(t, Config{DataDir: dir})
	require.NoError(t, s.Stop(t.Context()))

	// A process of the server's account that is no server: PostgreSQL takes any such pid for a live server.
	bystander := s.cluster.command(t.Context(), "postgres")
	bystander.Path, bystander.Args = "/bin/sleep", []string{"sleep", "600"}
	p, err := spawn(bystander)
	require.NoError(t, err)
	defer p.Kill() //nolint:errcheck // the test's end

	for _, test := range []struct{ name, text string }{
		{"BystandersPID", strconv.Itoa(bystander.Process.Pid) + "\n" + dir + "\n"},
		{"Empty", ""},
		{"SingleUserPID", "-4194304\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := s.cluster.pidPath()
			require.NoError(t, os.WriteFile(path, []byte(test.text), 0o600))
			require.NoError(t, s.cluster.account.own(path))

			again, err := Start(t.Context(), Config{DataDir: dir})
			require.NoError(t, err)
			require.NoError(t, again.Stop(t.Context()))
			require.False(t, p.Ended(), "the bystander lives")
		})
	}
}

// TestOrphanWithoutParentSignal has the orphan of a system that doesn't signal children: a server that pg_ctl started.
//
//nolint:paralleltest,tparallel // the subtests share what is above them
func TestOrphanWithoutParentSignal(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	s := startServer(t, Config{DataDir: dir})
	require.NoError(t, s.Stop(t.Context()))
	options := strings.Join(s.cfg.arguments(s.port), " ")

	for _, test := range []struct {
		name    string
		prepare syscall.Signal
	}{
		{"RunningServerIsShutDown", 0},
		{"SuspendedServerIsShutDown", syscall.SIGSTOP},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := filepath.Join(dir, "pg", test.name+".log")
			_, err := s.cluster.output(t.Context(), "pg_ctl", "start", "-w", "-D", s.cluster.dir, "-l", log, "-o", options)
			require.NoError(t, err)
			orphan, err := s.cluster.readPIDFile()
			require.NoError(t, err)
			require.True(t, s.cluster.isPostmaster(t.Context(), orphan.pid))
			require.NoError(t, syscall.Kill(orphan.pid, test.prepare))

			startServer(t, Config{DataDir: dir})
			require.False(t, s.cluster.isPostmaster(t.Context(), orphan.pid))
			text, err := os.ReadFile(log)
			require.NoError(t, err)
			require.Contains(t, string(text), "received fast shutdown request")
			require.NotContains(t, string(text), "received immediate shutdown request")
		})
	}
}
