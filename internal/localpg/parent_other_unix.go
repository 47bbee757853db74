//go:build unix && !linux

package localpg

import "syscall"

// endWithParent can do nothing here: the next start on the same folder finds the orphan and ends it.
func endWithParent(*syscall.SysProcAttr) {}
