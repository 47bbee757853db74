package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pidFile is what we use of postmaster.pid, which a server writes when it starts and removes when it has ended in
// order. Its lines are a documented format (miscadmin.h, "LOCK_FILE_LINE_"): 1 is the pid, 8 the status.
type pidFile struct {
	pid    int
	status string // "starting", "ready", "stopping"
}

func (c cluster) pidPath() string { return filepath.Join(c.dir, "postmaster.pid") }

func (c cluster) readPIDFile() (pidFile, error) {
	text, err := os.ReadFile(c.pidPath())
	if err != nil {
		return pidFile{}, err
	}

	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return pidFile{}, fmt.Errorf("parsing %s: %w", c.pidPath(), err)
	}

	p := pidFile{pid: pid}
	if len(lines) >= 8 {
		p.status = strings.TrimSpace(lines[7])
	}
	return p, nil
}

// orphanLimits are the ways to end an orphaned server, with the seconds each gets. A fast shutdown writes a checkpoint:
// 20 s are 2 GB of dirty pages at 100 MB/s.
func orphanLimits() []struct{ mode, seconds string } {
	return []struct{ mode, seconds string }{{"fast", "20"}, {"immediate", "10"}}
}

// clearOrphans ends what a killed process of ours has left of a server on this cluster: a running postmaster, backends
// without one, a pid file that names somebody else's process. The caller holds the folder's lock, so it is nobody's
// server.
func (c cluster) clearOrphans(ctx context.Context) error {
	left, err := c.readPIDFile()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it ended in order
	}

	if err = c.stopOrphan(ctx, left.pid); err == nil { // a file that can't be read names pid 0, which is nobody
		err = c.killLeftovers(ctx)
	}
	if err == nil {
		err = c.removeStalePIDFile()
	}

	if err != nil {
		return fmt.Errorf("clearing what is left of a server in %s: %w", c.dir, err)
	}
	return nil
}

func (c cluster) stopOrphan(ctx context.Context, pid int) error {
	for _, limit := range orphanLimits() {
		if !c.isPostmaster(ctx, pid) {
			return nil
		}

		c.logger.WarnContext(ctx, "stopping an orphaned postgres",
			slog.Int("pid", pid), slog.String("mode", limit.mode), slog.String("data_dir", c.dir))
		resume(pid) // one that is suspended hears no other signal
		out, err := c.output(ctx, "pg_ctl", "stop", "-D", c.dir, "-m", limit.mode, "-w", "-t", limit.seconds)
		if err == nil {
			return c.awaitEnd(ctx, pid)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stopping an orphaned server: %w", err)
		}
		c.logger.WarnContext(ctx, "stopping an orphaned postgres failed", slog.String("output", lastLines(out)))
	}

	if !c.isPostmaster(ctx, pid) {
		return nil
	}
	if err := killPID(pid); err != nil {
		return err
	}
	return c.awaitEnd(ctx, pid)
}

// awaitEnd waits for a postmaster that is about to be gone: pg_ctl returns when the pid file is, which is a moment
// earlier.
func (c cluster) awaitEnd(ctx context.Context, pid int) error {
	for wait := firstPoll; c.isPostmaster(ctx, pid); wait = min(2*wait, lastPoll) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to end: %w", pid, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
	return nil
}

// isPostmaster says whether a pid of the pid file is alive and serves this cluster. Pids are used again: after a
// reboot, or in a container where they are small, the file may name a process that has nothing to do with us and must
// not be signalled.
func (c cluster) isPostmaster(ctx context.Context, pid int) bool {
	return pid > 0 && strings.Contains(commandLine(ctx, pid)+" ", "-D "+c.dir+" ")
}

// killLeftovers ends backends that outlived their postmaster: one that computes notices its death late. With no
// postmaster left, SIGKILL harms nothing; the next start recovers.
func (c cluster) killLeftovers(ctx context.Context) error {
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		pids := backends(c.dir)
		if len(pids) == 0 {
			return nil
		}

		for _, pid := range pids {
			if err := killPID(pid); err != nil {
				return err
			}
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for backends %v to end: %w", pids, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// removeStalePIDFile removes a pid file over which PostgreSQL would refuse to start although there is no server: it is
// empty, as a power failure leaves it, or names a living process that is no server of this cluster. Any other stale
// file is PostgreSQL's to judge, since it also checks the shared memory that the file names.
func (c cluster) removeStalePIDFile() error {
	left, err := c.readPIDFile()
	if errors.Is(err, fs.ErrNotExist) || err == nil && !alive(left.pid) {
		return nil
	}

	if err := os.Remove(c.pidPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
