package child

import (
	"os/exec"
	"syscall"
)

// endWithUs asks the kernel for a signal to the child when the thread that starts it ends.
func endWithUs(cmd *exec.Cmd, last syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = last
}
