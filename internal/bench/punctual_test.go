package bench_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/bench"
)

// What a scenario says of a log that was made by hand: seconds since an arbitrary moment.
func TestJudgesALog(t *testing.T) {
	t.Parallel()
	schedule := []time.Duration{time.Second, 3 * time.Second}

	for name, c := range map[string]struct {
		runs   []bench.LoggedRun
		faults []bench.Fault
		lane   bench.Lane
		late   map[string][]float64
		least  float64
	}{
		"OnTime": {
			runs:  []bench.LoggedRun{{At: 0, End: .5}, {At: 1.5, End: 2}, {At: 5.25, End: 5.5}},
			late:  map[string][]float64{"e": {0, .25}},
			least: 0,
		},
		"TooEarly": {
			runs:  []bench.LoggedRun{{At: 0, End: .5}, {At: 1.25, End: 2}},
			late:  map[string][]float64{"e": {-.25}},
			least: -.25,
		},
		"AnUnknownAttemptUsesUpNoDelay": {
			runs:  []bench.LoggedRun{{At: 0, End: .5}, {At: 9, End: 9, Unknown: true}, {At: 9, End: 9.5}, {At: 12.5, End: 13}},
			late:  map[string][]float64{"after an unknown attempt": {7.5}, "e": {0}},
			least: 0,
		},
		"AFrozenWorkerHeldIt": {
			runs:   []bench.LoggedRun{{At: 0, End: .5}, {At: 9.5, End: 10}},
			faults: []bench.Fault{{At: 2, Freeze: true}},
			late:   map[string][]float64{"of those that a fault caught": {8}},
			least:  8,
		},
		"AnotherWorkerFrozenBeforeIsNoReason": {
			runs:   []bench.LoggedRun{{At: 10, End: 10.5}, {At: 19.5, End: 20}},
			faults: []bench.Fault{{At: 8, Freeze: true}},
			late:   map[string][]float64{"e": {8}},
			least:  8,
		},
		"ALaneWaitsForAPacer": {
			runs:   []bench.LoggedRun{{At: 10, End: 10.5}, {At: 23.5, End: 24}},
			faults: []bench.Fault{{At: 8, Pacer: true}},
			lane:   bench.Lane{Paced: true, Width: 1},
			late:   map[string][]float64{"e": {.5}}, // of 8 s and 15
			least:  12,
		},
		"ALaneWaitsForItsRate": {
			runs:  []bench.LoggedRun{{At: 0, End: .5}, {At: 5, End: 5.5}},
			lane:  bench.Lane{Paced: true, Width: 1, Interval: 5 * time.Second},
			late:  map[string][]float64{"e": {0}},
			least: 3.5,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			late, least := bench.Judge(c.runs, schedule, c.lane, c.faults)
			require.Equal(t, c.late, late)
			require.InDelta(t, c.least, least, 1e-9)
		})
	}
}
