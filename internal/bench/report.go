package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency is a distribution in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func newLatency(h *hdrhistogram.Histogram) Latency {
	q := func(p float64) float64 { return float64(h.ValueAtQuantile(p)) / 1000 }
	return Latency{P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), Max: float64(h.Max()) / 1000}
}

func (r receipts) latency() Latency {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Latency{
		P50:  ms(r.ReceiptP50),
		P90:  ms(r.ReceiptP90),
		P99:  ms(r.ReceiptP99),
		P999: ms(r.ReceiptP999),
		Max:  ms(r.ReceiptMax),
	}
}

// Figures are those of one measurement, or the median of several.
type Figures struct {
	// Accepted is how many events were committed, Delivered how many requests were taken.
	Accepted  int64 `json:"accepted"`
	Delivered int64 `json:"delivered"`

	// AcceptedPerS counts from the first enqueue to the end of the last, DeliveredPerS to the moment at which every
	// delivery was taken and, with Outhook, logged; in mode drain from the first receipt.
	AcceptedPerS  float64 `json:"accepted_per_s"`
	DeliveredPerS float64 `json:"delivered_per_s"`

	// Lost is how many deliveries of accepted events never arrived, Duplicates how many requests came beyond one each.
	Lost       int64 `json:"lost"`
	Duplicates int64 `json:"duplicates"`

	// Refused is how many pages viewers were refused because the database took too long.
	Refused int64 `json:"refused,omitempty"`

	// AcceptMS is how long an enqueue took, ReceiptMS from its start to the receipt; at a rate, both from when it was due.
	AcceptMS  Latency `json:"accept_ms"`
	ReceiptMS Latency `json:"receipt_ms"`

	// CPUPerEvent is in microseconds, of all processes together; what the benchmark itself and its receiver use is in it.
	CPUPerEvent float64            `json:"cpu_us_per_event"`
	CPUByPart   map[string]float64 `json:"cpu_us_by_part,omitempty"`

	// WALPerEvent and DiskPerEvent are in bytes; disk is tables and indexes, as they stood at the end.
	WALPerEvent  float64            `json:"wal_bytes_per_event"`
	DiskPerEvent float64            `json:"disk_bytes_per_event"`
	DiskByTable  map[string]float64 `json:"disk_bytes_by_table,omitempty"`
}

// Report is the result: medians over the pairs, and ratios of Outhook to each baseline, the median of those in each
// pair.
type Report struct {
	Mode string `json:"mode"`

	Figures

	Baselines map[string]*Figures `json:"baselines,omitempty"`

	// Ratios are of deliveries a second, and of accepted events a second against Postgres and POST /api/events.
	Ratios map[string]float64 `json:"ratios,omitempty"`

	// Against compares with another binary, pair by pair.
	Against []Ratio `json:"against,omitempty"`

	// Watching is what viewers cost. Nil: there were none.
	Watching *Watching `json:"watching,omitempty"`

	// Void says why the figures should not be used. Empty: they may be.
	Void string `json:"void,omitempty"`

	Runs map[string][]*Figures `json:"runs"`

	cfg Config
}

func newReport(cfg Config) *Report {
	return &Report{
		Mode:      cfg.Mode,
		Baselines: map[string]*Figures{},
		Ratios:    map[string]float64{},
		Runs:      map[string][]*Figures{},
		cfg:       cfg,
	}
}

const outhookRuns = "outhook"

func (r *Report) add(baseline string, f *Figures) {
	if baseline == "" {
		baseline = outhookRuns
	}
	r.Runs[baseline] = append(r.Runs[baseline], f)
}

// reference is bare River on the machine of docs/performance.md: events a second. A run whose baseline is further away
// than tolerance says nothing about that machine.
func reference(mode string) float64 {
	if mode == ModeDrain {
		return 11_400
	}
	return 2650
}

const tolerance = 0.25

func (r *Report) finish() {
	r.Figures = medians(r.Runs[outhookRuns])

	for _, name := range r.cfg.Baselines {
		f := medians(r.Runs[name])
		r.Baselines[name] = &f

		var ratios []float64
		for i, b := range r.Runs[name] {
			ours, theirs := r.Runs[outhookRuns][i].DeliveredPerS, b.DeliveredPerS
			if name == BaselinePostgres || name == BaselineEvents {
				ours, theirs = r.Runs[outhookRuns][i].AcceptedPerS, b.AcceptedPerS
			}
			ratios = append(ratios, ours/theirs)
		}

		r.Ratios[name] = math.Round(median(ratios)*1000) / 1000
	}

	r.Against = ratios(figuresOf(r.Runs[outhookRuns]), figuresOf(r.Runs[BaselineAgainst]))
	if r.cfg.Viewers > 0 {
		r.Watching = newWatching(r)
	}
	if b, ok := r.Baselines[BaselineRiver]; ok && !r.cfg.AnyMachine && r.cfg.Rate == 0 {
		if want := reference(r.cfg.Mode); math.Abs(b.DeliveredPerS/want-1) > tolerance {
			r.Void = fmt.Sprintf("bare River delivered %.0f/s, more than %.0f %% from the %.0f/s "+
				"of the machine in docs/performance.md: "+
				"on another machine use --any-machine, on that one run it again when nothing else runs",
				b.DeliveredPerS, tolerance*100, want)
		}
	}
}

// medians returns the median of each figure; of those that have parts, the parts of the median run by CPU.
func medians(runs []*Figures) Figures {
	of := func(get func(*Figures) float64) float64 {
		values := make([]float64, len(runs))
		for i, f := range runs {
			values[i] = get(f)
		}
		return median(values)
	}

	latency := func(get func(*Figures) Latency) Latency {
		return Latency{
			P50: of(func(f *Figures) float64 { return get(f).P50 }), P90: of(func(f *Figures) float64 { return get(f).P90 }),
			P99: of(func(f *Figures) float64 { return get(f).P99 }), P999: of(func(f *Figures) float64 { return get(f).P999 }),
			Max: of(func(f *Figures) float64 { return get(f).Max }),
		}
	}

	byCPU := slices.SortedFunc(slices.Values(runs), func(a, b *Figures) int {
		return int(math.Copysign(1, a.CPUPerEvent-b.CPUPerEvent))
	})
	m := *byCPU[len(byCPU)/2]
	m.AcceptedPerS = of(func(f *Figures) float64 { return f.AcceptedPerS })
	m.DeliveredPerS = of(func(f *Figures) float64 { return f.DeliveredPerS })
	m.AcceptMS = latency(func(f *Figures) Latency { return f.AcceptMS })
	m.ReceiptMS = latency(func(f *Figures) Latency { return f.ReceiptMS })
	m.WALPerEvent = of(func(f *Figures) float64 { return f.WALPerEvent })

	m.Accepted, m.Delivered, m.Lost, m.Duplicates, m.Refused = 0, 0, 0, 0, 0
	for _, f := range runs { // every one of them counts
		m.Accepted, m.Delivered = m.Accepted+f.Accepted, m.Delivered+f.Delivered
		m.Lost, m.Duplicates, m.Refused = m.Lost+f.Lost, m.Duplicates+f.Duplicates, m.Refused+f.Refused
	}
	return m
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return math.Round((sorted[n/2-1]+sorted[n/2])/2*1000) / 1000
}

// WriteJSON writes the whole report.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := []*Figures{&r.Figures}
	_, _ = fmt.Fprintf(w, "%s\touthook\t", r.Mode)
	for _, name := range r.cfg.Baselines {
		columns = append(columns, r.Baselines[name])
		_, _ = fmt.Fprintf(w, "%s\tratio\t", cmpName(name))
	}
	_, _ = fmt.Fprintln(w)

	row := func(name, format string, get func(*Figures) float64) {
		_, _ = fmt.Fprintf(w, "%s\t", name)
		for i, f := range columns {
			_, _ = fmt.Fprintf(w, format+"\t", get(f))
			switch ratio := get(columns[0]) / get(f); {
			case i == 0:
			case math.IsNaN(ratio), math.IsInf(ratio, 0):
				_, _ = fmt.Fprint(w, "\t")
			default:
				_, _ = fmt.Fprintf(w, "%.2f\t", ratio)
			}
		}
		_, _ = fmt.Fprintln(w)
	}

	row("accepted /s", "%.0f", func(f *Figures) float64 { return f.AcceptedPerS })
	row("delivered /s", "%.0f", func(f *Figures) float64 { return f.DeliveredPerS })
	row("accept p50 ms", "%.2f", func(f *Figures) float64 { return f.AcceptMS.P50 })
	row("accept p99 ms", "%.2f", func(f *Figures) float64 { return f.AcceptMS.P99 })
	row("receipt p50 ms", "%.2f", func(f *Figures) float64 { return f.ReceiptMS.P50 })
	row("receipt p99 ms", "%.2f", func(f *Figures) float64 { return f.ReceiptMS.P99 })

	row("events", "%.0f", func(f *Figures) float64 { return float64(f.Accepted) })
	row("lost", "%.0f", func(f *Figures) float64 { return float64(f.Lost) })
	row("duplicates", "%.0f", func(f *Figures) float64 { return float64(f.Duplicates) })
	row("CPU µs/event", "%.0f", func(f *Figures) float64 { return f.CPUPerEvent })
	for _, part := range slices.Sorted(maps.Keys(r.CPUByPart)) {
		row(part, "%.0f", func(f *Figures) float64 { return f.CPUByPart[part] })
	}
	row("WAL bytes/event", "%.0f", func(f *Figures) float64 { return f.WALPerEvent })
	row("disk bytes/event", "%.0f", func(f *Figures) float64 { return f.DiskPerEvent })

	if err := errors.Join(w.Flush(), writeRatios(out, r.Against)); err != nil {
		return err
	}
	if r.Watching != nil {
		if err := r.Watching.write(out, r.cfg.Viewers); err != nil {
			return err
		}
	}

	if r.Void != "" {
		_, _ = fmt.Fprintln(out, strings.ToUpper("void")+": "+r.Void)
	}
	return nil
}
