//go:build !linux

package main

import (
	"errors"
	"os"
)

var errNotLinux = errors.New("pausing a process: only supported on Linux")

func pause(*os.Process) error { return errNotLinux }

func resume(*os.Process) error { return nil }
