package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Maintenance, as a person orders it: nothing leaves, everybody is told, nothing is lost.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.must(t, "endpoints", "create", c.receiver, "--tenant", "acme")
	send := func() string { return textOf(t, c.object(t, "events", "send", "acme", "a", "1"), "id") }
	require.Equal(t, "nothing is paused\n", c.must(t, "paused"))

	require.Regexp(t, `(?m)^paused +tenant acme\nsince +\S+Z\nby +OUTHOOK_API_KEY\nreason +a move$`,
		c.must(t, "pause", "--tenant", "acme", "--reason", "a move"))
	waits := send()
	c.await(t, `because +tenant_paused\nthat is +the deliveries of the tenant acme have been paused by OUTHOOK_API_KEY since \S+Z \(a move\)`, "why", waits)
	require.Regexp(t, `(?m)^resumed:\npaused +tenant acme$`, c.must(t, "resume", "--tenant", "acme"))
	c.await(t, `because +settled`, "why", waits)
	require.Equal(t, "nothing was paused: see `outhook paused`\n", c.must(t, "resume", "--tenant", "acme"))

	c.must(t, "pause", "--all", "--reason", "the network")
	require.Regexp(t, `(?m)^WHAT .*\nall deliveries +\S+Z +OUTHOOK_API_KEY +the network$`, c.must(t, "paused"))
	require.Regexp(t, `(?m)^\S+Z +OUTHOOK_API_KEY +pause-deliveries +- +deliveries all .* reason="the network"$`, c.must(t, "audit", "list"))
	waits = send()
	c.await(t, `because +(all_paused\nthat is +all deliveries have been paused by|settled)`, "why", waits)
	c.must(t, "resume", "--all")
	c.await(t, `because +settled`, "why", waits)

	for _, args := range [][]string{{"pause", "--all"}, {"pause", "--reason", "x"}, {"resume"}, {"resume", "--all", "--tenant", "acme"}, {"resume", "--tenant", ""}} {
		_, err := c.run(t, args...)
		require.Equal(t, exitUsage, codeOf(err), "%v", args)
	}
}
