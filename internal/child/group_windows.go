package child

import (
	"os/exec"
	"syscall"
)

// OwnGroup puts a child that is not started yet into a process group of its own: a Ctrl-C in the terminal then reaches
// this process alone, which can stop the child in order.
func OwnGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP
}
