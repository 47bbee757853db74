package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// BaselineAgainst is another binary, Comparison.Against, with its own schema: measured in turn with this one. With this
// very binary it shows the noise.
const BaselineAgainst = "against"

// Ratio is of this binary's figure to the other's: the median of those of the pairs, the least and the greatest.
type Ratio struct {
	Name   string  `json:"name"`
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// ratios compares figures of the same names, pair by pair. What is 0 in one of a pair has no ratio.
func ratios(ours, theirs [][]Figure) (list []Ratio) {
	byName := map[string][]float64{}
	var names []string
	for i := range min(len(ours), len(theirs)) {
		other := map[string]float64{}
		for _, f := range theirs[i] {
			other[f.Name] = f.Value
		}

		for _, f := range ours[i] {
			if f.Value == 0 || other[f.Name] == 0 {
				continue
			}
			if byName[f.Name] == nil {
				names = append(names, f.Name)
			}
			byName[f.Name] = append(byName[f.Name], f.Value/other[f.Name])
		}
	}

	for _, name := range names {
		all := byName[name]
		list = append(list, Ratio{name, rounded(median(all)), rounded(slices.Min(all)), rounded(slices.Max(all))})
	}
	return list
}

// figures are those of a measurement that are compared with another binary's.
func (f *Figures) figures() []Figure {
	list := []Figure{
		{"accepted /s", f.AcceptedPerS},
		{"delivered /s", f.DeliveredPerS},
		{"accept p50 ms", f.AcceptMS.P50},
		{"accept p99 ms", f.AcceptMS.P99},
		{"receipt p50 ms", f.ReceiptMS.P50},
		{"receipt p99 ms", f.ReceiptMS.P99},
		{"CPU µs/event", f.CPUPerEvent},
	}

	for _, part := range slices.Sorted(maps.Keys(f.CPUByPart)) {
		list = append(list, Figure{"CPU µs/event of " + part, f.CPUByPart[part]})
	}
	return append(list, Figure{"WAL bytes/event", f.WALPerEvent})
}

func figuresOf(runs []*Figures) (list [][]Figure) {
	for _, f := range runs {
		list = append(list, f.figures())
	}
	return list
}

// figures are all that a scenario has measured, its promises first.
func (r *ScenarioReport) figures() (list []Figure) {
	for _, c := range r.Checks {
		list = append(list, Figure{c.Name, c.Value})
	}
	return append(list, r.Figures...)
}

// writeRatios writes them for people.
func writeRatios(out io.Writer, list []Ratio) error {
	if len(list) == 0 {
		return nil
	}

	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nthis binary / the other\tmedian\tleast\tmost\t")
	for _, r := range list {
		_, _ = fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.3f\t\n", r.Name, r.Median, r.Least, r.Most)
	}
	return w.Flush()
}

// compareAll plays a scenario in pairs, with this binary and the other, and returns the first report of this one. It is
// OK if all of this one's are.
func (s *system) compareAll(run func(*system) (*ScenarioReport, error)) (*ScenarioReport, error) {
	var first *ScenarioReport
	var all [2][][]Figure // this binary's, the other's
	for pair := range s.cfg.Pairs {
		for turn := range 2 {
			which := (pair + turn) % 2 // none is always the first
			r, err := run(s.serving([]string{"", s.cfg.Against}[which]))
			if err != nil {
				return nil, err
			}

			all[which] = append(all[which], r.figures())
			switch {
			case which == 1:
			case first == nil:
				first = r
			default:
				first.OK = first.OK && r.OK
			}
		}
	}

	first.Against = ratios(all[0], all[1])
	return first, nil
}

// serving returns the system with servers, and a schema, of another binary; "": of this one.
func (s *system) serving(executable string) *system {
	other := *s
	other.server = executable
	return &other
}
