package presence_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/presence"
)

// A process that thaws asks before it could renew, and before it could hear that its lease has lapsed.
func TestALeaseEndsByItself(t *testing.T) {
	t.Parallel()
	require.False(t, (&presence.Lease{}).Held(), "before the first renewal")

	synctest.Test(t, func(t *testing.T) {
		l := presence.LeaseSent(time.Now())
		require.True(t, l.Held())
		time.Sleep(7 * time.Second) //nolint:forbidigo // the bubble's clock
		require.True(t, l.Held())
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		require.False(t, l.Held())
	})
}

// The monotonic clock stands still while a machine is suspended.
func TestALeaseEndsWhileTheMachineIsSuspended(t *testing.T) {
	t.Parallel()
	require.True(t, presence.LeaseSent(time.Now().Round(0).Add(-7*time.Second)).Held())
	require.False(t, presence.LeaseSent(time.Now().Round(0).Add(-9*time.Second)).Held())
}
