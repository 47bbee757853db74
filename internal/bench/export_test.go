package bench

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
)

// Generate runs the load generator and returns the latencies of its enqueues.
func Generate(ctx context.Context, cfg Config, enqueue func() error) (*hdrhistogram.Histogram, error) {
	l, err := generate(ctx, cfg, func(context.Context, int, time.Time) ([]uuid.UUID, error) { return nil, enqueue() }, func(int64) {})
	return l.latency, err
}

// ValueOf starts a program and returns what it says behind prefix in one of its lines.
func ValueOf(ctx context.Context, prefix, executable string, args ...string) (string, error) {
	c, err := spawn(executable, args)
	if err != nil {
		return "", err
	}
	return c.value(ctx, prefix, "\n")
}

// Lane, LoggedRun and Fault are those of a log that Judge is given, in seconds since an arbitrary moment.
type (
	Lane struct {
		Paced    bool
		Interval time.Duration
		Width    int
	}
	LoggedRun struct {
		At, End float64
		Unknown bool
	}
	Fault struct {
		At            float64
		Freeze, Pacer bool
	}
)

// Judge returns how late the attempts of one delivery were, by kind ("e" is their endpoint), and the shortest wait less its
// delay.
func Judge(runs []LoggedRun, schedule []time.Duration, l Lane, faults []Fault) (late map[string][]float64, least float64) {
	at := func(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }

	c := chain{endpoint: "e", due: at(runs[0].At)}
	for _, r := range runs {
		c.runs = append(c.runs, run{at: at(r.At), end: at(r.End), known: !r.Unknown})
	}
	broken := make([]fault, len(faults))
	for i, f := range faults {
		broken[i] = fault{at: at(f.At), freeze: f.Freeze, pacer: f.Pacer}
	}

	lanes := map[string]lane{"e": {paced: l.Paced, interval: l.Interval, width: l.Width}}
	p := judge([]chain{c}, schedule, lanes, broken)
	return p.late, p.least
}
