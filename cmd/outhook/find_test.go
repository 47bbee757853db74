package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a customer has sent, its place is found, or it is said that there is none.
func TestFind(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	endpoint := textOf(t, c.object(t, "endpoints", "create", c.receiver, "--tenant", "acme", "--uid", "main"), "id")
	event := textOf(t, c.object(t, "events", "send", "acme", "invoice.paid", "1", "--idempotency-key", "order-7"), "id")

	require.Regexp(t, `^WHAT +BY +ID +TENANT +LABEL\nevent +id +`+event+` +acme +invoice\.paid\n$`, c.must(t, "find", "webhook-id: "+event))
	require.Regexp(t, `\nendpoint +uid +`+endpoint+` +acme +127\.0\.0\.1:\d+`, c.must(t, "find", "main"))
	require.Regexp(t, `\nendpoint +host +`+endpoint+` `, c.must(t, "find", "127.0.0.1"))
	require.Regexp(t, `\ntenant +tenant_id +acme +acme +-\n$`, c.must(t, "find", "acme"))
	require.Regexp(t, `\nevent +idempotency_key +`+event+` `, c.must(t, "find", "order-7", "--tenant", "acme"))

	out, err := c.run(t, "find", "order-7")
	require.Equal(t, exitNotFound, codeOf(err))
	require.Contains(t, out, "nothing is called that")
	require.Contains(t, out, "--tenant")
	_, err = c.run(t, "find", "")
	require.Equal(t, exitUsage, codeOf(err))
}
