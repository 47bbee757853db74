//go:build unix

package localpg

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A child of another server's start has all our files open from its fork to its exec.
func TestALockEndsAlthoughAChildHasTheFileOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		require.NoError(t, err)
		return f
	}
	f, other := open(), open()
	defer func() { require.NoError(t, other.Close()) }()
	inherited, err := syscall.Dup(int(f.Fd()))
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Close(inherited)) }()

	require.NoError(t, tryLock(f))
	require.ErrorIs(t, tryLock(other), ErrLocked)
	require.NoError(t, unlock(f))
	require.NoError(t, f.Close())
	require.NoError(t, tryLock(other))
}
