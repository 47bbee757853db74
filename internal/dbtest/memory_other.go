//go:build !linux

package dbtest

// keepInMemory does nothing where no folder is known to be in memory.
func keepInMemory() {}
