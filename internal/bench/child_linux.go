package bench

import "syscall"

// dieWithParent makes a process end with the thread that started it. Threads of Go's scheduler live as long as the
// process, but for those that a locked goroutine ends with.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
