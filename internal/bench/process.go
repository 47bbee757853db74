package bench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/outhook/outhook/internal/child"
)

// ChildCommand is the binary's hidden command that runs a process of the benchmark's own. Its argument is the kind.
const ChildCommand = "bench-child"

// The kinds of the benchmark's own processes.
const (
	KindReceiver = "receiver" // ServeReceiver
	KindCrowd    = "crowd"    // ServeCrowd
	KindRiver    = "river"    // ServeRiver
	KindRetain   = "retain"   // the retention, once; its end is said by WriteRetained
)

// process is one that was started for the benchmark.
type process struct {
	*child.Process

	out    *tail
	killed atomic.Bool // by kill
}

// spawnKind starts a process of the benchmark's own: of a kind, with that kind's flags, and an environment.
func (s *system) spawnKind(kind string, flags []string, env ...string) (*process, error) {
	return s.spawn(append([]string{ChildCommand, kind}, flags...), env...)
}

// spawn starts the binary with arguments and an environment. It is killed when this process dies.
func (s *system) spawn(args []string, env ...string) (*process, error) {
	return spawn(s.cfg.Executable, args, env...)
}

func spawn(executable string, args []string, env ...string) (*process, error) {
	cmd, out := exec.Command(executable, args...), &tail{} //nolint:gosec,noctx // stopped by stop
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = out, out

	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", args[0], err)
	}
	return &process{Process: p, out: out}, nil
}

// pid is the process's id.
func (p *process) pid() int { return p.Cmd.Process.Pid }

// name is the command that it runs, with the kind if it is one of the benchmark's own.
func (p *process) name() string {
	args := p.Cmd.Args[1:]
	if args[0] == ChildCommand {
		return args[0] + " " + args[1]
	}
	return args[0]
}

// kill ends the process with SIGKILL, as a fault.
func (p *process) kill() error {
	p.killed.Store(true)
	return p.Kill()
}

// stop ends the process gracefully, or after a while by force. One that was killed has ended.
func (p *process) stop() error {
	if p.killed.Load() {
		return nil
	}

	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Done():
	case <-time.After(stopTimeout):
		_ = p.Kill() // Wait says how it ended
	}

	if err := p.Wait(); err != nil {
		return fmt.Errorf("%s ended with %w: %s", p.name(), err, p.out)
	}
	return nil
}

// value waits for a line of the process's output that holds prefix, and returns what follows it up to end.
func (p *process) value(ctx context.Context, prefix, end string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()

	for ended := false; ; {
		if _, rest, ok := strings.Cut(p.out.String(), prefix); ok {
			if v, _, ok := strings.Cut(rest, end); ok {
				return v, nil
			}
		}
		if ended {
			return "", fmt.Errorf("%s ended: %s", p.name(), p.out)
		}

		select {
		case <-p.Done():
			ended = true // look once more: it may have spoken since
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for %s: %w", p.name(), ctx.Err())
		case <-tick.C:
		}
	}
}

// tail keeps the first 64 KiB that a process says.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write keeps what there is room for.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 64<<10 - t.buf.Len(); room > 0 {
		t.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
