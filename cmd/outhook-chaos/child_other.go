//go:build !linux

package main

import (
	"errors"
	"os"
	"syscall"
)

var errNotLinux = errors.New("pausing a process: only supported on Linux")

func childAttributes() *syscall.SysProcAttr { return nil }

func pause(*os.Process) error { return errNotLinux }

func resume(*os.Process) error { return nil }
