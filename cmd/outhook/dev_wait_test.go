package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a killed dev has left says nothing, nor does whoever answers at its address now. A shell that runs what is
// printed then fails.
func TestDevWaitTrustsOnlyWhoTakesTheKey(t *testing.T) {
	t.Parallel()
	dir := reachableDir(t)
	var out bytes.Buffer
	limit := 300 * time.Millisecond
	require.ErrorContains(t, tellDev(t.Context(), &out, dir, limit), "after 300ms no `outhook dev` serves")
	require.Equal(t, "false\n", out.String())

	key := "it's an admin key of the test"
	url := migrated(t)
	dev := start(t, "dev", "--database-url", url, "--data-dir", dir, "--listen", "127.0.0.1:0", "--api-key", key)
	base := strings.TrimSuffix(field(dev.line(t, "API "), 1), "/api")
	out.Reset()
	require.NoError(t, tellDev(t.Context(), &out, dir, devWait))
	require.NotContains(t, out.String(), "DATABASE_URL", "whoever gave it has it")
	printed, err := exec.CommandContext(t.Context(), "sh", "-c", `eval "$0"; printf '%s %s' "$OUTHOOK_URL" "$OUTHOOK_API_KEY"`, out.String()).Output()
	require.NoError(t, err)
	require.Equal(t, base+" "+key, string(printed))

	stale := reachableDir(t)
	_, err = devAddress{URL: base, APIKey: "a key of another dev, which was killed"}.keepIn(stale)
	require.NoError(t, err)
	require.ErrorContains(t, tellDev(t.Context(), &out, stale, limit), "the API key is not valid there")
	require.NoError(t, dev.end(t))
	_, err = devAddress{URL: base, APIKey: key}.keepIn(stale)
	require.NoError(t, err)
	require.ErrorContains(t, tellDev(t.Context(), &out, stale, limit), "no answer from "+base)

	_, err = output(t, "dev", "--wait", "--reset")
	require.Equal(t, exitUsage, codeOf(err))
}
