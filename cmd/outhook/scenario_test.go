package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// scenarioReport is what is promised of bench <scenario> --json.
type scenarioReport struct {
	Scenario string
	OK       *bool
	Checks   []struct {
		Name    string
		Value   float64
		Bound   float64
		AtLeast bool `json:"at_least"`
		OK      bool
	}
	Figures []struct {
		Name  string
		Value float64
	}
}

func (r scenarioReport) figure(t *testing.T, name string) float64 {
	t.Helper()
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	require.FailNow(t, "no such figure", name)
	return 0
}

// scenario runs one in small. On a machine that does other things a promise about time may be broken: what a test may rely on
// is that the report says so, and what does not depend on time.
func scenario(t *testing.T, name string, args ...string) (r scenarioReport) {
	t.Helper()
	out, err := output(t, append([]string{"bench", name, "--json", "--duration", "1s", "--conns", "4"}, args...)...)
	require.NoError(t, json.Unmarshal([]byte(out), &r), "%s: %v", out, err)
	require.Equal(t, name, r.Scenario)
	require.NotEmpty(t, r.Checks)
	ok := true
	for _, c := range r.Checks {
		require.Equal(t, c.AtLeast && c.Value >= c.Bound || !c.AtLeast && c.Value <= c.Bound, c.OK, c.Name)
		ok = ok && c.OK
	}
	require.Equal(t, ok, *r.OK)
	if ok {
		require.NoError(t, err)
	} else {
		require.ErrorContains(t, err, "promise")
	}
	return r
}

func TestBenchScenarios(t *testing.T) {
	t.Parallel()

	t.Run("Dead", func(t *testing.T) {
		t.Parallel()
		r := scenario(t, "dead", "--rate", "40")
		require.InDelta(t, 28, r.figure(t, "healthy deliveries"), 1, "14 of 20 endpoints")
	})

	t.Run("Burst", func(t *testing.T) {
		t.Parallel()
		r := scenario(t, "burst", "--events", "2000")
		require.InDelta(t, 10, r.figure(t, "other tenant's events"), 0)
	})

	t.Run("Backlog", func(t *testing.T) {
		t.Parallel()
		r := scenario(t, "backlog", "--rate", "20", "--events", "500")
		require.InDelta(t, 20, r.figure(t, "healthy deliveries"), 0)
		require.LessOrEqual(t, r.figure(t, "slow endpoint's requests at once"), 64.0, "32 of the shared queues and 32 of its lane")
	})

	t.Run("Spread", func(t *testing.T) {
		t.Parallel()
		r := scenario(t, "spread", "--events", "100")
		require.True(t, *r.OK)
		require.Positive(t, r.figure(t, "N tenants × 1 event: peak memory of worker MiB"))
	})

	t.Run("Limited", func(t *testing.T) {
		t.Parallel()
		r := scenario(t, "limited", "--events", "500")
		for _, c := range r.Checks {
			if c.Name == "attempts beyond the first" {
				require.Zero(t, c.Value)
			}
		}
		require.Positive(t, r.figure(t, "WAL bytes per delivery"))
	})

	t.Run("Replay", func(t *testing.T) {
		t.Parallel()
		r := scenario(t, "replay", "--rate", "20", "--events", "300")
		require.InDelta(t, 20, r.figure(t, "healthy deliveries"), 0)
		require.Positive(t, r.figure(t, "replayed deliveries"))
	})

	t.Run("HasASystemOfItsOwn", func(t *testing.T) {
		t.Parallel()
		_, err := output(t, "bench", "dead", "--workers", "0")
		require.ErrorContains(t, err, "--workers 0")
		_, err = output(t, "bench", "dead", "--baseline", "river")
		require.ErrorContains(t, err, "--baseline")
	})
}
