package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/outhook/outhook/internal/child"
)

// account is always ourselves on Windows, where PostgreSQL refuses to run with administrator rights: start it without
// them.
type account struct{ name string }

func chooseAccount(string) (account, error) { return account{}, nil }

func (account) ours() bool { return true }

func (account) own(...string) error { return nil }

func (account) attributes() *syscall.SysProcAttr { return nil }

func ownedByUs(fs.FileInfo) bool { return true } // the temporary folder is the user's own

// The names that pg_ctl kill knows the postmaster's signals by.
const (
	fastShutdown      = "INT"
	immediateShutdown = "QUIT"
)

// signal goes through pg_ctl, because Windows has no signals and PostgreSQL emulates them over a named pipe.
func (c cluster) signal(ctx context.Context, run *child.Process, signal string) error {
	cmd := c.command(context.WithoutCancel(ctx), "pg_ctl", "kill", signal, strconv.Itoa(run.Cmd.Process.Pid))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(string(out)))
	}
	return nil
}

// lockOffset is where the lock lies: behind the text, since a locked range can't be read by others on Windows.
const lockOffset = 1 << 20

func tryLock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: lockOffset})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

// unlock leaves the lock to the file's close, which ends it: nobody else has the file open.
func unlock(*os.File) error { return nil }

func killGroup(p *os.Process) error { return p.Kill() }

func killPID(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil //nolint:nilerr // there is no such process
	}
	return p.Kill()
}

func resume(int) {}

// alive and commandLine tell nothing on Windows: a server that was left running is not found, and PostgreSQL's own
// check of the pid file makes the start fail with a message that says so.
func alive(int) bool { return false }

func commandLine(context.Context, int) string { return "" }

func backends(string) []int { return nil }
