package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/jobs/health"
)

// drawOutcomes draws what came of attempts, one each second.
func drawOutcomes(t *rapid.T) []health.Outcome {
	oks := rapid.SliceOfN(rapid.Bool(), 1, 30).Draw(t, "outcomes")
	list := make([]health.Outcome, len(oks))
	for i, ok := range oks {
		list[i] = health.Outcome{At: time.Unix(int64(1000+i), 0), OK: ok}
	}
	return list
}

// cut cuts a list in pieces.
func cut(t *rapid.T, list []health.Outcome) (pieces [][]health.Outcome) {
	for len(list) > 0 {
		n := rapid.IntRange(1, len(list)).Draw(t, "length")
		pieces, list = append(pieces, list[:n]), list[n:]
	}
	return pieces
}

func TestOneProcessCountsExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		outcomes := drawOutcomes(t)
		var failures int32
		var since, success *time.Time
		for i := range outcomes {
			switch o := outcomes[i]; {
			case o.OK:
				failures, since, success = 0, nil, &o.At
			case failures == 0:
				failures, since = 1, &o.At
			default:
				failures++
			}
		}
		var tellings [][][]health.Outcome
		for pieces := cut(t, outcomes); len(pieces) > 0; {
			n := rapid.IntRange(1, len(pieces)).Draw(t, "pieces")
			tellings, pieces = append(tellings, pieces[:n]), pieces[n:]
		}
		h := health.Told(tellings...)
		require.Equal(t, failures, h.ConsecutiveFailures)
		require.Equal(t, since, h.FailingSince)
		require.Equal(t, success, h.LastSuccessAt)
	})
}

// Whatever the order in which processes tell: a success ends the failures before it, and the last outcome decides.
func TestProcessesAgreeOnWhatMatters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		outcomes := drawOutcomes(t)
		processes := make([][]health.Outcome, 3)
		var success time.Time
		for _, o := range outcomes {
			p := rapid.IntRange(0, len(processes)-1).Draw(t, "process")
			processes[p] = append(processes[p], o)
			if o.OK {
				success = o.At
			}
		}
		var tellings [][][]health.Outcome
		for _, process := range processes {
			for _, piece := range cut(t, process) {
				tellings = append(tellings, [][]health.Outcome{rapid.Permutation(piece).Draw(t, "order")})
			}
		}
		h := health.Told(rapid.Permutation(tellings).Draw(t, "tellings")...)
		last := outcomes[len(outcomes)-1]
		require.Equal(t, h.ConsecutiveFailures == 0, h.FailingSince == nil)
		require.Equal(t, last.OK, h.ConsecutiveFailures == 0)
		require.LessOrEqual(t, int(h.ConsecutiveFailures), len(outcomes))
		if h.FailingSince != nil {
			require.True(t, h.FailingSince.After(success))
			require.Equal(t, last.At, *h.LastFailureAt)
		}
		if !success.IsZero() {
			require.Equal(t, success, *h.LastSuccessAt)
		}
	})
}
