// Package child starts processes that end with this one, also where this one is killed and can stop nobody.
//
// On Linux the kernel sees to that (PR_SET_PDEATHSIG of prctl(2)). Elsewhere the children of a process that was
// killed go on: whoever starts one there must be able to live with that, or find it later.
package child

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a child that was started and is being waited for.
type Process struct {
	// Cmd is what was started. Its Wait is ours to call: use [Process.Wait].
	Cmd *exec.Cmd

	done chan struct{} // closed when it has ended
	err  error         // of Cmd.Wait; read it after done
}

// Start starts a command. The child gets the signal last when this process ends, in whatever way, and it is still
// running: SIGKILL ends it, another asks it to end. What cmd.SysProcAttr says otherwise stays.
//
// The child is started on an OS thread of its own, which lives as long as the child: what the kernel watches is not
// this process but the thread that forked, and Go ends a thread when a goroutine that is locked to it returns.
//
// Returns the error of [exec.Cmd.Start] as it is.
func Start(cmd *exec.Cmd, last syscall.Signal) (*Process, error) {
	endWithUs(cmd, last)

	p := &Process{Cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()

		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()

	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether the child has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Wait waits for the child's end and returns what [exec.Cmd.Wait] says of it. It may be called any number of times.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Kill ends the child with SIGKILL and waits for that. A child that has ended already is no error.
func (p *Process) Kill() error {
	if err := p.Cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}
