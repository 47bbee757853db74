package web

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAxisOfCounts(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 2, 1: 2, 3: 4, 5: 6, 10: 10, 11: 20, 61: 80, 99: 100, 1001: 2000} {
		require.Equal(t, want, evenAbove(n), n)
	}
	require.Equal(t, "9,000", compact(9000))
	require.Equal(t, "40k", compact(40_000))
	require.Equal(t, "1.5M", compact(1_500_000))
}

func activityOf(step time.Duration, steps ...Step) Activity {
	a := Activity{Step: step, Took: "From enqueue to receipt"}
	from := time.Date(2026, 11, 29, 16, 15, 0, 0, time.UTC)
	for i, s := range steps {
		s.At = from.Add(time.Duration(i) * step)
		a.Steps = append(a.Steps, s)
	}
	return a
}

func ended(ok, bad int) Step {
	return Step{Outcomes: []Share{{"Succeeded", "ok", ok}, {"Rejected", "bad", bad}}}
}

func answered(p50, p95, p99 float64) Step {
	s := ended(1, 0)
	s.Latency = &Latency{p50, p95, p99}
	return s
}

// What failed stands on the line, however little it is, and what succeeded upon it.
func TestBars(t *testing.T) {
	t.Parallel()
	a := activityOf(time.Minute, ended(0, 0), ended(3000, 1), ended(0, 4000))
	require.Equal(t, 4000, a.top())
	require.Equal(t, []curve{
		{"bad", "M11 988h8v12h-8zM21 0h8v1000h-8z"}, {"ok", "M11 238h8v750h-8z"},
	}, a.bars())
	require.Len(t, a.busy(), 2)
	require.Equal(t, []string{"4,000", "2,000", "0"}, a.countLabels())
	require.Contains(t, a.countsText(), "for each minute: 3,000 succeeded, 4,001 rejected.")
}

// The axis of latencies goes by powers of ten, and a line has gaps where nothing ended.
func TestLines(t *testing.T) {
	t.Parallel()
	a := activityOf(time.Minute, answered(10, 10, 1000), ended(1, 0), answered(1, 10, 100), answered(1, 1, 1))
	require.Equal(t, []string{"1 s", "100 ms", "10 ms", "1 ms"}, a.latencyLabels())
	require.Equal(t, []curve{
		{"p99", "M5 0h0M25 334h0L35 1000"}, {"p95", "M5 667h0M25 667h0L35 1000"}, {"p50", "M5 667h0M25 1000h0L35 1000"},
	}, a.lines())

	require.Equal(t, []string{"100 ms", "10 ms", "1 ms"}, activityOf(time.Minute, ended(1, 0)).latencyLabels(), "of nothing")
	one := activityOf(time.Minute, answered(10, 10, 10))
	require.Equal(t, []string{"100 ms", "10 ms"}, one.latencyLabels(), "an axis has two ends")
	require.NotContains(t, one.lines()[0].Path, "NaN")
}

func TestTicksAreWholeTimes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		step  time.Duration
		steps int
		want  string
	}{
		{time.Minute, 15, "16:15 16:20 16:25"},
		{time.Minute, 60, "16:20 16:30 16:40 16:50 17:00 17:10"},
		{5 * time.Minute, 72, "17:00 18:00 19:00 20:00 21:00 22:00"},
		{15 * time.Minute, 96, "20:00 00:00 04:00 08:00 12:00"},
		{2 * time.Hour, 84, "Nov 30 Dec 1 Dec 2 Dec 3 Dec 4 Dec 5 Dec 6"},
		{8 * time.Hour, 90, "Dec 1 Dec 6 Dec 11 Dec 16 Dec 21 Dec 26"},
	} {
		var texts []string
		for _, tick := range activityOf(tc.step, make([]Step, tc.steps)...).ticks() {
			texts = append(texts, tick.Text)
		}
		require.Equal(t, tc.want, strings.Join(texts, " "))
	}
	require.Empty(t, Activity{}.ticks())
}

func TestSpark(t *testing.T) {
	t.Parallel()
	s := Spark{OK: []int{0, 90, 10}, Bad: []int{0, 10, 0}, Over: "24 hours"}
	require.Equal(t, "110 attempts in 24 hours, 90.9 % succeeded", s.text())
	require.Equal(t, []curve{{"ok", "M11 0h8v900h-8zM21 900h8v100h-8z"}, {"bad", "M11 900h8v100h-8z"}}, s.bars())
}
