package localpg

import "syscall"

// endWithParent asks the kernel to shut the server down, in order, when the thread that started it ends; see spawn.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
