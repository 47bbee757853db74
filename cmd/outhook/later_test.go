package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is for later says so, and is taken back by its key or its id until it is due.
func TestEventsForLater(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.object(t, "endpoints", "create", c.receiver, "--tenant", "acme")
	send := func(args ...string) string {
		id, ok := c.object(t, append([]string{"events", "send", "acme", "trial.ended", "1"}, args...)...)["id"].(string)
		require.True(t, ok)
		return id
	}
	byKey, byID := send("--deliver-at", "14d", "--idempotency-key", "trial-17"), send("--deliver-at", "90m")
	require.Regexp(t, `(?m)^deliver at +20`, c.must(t, "events", "show", byKey))
	require.Contains(t, c.must(t, "why", byKey), "as its publisher wished")

	require.Contains(t, c.must(t, "events", "cancel", "--tenant", "acme", "--idempotency-key", "trial-17"), byKey+"  taken back, cancelled deliveries: 1")
	require.Contains(t, c.must(t, "events", "cancel", byID), byID+"  taken back, cancelled deliveries: 1")
	require.Contains(t, c.must(t, "events", "cancel", byID), "cancelled deliveries: 0")
	require.Regexp(t, `(?m)^taken back +20`, c.must(t, "events", "show", byID))
	c.await(t, byKey+` .*cancelled +withdrawn`, "deliveries", "list", "--state", "cancelled")

	atOnce := send()
	c.await(t, atOnce+` .*succeeded`, "deliveries", "list", "--state", "succeeded")
	_, err := c.run(t, "events", "cancel", atOnce)
	require.Equal(t, exitConflict, codeOf(err))
	require.ErrorContains(t, err, "not for later")
	for _, args := range [][]string{{}, {atOnce, "--idempotency-key", "k"}} {
		_, err = c.run(t, append([]string{"events", "cancel"}, args...)...)
		require.Equal(t, exitUsage, codeOf(err))
	}
	_, err = c.run(t, "events", "send", "acme", "a", "1", "--deliver-at", "tomorrow")
	require.Equal(t, exitUsage, codeOf(err))
}
