package main

import (
	"encoding/json"
	"os"
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

// value is what was measured of a promise.
func (r scenarioReport) value(t *testing.T, name string) float64 {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c.Value
		}
	}
	require.FailNow(t, "no such check", name)
	return 0
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

// requireLoad skips a scenario that takes a machine for half a minute. The slow checks have it.
func requireLoad(t *testing.T) {
	t.Helper()
	if os.Getenv("OUTHOOK_TEST_LOAD") != "all" {
		t.Skip("it takes half a minute of a machine: set OUTHOOK_TEST_LOAD=all, as .ci/full does")
	}
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
		require.GreaterOrEqual(t, r.figure(t, "other tenant's events"), 10.0)
		require.Zero(t, r.value(t, "other tenant's deliveries that did not arrive"))
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

	t.Run("Order", func(t *testing.T) {
		t.Parallel()
		r := scenario(t, "order", "--events", "2000")
		require.Positive(t, r.figure(t, "1000 ordered endpoints: events/s"))
		for _, c := range r.Checks {
			if c.Name == "one ordered endpoint: requests at once" {
				require.InDelta(t, 1, c.Value, 0)
			}
		}
	})

	t.Run("Replay", func(t *testing.T) {
		t.Parallel()
		r := scenario(t, "replay", "--rate", "20", "--events", "300")
		require.InDelta(t, 20, r.figure(t, "healthy deliveries"), 0)
		require.Positive(t, r.figure(t, "replayed deliveries"))
	})

	t.Run("FanOut", func(t *testing.T) {
		t.Parallel()
		requireLoad(t)
		r := scenario(t, "fanout")
		require.Zero(t, r.value(t, "requests that were refused"))
	})

	t.Run("Hostile", func(t *testing.T) {
		t.Parallel()
		requireLoad(t)
		r := scenario(t, "hostile")
		require.Zero(t, r.value(t, "requests that were refused"))
		require.Less(t, r.value(t, "peak memory of api MiB"), 512.0)
		require.Positive(t, r.figure(t, "and of them refused"))
	})

	t.Run("Stranger", func(t *testing.T) {
		t.Parallel()
		requireLoad(t)
		r := scenario(t, "stranger")
		require.Zero(t, r.value(t, "deliveries that ended wrongly"))
		require.Zero(t, r.value(t, "leaders deposed by the stranger"))
		require.GreaterOrEqual(t, r.figure(t, "deliveries"), 10-r.value(t, "requests that were refused"))
		require.Greater(t, r.figure(t, "notifications of the stranger"), 1000.0)
		require.GreaterOrEqual(t, r.figure(t, "advisory locks of the stranger"), 4.0)
	})

	t.Run("BurstsThatDoNotLookLikeOne", func(t *testing.T) {
		t.Parallel()
		requireLoad(t)
		for _, way := range []string{"loop", "trigger"} {
			r := scenario(t, "burst", "--way", way, "--events", "500")
			require.GreaterOrEqual(t, r.figure(t, "other tenant's events"), 10.0, way)
			require.Positive(t, r.figure(t, "burst committed after s"), way)
		}
	})

	t.Run("Schedule", func(t *testing.T) {
		t.Parallel()
		requireLoad(t)
		r := scenario(t, "schedule", "--events", "24", "--schedule", "1s,5s")
		for _, check := range []string{
			"deliveries that are not settled", "requests without a row", "rows of answers without a request",
		} {
			require.Zero(t, r.value(t, check), check)
		}
		require.GreaterOrEqual(t, r.value(t, "shortest wait less its delay, s, by the receiver"), 0.0)
		retries := 0.0
		for _, kind := range []string{"limited", "shared", "slow", "after an unknown attempt", "of those that a fault caught"} {
			retries += r.figure(t, "retries "+kind)
		}
		require.GreaterOrEqual(t, retries, 40.0, "of 48, some of which may be of a shared endpoint that got a lane")
		require.Positive(t, r.figure(t, "faults"))
	})

	t.Run("Frozen", func(t *testing.T) {
		t.Parallel()
		requireLoad(t)
		r := scenario(t, "frozen", "--freeze", "2s", "--rate", "20")
		require.Zero(t, r.value(t, "deliveries that did not arrive"))
		require.InDelta(t, 40, r.figure(t, "deliveries beside a frozen worker"), 0)
	})

	t.Run("Locked", func(t *testing.T) {
		t.Parallel()
		requireLoad(t)
		r := scenario(t, "locked", "--freeze", "2s", "--rate", "20")
		require.Zero(t, r.value(t, "deliveries that did not arrive"))
		require.InDelta(t, 10, r.figure(t, "retries"), 0)
	})

	t.Run("Steer", func(t *testing.T) {
		t.Parallel()
		requireLoad(t)
		r := scenario(t, "steer", "--events", "300")
		require.Zero(t, r.value(t, "other tenant's deliveries that did not arrive"))
		require.Less(t, r.value(t, "all cancelled after deleting s"), 180.0)
		require.Positive(t, r.figure(t, "deliveries before disabling"))
	})

	t.Run("HasASystemOfItsOwn", func(t *testing.T) {
		t.Parallel()
		_, err := output(t, "bench", "dead", "--workers", "0")
		require.ErrorContains(t, err, "--workers 0")
		_, err = output(t, "bench", "dead", "--baseline", "river")
		require.ErrorContains(t, err, "--baseline")
	})
}
