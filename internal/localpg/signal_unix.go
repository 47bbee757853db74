//go:build unix

package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/outhook/outhook/internal/child"
)

// The postmaster's signals (PostgreSQL manual, "Shutting Down the Server").
const (
	fastShutdown      = syscall.SIGINT
	immediateShutdown = syscall.SIGQUIT
)

func (c cluster) signal(_ context.Context, run *child.Process, signal syscall.Signal) error {
	if err := run.Cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// tryLock takes an exclusive lock on an open file, or returns ErrLocked at once. It belongs to the open file: a
// second open in the same process competes like any other. Go opens files close-on-exec, so no child inherits it for
// longer than until its exec; see unlock.
func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// unlock gives the lock back. To close the file would not do: a child that is between fork and exec has it open as
// well.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

func killGroup(p *os.Process) error {
	return ignoreGone(syscall.Kill(-p.Pid, syscall.SIGKILL))
}

func killPID(pid int) error {
	if err := ignoreGone(syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		return fmt.Errorf("killing process %d: %w", pid, err)
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// resume lets a suspended process go on. It is a courtesy: one that is not ours to signal is left for pg_ctl to judge.
func resume(pid int) { _ = syscall.Kill(pid, syscall.SIGCONT) }

// alive says whether there is a process with this pid, whoever owns it.
func alive(pid int) bool {
	if pid <= 0 {
		return false // a group, not a process: a server in single-user mode writes its pid negative
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// commandLine is a process' arguments joined with spaces, or "" if it is gone or a zombie. Anybody may read /proc's;
// where there is no /proc (macOS), ps tells.
func commandLine(ctx context.Context, pid int) string {
	if text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")); err == nil {
		return strings.TrimSpace(string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
	}

	ps := exec.CommandContext(context.WithoutCancel(ctx), "ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid))
	out, err := ps.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// backends are the processes of PostgreSQL whose working folder is the cluster, as it is for each of a server. It finds
// nothing where there is no /proc, and nothing of another user where we lack the right to look (root in a container
// without CAP_SYS_PTRACE): then PostgreSQL itself refuses to start until they have ended, and boot tries again.
func backends(clusterDir string) []int {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil // a constant pattern
	}

	var pids []int
	for _, link := range links {
		if cwd, err := os.Readlink(link); err != nil || cwd != clusterDir {
			continue
		}

		name, err := os.ReadFile(filepath.Join(filepath.Dir(link), "comm"))
		pid, pidErr := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && pidErr == nil && strings.TrimSpace(string(name)) == "postgres" {
			pids = append(pids, pid)
		}
	}
	return pids
}
