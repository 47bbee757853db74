package punctual_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/bench/punctual"
)

// What a scenario says of a log that was made by hand: seconds since an arbitrary moment.
func TestJudgesALog(t *testing.T) {
	t.Parallel()
	schedule := []time.Duration{time.Second, 3 * time.Second}

	for name, c := range map[string]struct {
		runs   []loggedRun
		faults []loggedFault
		lane   punctual.Lane
		late   map[string][]float64
		least  float64
	}{
		"OnTime": {
			runs:  []loggedRun{{At: 0, End: .5}, {At: 1.5, End: 2}, {At: 5.25, End: 5.5}},
			late:  map[string][]float64{"e": {0, .25}},
			least: 0,
		},
		"TooEarly": {
			runs:  []loggedRun{{At: 0, End: .5}, {At: 1.25, End: 2}},
			late:  map[string][]float64{"e": {-.25}},
			least: -.25,
		},
		"AnUnknownAttemptUsesUpNoDelay": {
			runs:  []loggedRun{{At: 0, End: .5}, {At: 9, End: 9, Unknown: true}, {At: 9, End: 9.5}, {At: 12.5, End: 13}},
			late:  map[string][]float64{"after an unknown attempt": {7.5}, "e": {0}},
			least: 0,
		},
		"AFrozenWorkerHeldIt": {
			runs:   []loggedRun{{At: 0, End: .5}, {At: 9.5, End: 10}},
			faults: []loggedFault{{At: 2, Freeze: true}},
			late:   map[string][]float64{"of those that a fault caught": {8}},
			least:  8,
		},
		"AnotherWorkerFrozenBeforeIsNoReason": {
			runs:   []loggedRun{{At: 10, End: 10.5}, {At: 19.5, End: 20}},
			faults: []loggedFault{{At: 8, Freeze: true}},
			late:   map[string][]float64{"e": {8}},
			least:  8,
		},
		"ALaneWaitsForAPacer": {
			runs:   []loggedRun{{At: 10, End: 10.5}, {At: 23.5, End: 24}},
			faults: []loggedFault{{At: 8, Pacer: true}},
			lane:   punctual.Lane{Paced: true, Width: 1},
			late:   map[string][]float64{"e": {.5}}, // of 8 s and 15
			least:  12,
		},
		"ALaneWaitsForItsRate": {
			runs:  []loggedRun{{At: 0, End: .5}, {At: 5, End: 5.5}},
			lane:  punctual.Lane{Paced: true, Width: 1, Interval: 5 * time.Second},
			late:  map[string][]float64{"e": {0}},
			least: 3.5,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			late, least := judge(c.runs, schedule, c.lane, c.faults)
			require.Equal(t, c.late, late)
			require.InDelta(t, c.least, least, 1e-9)
		})
	}
}

// loggedRun and loggedFault are those of a log, in seconds since an arbitrary moment.
type (
	loggedRun struct {
		At, End float64
		Unknown bool
	}
	loggedFault struct {
		At            float64
		Freeze, Pacer bool
	}
)

// judge returns how late the attempts of one delivery were, by kind ("e" is their endpoint), and the shortest wait less its
// delay.
func judge(
	runs []loggedRun, schedule []time.Duration, l punctual.Lane, faults []loggedFault,
) (late map[string][]float64, least float64) {
	at := func(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }

	c := punctual.Chain{Endpoint: "e", Due: at(runs[0].At)}
	for _, r := range runs {
		c.Runs = append(c.Runs, punctual.Run{At: at(r.At), End: at(r.End), Known: !r.Unknown})
	}
	broken := make([]punctual.Fault, len(faults))
	for i, f := range faults {
		broken[i] = punctual.Fault{At: at(f.At), Freeze: f.Freeze, Pacer: f.Pacer}
	}

	r := punctual.Judge([]punctual.Chain{c}, schedule, map[string]punctual.Lane{"e": l}, broken)
	return r.Late, r.Least
}
