//go:build !linux

package bench

import "syscall"

// dieWithParent does nothing: a killed benchmark leaves its processes running here.
func dieWithParent() *syscall.SysProcAttr { return nil }
