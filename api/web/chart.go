package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Activity is what went on over some time, step by step: two charts, and a table with the same numbers.
type Activity struct {
	Ranges []Range // of time, to choose from
	Step   time.Duration
	Steps  []Step
	Took   string   // what the latencies are, in words
	Whole  *Latency // of the whole time; nil: nothing ended

	// Events says whether events are counted too: not of an endpoint.
	Events bool

	Title, Said string // of the chart of outcomes, and what it shows in words; "": as the console says it
}

// Range leads to the same charts of another time.
type Range struct {
	Label, Href string
	Current     bool
}

// Step is a part of the time, from At on.
type Step struct {
	At       time.Time
	Events   int
	Outcomes []Share  // of attempts that ended; the same ones in each step
	Latency  *Latency // nil: nothing ended
}

// Latency is percentiles in milliseconds.
type Latency struct{ P50, P95, P99 float64 }

// attempts returns how many ended.
func (s Step) attempts() (n int) {
	for _, o := range s.Outcomes {
		n += o.Count
	}
	return n
}

// Sums adds up each outcome.
func (a Activity) Sums() (list []Share) {
	for i, s := range a.Steps {
		if i == 0 {
			list = append(list, s.Outcomes...)
			continue
		}
		for k, o := range s.Outcomes {
			list[k].Count += o.Count
		}
	}
	return list
}

// attempts returns how many ended.
func (a Activity) attempts() int { return Step{Outcomes: a.Sums()}.attempts() }

// busy are the steps in which something happened: an empty one has no row in the table.
func (a Activity) busy() (list []Step) {
	for _, s := range a.Steps {
		if s.Events > 0 || s.attempts() > 0 {
			list = append(list, s)
		}
	}
	return list
}

// A plot has units of its own, and is stretched to the room that there is: a step is stepWidth wide.
const (
	stepWidth  = 10
	plotHeight = 1000
)

func (a Activity) width() int { return stepWidth * len(a.Steps) }

func (a Activity) viewBox() string { return fmt.Sprintf("0 0 %d %d", a.width(), plotHeight) }

// curve is a path of a plot.
type curve struct{ Tone, Path string }

// grid is the lines of an axis: so many stretches of the same height.
func (a Activity) grid(stretches int) string {
	var b strings.Builder
	for i := range stretches + 1 {
		fmt.Fprintf(&b, "M0 %dH%d", i*plotHeight/stretches, a.width())
	}
	return b.String()
}

// top is the upper end of the axis of counts: an even number, so that its half is one.
func (a Activity) top() int {
	most := 0
	for _, s := range a.Steps {
		most = max(most, s.attempts())
	}
	return evenAbove(most)
}

// evenAbove returns the least of 2, 4, 6, 8, 10, 20, 40, 60 and so on that is not less than n.
func evenAbove(n int) int {
	for unit := 1; ; unit *= 10 {
		for _, factor := range []int{2, 4, 6, 8, 10} {
			if factor*unit >= n {
				return factor * unit
			}
		}
	}
}

// countLabels are those of the axis of counts, from the top down.
func (a Activity) countLabels() []string {
	return []string{compact(a.top()), compact(a.top() / 2), "0"}
}

// compact writes a round number shortly.
func compact(n int) string {
	switch {
	case n >= 1_000_000:
		return strconv.FormatFloat(float64(n)/1_000_000, 'g', -1, 64) + "M"
	case n >= 10_000:
		return strconv.FormatFloat(float64(n)/1_000, 'g', -1, 64) + "k"
	}
	return Count(n)
}

// leastBar is how high a bar is at least: what is there is seen.
const leastBar = 12

// bars are the outcomes of each step, one upon the other: a path for each outcome that there is. What succeeded, the
// first, is on top, so that failures begin at the same line and can be compared.
func (a Activity) bars() (list []curve) {
	heights, top := make([]int, len(a.Steps)), a.top()

	for k, sum := range slices.Backward(a.Sums()) {
		var b strings.Builder
		for i, s := range a.Steps {
			if n := s.Outcomes[k].Count; n > 0 {
				height := max(n*plotHeight/top, leastBar)
				heights[i] += height
				fmt.Fprintf(&b, "M%d %dh%dv%dh-%dz", i*stepWidth+1, plotHeight-heights[i], stepWidth-2, height, stepWidth-2)
			}
		}
		if b.Len() > 0 {
			list = append(list, curve{sum.Tone, b.String()})
		}
	}
	return list
}

// decades are the ends of the axis of latencies, which is logarithmic: powers of ten of milliseconds.
func (a Activity) decades() (low, high int) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, s := range a.Steps {
		if s.Latency != nil {
			least, most = min(least, s.Latency.P50), max(most, s.Latency.P99)
		}
	}
	if least > most {
		return 0, 2
	}

	low = int(math.Floor(math.Log10(max(least, 0.1))))
	high = max(int(math.Ceil(math.Log10(max(most, 0.1)))), low+1)
	return low, high
}

// latencyLabels are those of the axis of latencies, from the top down.
func (a Activity) latencyLabels() (list []string) {
	low, high := a.decades()
	for at := high; at >= low; at-- {
		ms, unit := math.Pow10(at), " ms"
		if ms >= 1000 {
			ms, unit = ms/1000, " s"
		}
		list = append(list, strconv.FormatFloat(ms, 'g', 6, 64)+unit)
	}
	return list
}

// lines are the percentiles, each with gaps where nothing ended. A lonely point is a dot.
func (a Activity) lines() []curve {
	low, high := a.decades()
	line := func(of func(*Latency) float64) string {
		var b strings.Builder
		verb := "M"
		for i, s := range a.Steps {
			if s.Latency == nil {
				verb = "M"
				continue
			}

			share := (math.Log10(max(of(s.Latency), 0.1)) - float64(low)) / float64(high-low)
			fmt.Fprintf(&b, "%s%d %d", verb, i*stepWidth+stepWidth/2, plotHeight-int(share*plotHeight))
			if verb == "M" {
				b.WriteString("h0")
			}
			verb = "L"
		}
		return b.String()
	}

	return []curve{
		{"p99", line(func(l *Latency) float64 { return l.P99 })},
		{"p95", line(func(l *Latency) float64 { return l.P95 })},
		{"p50", line(func(l *Latency) float64 { return l.P50 })},
	}
}

// tick is a label of the axis of time.
type tick struct {
	At    time.Time
	X     string // in percent of the width
	Text  string // in UTC
	Day   bool   // it names a day, not a time of day
	Minor bool   // it is left out where there is little room
}

// ticks are the labels of the axis of time: at most seven whole ones.
func (a Activity) ticks() (list []tick) {
	if len(a.Steps) == 0 {
		return nil
	}
	const day = 24 * time.Hour
	from, whole := a.Steps[0].At, time.Duration(len(a.Steps))*a.Step
	unit := whole
	for _, u := range []time.Duration{
		time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour, day,
		2 * day, 5 * day, 10 * day, 30 * day,
	} {
		if whole <= 7*u {
			unit = u
			break
		}
	}

	layout := "15:04"
	if unit >= day {
		layout = "Jan 2"
	}
	for at := from.Add(unit - 1).Truncate(unit); ; at = at.Add(unit) {
		x := 100 * float64(at.Sub(from)) / float64(whole)
		if x > 96 { // a label there has no room
			return list
		}
		list = append(list, tick{at.UTC(), number(x) + "%", at.UTC().Format(layout), unit >= day, len(list)%2 == 1})
	}
}

// spot is a part of a plot that tells its numbers to whoever points at it. The script writes the first line anew.
type spot struct {
	At    time.Time
	X     int
	Title string
}

func (a Activity) spots(numbers func(Step) []string) (list []spot) {
	for i, s := range a.Steps {
		if told := numbers(s); len(told) > 0 {
			lines := append([]string{s.At.UTC().Format("2006-01-02 15:04 UTC")}, told...)
			list = append(list, spot{s.At.UTC(), i * stepWidth, strings.Join(lines, "\n")})
		}
	}
	return list
}

// countLines are the numbers of a step's bar.
func countLines(s Step) (lines []string) {
	for _, o := range s.Outcomes {
		if o.Count > 0 {
			lines = append(lines, Count(o.Count)+" "+strings.ToLower(o.Label))
		}
	}
	return lines
}

// latencyLines are the numbers of a step's latencies.
func latencyLines(s Step) []string {
	if s.Latency == nil {
		return nil
	}
	return []string{
		"p50 " + Milliseconds(s.Latency.P50), "p95 " + Milliseconds(s.Latency.P95), "p99 " + Milliseconds(s.Latency.P99),
	}
}

// countsText says what the chart of outcomes shows, for those who don't see it.
func (a Activity) countsText() string {
	sums := strings.Join(countLines(Step{Outcomes: a.Sums()}), ", ")
	return "Attempts by outcome, for each " + each(a.Step) + ": " + sums + ". The table below has the numbers."
}

// latencyText says what the chart of latencies shows.
func (a Activity) latencyText() string {
	return a.Took + ", for each " + each(a.Step) + "; of the whole time " +
		strings.Join(latencyLines(Step{Latency: a.Whole}), ", ") + ". The table below has the numbers."
}

// each writes a step's length as what there is of it: minute, 15 minutes, 2 hours.
func each(d time.Duration) string {
	n, noun := int(d/time.Minute), "minute"
	if d%time.Hour == 0 {
		n, noun = int(d/time.Hour), "hour"
	}
	if n == 1 {
		return noun
	}
	return Things(n, noun)
}

// Spark is how something did in a few steps, small enough for a row. One without steps is not known.
type Spark struct {
	OK, Bad []int
	Over    string // what time that is
}

// sums adds up.
func (s Spark) sums() (ok, all int) {
	for i := range s.OK {
		ok, all = ok+s.OK[i], all+s.OK[i]+s.Bad[i]
	}
	return ok, all
}

// share is the part of the attempts that went well.
func (s Spark) share() string {
	ok, all := s.sums()
	return Percent(ok, all)
}

func (s Spark) text() string {
	_, all := s.sums()
	return Things(all, "attempt") + " in " + s.Over + ", " + s.share() + " succeeded"
}

func (s Spark) viewBox() string { return fmt.Sprintf("0 0 %d %d", stepWidth*len(s.OK), plotHeight) }

// bars are those of what did not go well, and upon them of what did.
func (s Spark) bars() []curve {
	most := 1
	for i := range s.OK {
		most = max(most, s.OK[i]+s.Bad[i])
	}

	var ok, bad strings.Builder
	bar := func(b *strings.Builder, i, base, n int) int {
		if n == 0 {
			return base
		}
		height := max(n*plotHeight/most, plotHeight/10)
		fmt.Fprintf(b, "M%d %dh%dv%dh-%dz", i*stepWidth+1, plotHeight-base-height, stepWidth-2, height,
			stepWidth-2)
		return base + height
	}
	for i := range s.OK {
		bar(&ok, i, bar(&bad, i, 0, s.Bad[i]), s.OK[i])
	}
	return []curve{{"ok", ok.String()}, {"bad", bad.String()}}
}
