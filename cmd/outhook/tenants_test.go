package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A tenant's entry is made, changed and deleted, and nothing else of it.
func TestTenants(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.must(t, "endpoints", "create", c.receiver, "--tenant", "acme")
	_, err := c.run(t, "tenants", "show", "acme")
	require.Equal(t, exitNotFound, codeOf(err))
	require.ErrorContains(t, err, "has no entry")
	require.Regexp(t, `^TENANT +NAME +CONTACT +SINCE\n$`, c.must(t, "tenants", "list"))

	require.Regexp(t, `(?m)^tenant +acme\nname +ACME GmbH\ncontact +-\ncreated +\S+Z\nupdated +\S+Z\nmetadata plan +gold\nmetadata seats +7$`,
		c.must(t, "tenants", "set", "acme", "--name", "ACME GmbH", "--metadata", "plan=gold", "--metadata", "seats=7"))
	changed := c.must(t, "tenants", "set", "acme", "--contact", "ops@acme.example", "--metadata", "plan=free", "--remove", "seats")
	require.Regexp(t, `(?m)^name +ACME GmbH\ncontact +ops@acme.example$`, changed)
	require.Regexp(t, `(?m)^metadata plan +free$`, changed)
	require.NotContains(t, changed, "seats")
	require.Equal(t, changed, c.must(t, "tenants", "show", "acme"))
	require.Regexp(t, `(?m)^acme +ACME GmbH +ops@acme\.example +\S+Z$`, c.must(t, "tenants", "list"))

	for _, args := range [][]string{{"tenants", "set", "acme"}, {"tenants", "set", "acme", "--contact", "nobody"}, {"tenants", "delete", "acme"}} {
		_, err := c.run(t, args...)
		require.Equal(t, exitUsage, codeOf(err), "%v", args)
	}

	require.Contains(t, c.must(t, "tenants", "delete", "acme", "--yes"), "its endpoints, events and keys are as they were")
	_, err = c.run(t, "tenants", "delete", "acme", "--yes")
	require.Equal(t, exitNotFound, codeOf(err))
	require.Contains(t, c.must(t, "endpoints", "list"), "acme")
}
