package console

import (
	"net/url"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// span is a range of time that charts show. Its step divides it, and is a multiple of what is kept of that age.
type span struct {
	name        string // in the page's address
	whole, step time.Duration
}

func spans() []span {
	const day = 24 * time.Hour
	return []span{
		{"15m", 15 * time.Minute, time.Minute},
		{"1h", time.Hour, time.Minute},
		{"6h", 6 * time.Hour, 5 * time.Minute},
		{usualSpan, day, 15 * time.Minute},
		{"7d", 7 * day, 2 * time.Hour},
		{"30d", 30 * day, 8 * time.Hour},
	}
}

// usualSpan is shown if nobody says what to show.
const usualSpan = "24h"

func spanNamed(name string) (s span, ok bool) {
	for _, s := range spans() {
		if s.name == name {
			return s, true
		}
	}
	return s, false
}

// activity returns the charts of a subject, for the page of a path, over the range that the page's address names.
// Without one it is a day, or the shortest that shows all there is: what has just begun would be a line at the edge.
func (v *visit) activity(of client.GetStatsSeriesParams, path string) (*web.Activity, *client.Series, error) {
	shown, chosen := spanNamed(v.query("range"))
	if !chosen {
		shown, _ = spanNamed(usualSpan)
	}
	series, err := v.series(of, shown)
	if err != nil {
		return nil, nil, err
	}

	if began := beginning(series); !chosen && !began.IsZero() {
		age := series.To.Sub(began)
		for _, s := range spans() {
			if s.whole >= age {
				if s != shown {
					shown = s
					series, err = v.series(of, s)
				}
				break
			}
		}
	}
	if err != nil {
		return nil, nil, err
	}
	a := newActivity(series)
	for _, s := range spans() {
		query := v.URL.Query()
		query.Set("range", s.name)
		link := url.URL{Path: path, RawQuery: query.Encode()}
		a.Ranges = append(a.Ranges, web.Range{Label: s.name, Href: link.String(), Current: s == shown})
	}
	return a, series, nil
}

// series asks for a range up to now.
func (v *visit) series(of client.GetStatsSeriesParams, s span) (*client.Series, error) {
	of.To = time.Now().UTC().Add(s.step - 1).Truncate(s.step)
	of.From, of.StepS = of.To.Add(-s.whole), int(s.step/time.Second)
	return v.api.GetStatsSeries(v.ctx(), of)
}

// beginning is the first step in which something happened.
func beginning(series *client.Series) (at time.Time) {
	for _, step := range series.Items {
		if step.Events != nil && *step.Events > 0 || attemptsOf(step.Attempts) > 0 {
			return step.At
		}
	}
	return at
}

func newActivity(series *client.Series) *web.Activity {
	a := &web.Activity{
		Step: time.Duration(series.StepS) * time.Second, Took: "From enqueue to receipt", Whole: latency(series.LatencyMS),
	}
	for _, item := range series.Items {
		step := web.Step{At: item.At, Outcomes: pages.Outcomes(item.Attempts), Latency: latency(item.LatencyMS)}
		if item.Events != nil {
			step.Events, a.Events = *item.Events, true
		}
		a.Steps = append(a.Steps, step)
	}
	if a.Events {
		return a
	}

	// Of an endpoint it is more telling how long it takes itself.
	a.Took, a.Whole = "Time to answer", latency(series.AttemptMS)
	for i, item := range series.Items {
		a.Steps[i].Latency = latency(item.AttemptMS)
	}
	return a
}

func latency(p *client.Percentiles) *web.Latency {
	if p == nil {
		return nil
	}
	return &web.Latency{P50: p.P50, P95: p.P95, P99: p.P99}
}
