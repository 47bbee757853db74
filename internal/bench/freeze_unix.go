//go:build unix

package bench

import "syscall"

// freeze stops a process in the middle of what it does, and thaw lets it go on.
func (p *process) freeze() error { return p.Cmd.Process.Signal(syscall.SIGSTOP) }

func (p *process) thaw() error { return p.Cmd.Process.Signal(syscall.SIGCONT) }
