// Command plot draws the figures of docs/performance.md from growth.json, which measure.sh writes: `go run .` in this
// folder. It is a module of its own, so that the plotting library is none of Outhook's dependencies.
package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"log"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// run is one run of `outhook bench`, with what was varied in it.
type run struct {
	Series string  `json:"series"` // what was varied
	Label  string  `json:"label"`  // its value
	Mode   string  `json:"mode"`
	Report figures `json:"report"`
}

type figures struct {
	DeliveredPerS float64 `json:"delivered_per_s"`
	CPUPerEvent   float64 `json:"cpu_us_per_event"`
	Receipt       struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"receipt_ms"`
}

func main() {
	if err := draw(); err != nil {
		log.Fatal(err)
	}
}

func draw() error {
	data, err := os.ReadFile("growth.json")
	if err != nil {
		return err
	}

	var runs []run
	if err := json.Unmarshal(data, &runs); err != nil {
		return fmt.Errorf("reading growth.json: %w", err)
	}

	titles := map[string]string{
		"stored":    "events stored before",
		"endpoints": "endpoints of each event",
		"payload":   "bytes of payload",
		"workers":   "worker processes",
	}

	for series, title := range titles {
		if err := bars(runs, series, title); err != nil {
			return fmt.Errorf("drawing %s: %w", series, err)
		}
	}
	return nil
}

// bars draws deliveries a second of both modes over one series.
func bars(runs []run, series, title string) error {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = title, "delivered and logged /s"
	p.Y.Min = 0
	p.Legend.Top = true

	colors := map[string]color.Color{
		"rest":  color.RGBA{R: 0x2b, G: 0x6c, B: 0xb0, A: 255},
		"drain": color.RGBA{R: 0xc0, G: 0x56, B: 0x21, A: 255},
	}

	var labels []string
	for i, mode := range []string{"rest", "drain"} {
		var values plotter.Values
		labels = labels[:0]
		for _, r := range runs {
			if r.Series == series && r.Mode == mode {
				values, labels = append(values, r.Report.DeliveredPerS), append(labels, r.Label)
			}
		}

		if len(values) == 0 {
			return fmt.Errorf("growth.json has no runs of mode %s", mode)
		}

		width := vg.Points(24)
		b, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}

		b.Color, b.LineStyle.Width = colors[mode], 0
		b.Offset = width*vg.Length(i) - width/2
		p.Add(b)
		p.Legend.Add(mode, b)
	}

	p.Add(plotter.NewGrid())
	p.NominalX(labels...)
	p.X.Min, p.X.Max = -0.5, float64(len(labels))-0.5
	p.Y.Max *= 1.2
	return p.Save(4.5*vg.Inch, 3*vg.Inch, "../growth-"+series+".svg")
}
