package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A short run in CI, with the binaries as they are: a changed package time takes a minute to build. .ci/full does that.
func TestNothingIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("it kills processes for half a minute and waits for their jobs to be rescued")
	}
	t.Parallel()
	var out, progress bytes.Buffer
	err := run(t.Context(), []string{"--seed", "4", "--duration", "20s", "--no-clocks", "--json"}, &out, &progress)
	require.NoError(t, err, progress.String())
	var r report
	require.NoError(t, json.Unmarshal(out.Bytes(), &r), out.String())
	t.Log(progress.String())
	require.Zero(t, r.Lost)
	require.Zero(t, r.Phantom)
	require.Zero(t, r.Holes)
	require.Empty(t, r.Broken)
	require.Positive(t, r.Accepted)
	require.Positive(t, r.RolledBack)
	require.Positive(t, r.FaultCount)
	require.GreaterOrEqual(t, r.Committed, r.Accepted)
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), []string{"--seed", "many"}, &bytes.Buffer{}, &bytes.Buffer{})
	require.ErrorContains(t, err, "--seed")
}
