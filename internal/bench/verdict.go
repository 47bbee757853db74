package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// Check is a promise and what was measured of it.
type Check struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Bound is the least value if AtLeast is true, else the greatest.
	Bound   float64 `json:"bound"`
	AtLeast bool    `json:"at_least"`
	OK      bool    `json:"ok"`
}

// Figure is a measured value that nothing is promised of.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// ScenarioReport is the result of a scenario.
type ScenarioReport struct {
	Scenario string `json:"scenario"`
	// OK is false if a promise is broken.
	OK      bool     `json:"ok"`
	Checks  []Check  `json:"checks"`
	Figures []Figure `json:"figures"`

	// Against compares with another binary, pair by pair.
	Against []Ratio `json:"against,omitempty"`
}

func (r *ScenarioReport) atMost(name string, value, bound float64) {
	r.check(Check{Name: name, Value: rounded(value), Bound: rounded(bound), OK: value <= bound})
}

func (r *ScenarioReport) atLeast(name string, value, bound float64) {
	r.check(Check{Name: name, Value: rounded(value), Bound: rounded(bound), AtLeast: true, OK: value >= bound})
}

func (r *ScenarioReport) check(c Check) {
	r.Checks = append(r.Checks, c)
	r.OK = r.OK && c.OK
}

func (r *ScenarioReport) figure(name string, value float64) {
	r.Figures = append(r.Figures, Figure{name, rounded(value)})
}

// count adds to a figure.
func (r *ScenarioReport) count(name string, n float64) {
	for i, f := range r.Figures {
		if f.Name == name {
			r.Figures[i].Value += n
			return
		}
	}
	r.figure(name, n)
}

func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }

// WriteJSON writes the report as one object.
func (r *ScenarioReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for people.
func (r *ScenarioReport) WriteTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "%s\tmeasured\tbound\t\n", r.Scenario)
	for _, c := range r.Checks {
		sign, verdict := "≤", "pass"
		if c.AtLeast {
			sign = "≥"
		}
		if !c.OK {
			verdict = "FAIL"
		}
		_, _ = fmt.Fprintf(w, "%s\t%g\t%s %g\t%s\n", c.Name, c.Value, sign, c.Bound, verdict)
	}

	for _, f := range r.Figures {
		_, _ = fmt.Fprintf(w, "%s\t%g\t\t\n", f.Name, f.Value)
	}
	return errors.Join(w.Flush(), writeRatios(out, r.Against))
}
