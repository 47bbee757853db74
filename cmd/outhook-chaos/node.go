package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/outhook/outhook/internal/child"
)

const (
	// restartAfter is how long a process that ended stays away, as with a container's restart policy.
	restartAfter = 300 * time.Millisecond

	// stopLimit bounds a SIGTERM: outhook gives itself 35 s.
	stopLimit = 50 * time.Second
)

// What a process does.
const (
	roleAPI    = "api"
	roleWorker = "worker"
)

// node is one outhook process, which is started again whenever it ends.
type node struct {
	name   string
	role   string // roleAPI or roleWorker
	binary string
	env    []string
	log    *os.File

	wire    *wire
	clock   string     // the file that moves its clock
	fault   sync.Mutex // held while a fault acts on it
	setting sync.Mutex // held while its clock is wrong, in which time other faults may act on it
	address atomic.Pointer[string]
	exits   atomic.Int64 // ends that nobody ordered
	ordered atomic.Bool  // the next end is a fault's doing
	frozen  atomic.Bool  // it is paused for long, and nothing else is to act on it

	journal *journal

	mu   sync.Mutex
	proc *child.Process
	down time.Time   // since when it does not serve; zero: it does
	ends []time.Time // when its processes ended
}

// supervise runs the process until ctx ends, and then stops it in order.
func (n *node) supervise(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := n.start(ctx); err != nil {
			return err
		}

		select {
		case <-ctx.Done():
			return n.stop()
		case <-n.ended():
			n.address.Store(nil)
			n.fell(true)
			if !n.ordered.Swap(false) {
				n.exits.Add(1)
			}
		}

		wait(ctx, restartAfter)
	}
	return nil
}

// start starts the process.
func (n *node) start(ctx context.Context) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), n.binary, "serve") //nolint:gosec // the binary that we built
	cmd.Env = n.env
	out := &addressWriter{node: n}
	cmd.Stdout, cmd.Stderr = out, out
	child.OwnGroup(cmd)

	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("starting %s: %w", n.name, err)
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	n.proc = p // how it ended is in its log
	return nil
}

// fell notes that it does not work from now on, or not at all any more.
func (n *node) fell(ended bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down.IsZero() {
		n.down = time.Now()
	}
	if ended {
		n.ends = append(n.ends, time.Now())
	}
}

// rose notes that it serves.
func (n *node) rose() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.down.IsZero() {
		n.journal.note(n.name, n.down, time.Now().Add(regain))
	}
	n.down = time.Time{}
}

func (n *node) process() (*os.Process, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc.Cmd.Process, n.proc.Done()
}

func (n *node) ended() <-chan struct{} {
	_, gone := n.process()
	return gone
}

// kill ends the process with SIGKILL, whatever it is doing.
func (n *node) kill() error {
	n.ordered.Store(true)
	n.fell(false)
	p, _ := n.process()
	return ignoreEnded(p.Kill())
}

// stop ends the process with SIGTERM and waits for that; one that does not stop in time is an error, and killed.
func (n *node) stop() error {
	p, gone := n.process()
	n.ordered.Store(true)
	n.fell(false)

	_ = resume(p) // a paused process does not hear
	_ = p.Signal(syscall.SIGTERM)

	select {
	case <-gone:
		return nil
	case <-time.After(stopLimit):
		_ = p.Kill()
		<-gone
		return fmt.Errorf("stopping %s: it did not end within %s of SIGTERM", n.name, stopLimit)
	}
}

// addressWriter writes a process's output to its log and picks the address out of the line that says that it serves.
type addressWriter struct {
	node *node
	rest []byte
}

func (w *addressWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return w.node.log.Write(p)
		}

		w.rest = rest
		if address := servingOn(line); address != "" {
			w.node.address.Store(&address)
			w.node.rose()
		}
	}
}

// servingOn returns the address of the line of the log that says that the process serves, "" of any other.
func servingOn(line []byte) string {
	var said struct{ Msg, Address string }
	if !bytes.Contains(line, []byte(`"msg":"serving"`)) || json.Unmarshal(line, &said) != nil {
		return ""
	}
	return said.Address
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
