//go:build unix

package child_test

import (
	"bufio"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/outhook/outhook/internal/child"
)

// parentEnv makes this test binary start a shell script as a child, with the signal that it names, and wait.
const parentEnv = "OUTHOOK_CHILD_TEST_PARENT"

// limit is far more than anything here takes.
const limit = time.Minute

func TestMain(m *testing.M) {
	if signal := os.Getenv(parentEnv); signal != "" {
		os.Exit(runParent(signal, os.Args[1]))
	}
	goleak.VerifyTestMain(m)
}

// runParent starts a child that shares its output, and ends when its input does, without a word to the child.
func runParent(signal, script string) int {
	n, err := strconv.Atoi(signal)
	if err != nil {
		return 1
	}
	cmd := exec.Command("/bin/sh", "-c", script) //nolint:noctx // it ends with us
	cmd.Stdout = os.Stdout
	if _, err := child.Start(cmd, syscall.Signal(n)); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // any end of input is the sign
	return 0
}

// parent is a process with a child that says "ready".
type parent struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   io.Reader
}

func startParent(t *testing.T, signal syscall.Signal, script string) parent {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux signals a child when its parent ends")
	}

	cmd := exec.CommandContext(t.Context(), os.Args[0], script)
	cmd.Env = append(os.Environ(), parentEnv+"="+strconv.Itoa(int(signal)))

	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	r, w, err := os.Pipe() // not StdoutPipe, which Wait closes: the child goes on with it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	cmd.Stdout = w
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())

	require.NoError(t, r.SetReadDeadline(time.Now().Add(limit)))
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return parent{cmd: cmd, stdin: stdin, out: out}
}

// rest returns what the child says until it has ended: then nobody holds the pipe any more.
func (p parent) rest(t *testing.T) string {
	t.Helper()
	text, err := io.ReadAll(p.out)
	require.NoError(t, err, "the child has not ended")
	return string(text)
}

func TestAChildEndsWithAKilledParent(t *testing.T) {
	t.Parallel()
	p := startParent(t, syscall.SIGKILL, "echo ready; exec sleep 600")
	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.cmd.Wait())
	require.Empty(t, p.rest(t))
}

func TestAChildEndsWithAParentThatForgetsIt(t *testing.T) {
	t.Parallel()
	p := startParent(t, syscall.SIGKILL, "echo ready; exec sleep 600")
	require.NoError(t, p.stdin.Close())
	require.NoError(t, p.cmd.Wait())
	require.Empty(t, p.rest(t))
}

func TestTheLastSignalIsTheOneThatWasAskedFor(t *testing.T) {
	t.Parallel()
	p := startParent(t, syscall.SIGINT, "trap 'echo asked to end; exit' INT; echo ready; while :; do sleep 0.01; done")
	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.cmd.Wait())
	require.Equal(t, "asked to end\n", p.rest(t))
}

// cat starts a child that repeats what it is told, and returns what asks it whether it lives.
func cat(t *testing.T, change func(*exec.Cmd)) (p *child.Process, lives func() bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)

	change(cmd)
	p, err = child.Start(cmd, syscall.SIGKILL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Kill()) })

	out := bufio.NewReader(stdout)
	return p, func() bool {
		if _, err := io.WriteString(stdin, "word\n"); err != nil {
			return false
		}
		line, err := out.ReadString('\n')
		return err == nil && line == "word\n"
	}
}

// Go ends a thread whose locked goroutine returns, and the kernel would take that for the end of the parent.
func TestAChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	t.Parallel()
	var lives func() bool
	task := make(chan string)
	var ask func()

	ask = func() {
		runtime.LockOSThread()
		thread := threadOf(t)
		if thread == strconv.Itoa(os.Getpid()) {
			go ask() // the first thread never ends: another one
			<-t.Context().Done()
			return
		}
		_, lives = cat(t, func(*exec.Cmd) {})
		task <- thread
	}

	go ask()
	thread := <-task
	require.Eventually(t, func() bool {
		_, err := os.Stat("/proc/self/task/" + thread)
		return err != nil
	}, limit, time.Millisecond)
	require.True(t, lives())
}

// threadOf returns the id of this goroutine's thread, or skips where there is no /proc.
func threadOf(t *testing.T) string {
	t.Helper()
	link, err := os.Readlink("/proc/thread-self")
	if err != nil {
		return ""
	}
	return link[strings.LastIndex(link, "/")+1:]
}

func TestOwnGroup(t *testing.T) {
	t.Parallel()
	ours, err := syscall.Getpgid(os.Getpid())
	require.NoError(t, err)

	p, _ := cat(t, child.OwnGroup)
	group, err := syscall.Getpgid(p.Cmd.Process.Pid)
	require.NoError(t, err)
	require.Equal(t, p.Cmd.Process.Pid, group, "a Ctrl-C in the terminal does not reach it")

	p, _ = cat(t, func(*exec.Cmd) {})
	group, err = syscall.Getpgid(p.Cmd.Process.Pid)
	require.NoError(t, err)
	require.Equal(t, ours, group)
}

func TestProcess(t *testing.T) {
	t.Parallel()

	t.Run("WaitSaysHowItEnded", func(t *testing.T) {
		t.Parallel()
		p, err := child.Start(exec.CommandContext(t.Context(), "/bin/sh", "-c", "exit 3"), syscall.SIGKILL)
		require.NoError(t, err)
		for range 2 {
			var exit *exec.ExitError
			require.ErrorAs(t, p.Wait(), &exit)
			require.Equal(t, 3, exit.ExitCode())
		}
		<-p.Done()
		require.True(t, p.Ended())
		require.NoError(t, p.Kill(), "it has ended already")
	})

	t.Run("KillWaitsForTheEnd", func(t *testing.T) {
		t.Parallel()
		p, err := child.Start(exec.CommandContext(t.Context(), "sleep", "600"), syscall.SIGKILL)
		require.NoError(t, err)
		require.False(t, p.Ended())
		require.NoError(t, p.Kill())
		require.True(t, p.Ended())
		require.Error(t, p.Wait())
	})

	t.Run("StartFailsAsExecDoes", func(t *testing.T) {
		t.Parallel()
		_, err := child.Start(exec.CommandContext(t.Context(), "/no/such/program"), syscall.SIGKILL)
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
}
