package dbtest

import (
	"os"
	"syscall"
)

const (
	// memoryFolder is where Linux keeps files in memory.
	memoryFolder = "/dev/shm"

	// memoryNeed is what must be free there, in bytes: the servers and databases of two test binaries at once, several
	// times over.
	memoryNeed = 2 << 30

	// noExec is ST_NOEXEC of statfs(2).
	noExec = 0x8
)

// keepInMemory lets this test binary and its children make their temporary files in memory, unless TMPDIR says where. A
// database is a thousand files: to clone and drop one takes 85 ms of a CPU there and 310 ms on ext4.
func keepInMemory() {
	if os.Getenv("TMPDIR") != "" {
		return
	}

	var fs syscall.Statfs_t
	if err := syscall.Statfs(memoryFolder, &fs); err != nil {
		return
	}
	free := fs.Bavail * uint64(fs.Bsize)           //nolint:gosec // a block's size is positive
	if free < memoryNeed || fs.Flags&noExec != 0 { // tests run what they build
		return
	}

	_ = os.Setenv("TMPDIR", memoryFolder) // fails only for a name with a NUL or a =
}
