// Package metrics holds what the metrics of the API and of the workers have in common. Nothing here is global: whoever
// builds a process injects the registry, and no label ever holds a tenant, an endpoint or a URL.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Group counts the runs of a group commit (package batch). Create one with [NewGroup].
type Group struct {
	size     prometheus.Histogram
	duration prometheus.Histogram
	errors   prometheus.Counter
}

// NewGroup registers the metrics of a group with reg; nil registers nothing. name is the label group, and waiting
// returns how many calls wait at this moment.
func NewGroup(reg prometheus.Registerer, name string, waiting func() int) *Group {
	labels := prometheus.Labels{"group": name}
	factory := promauto.With(reg)

	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "outhook_group_waiting", ConstLabels: labels,
		Help: "Calls that wait for the next group.",
	}, func() float64 { return float64(waiting()) })

	return &Group{
		size: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "outhook_group_size", ConstLabels: labels, Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500},
			Help: "Calls in one group: requests that are committed together (store), deliveries that are read (load) " +
				"or whose outcomes are committed together (record).",
		}),
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "outhook_group_duration_seconds", ConstLabels: labels,
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
			Help:    "How long a group took in the database, with its commit.",
		}),
		errors: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_group_errors_total", ConstLabels: labels,
			Help: "Groups that failed as a whole: the database is in trouble, or, for store and record, " +
				"one item was refused and the rest is tried again without it.",
		}),
	}
}

// Observe counts a run of size calls that began at started and ended now.
func (g *Group) Observe(size int, started time.Time, err error) {
	g.size.Observe(float64(size))
	g.duration.Observe(time.Since(started).Seconds())
	if err != nil {
		g.errors.Inc()
	}
}

// StatusClass returns the label status_class of an HTTP status: 1xx to 5xx, or none for 0 and what is none.
func StatusClass(status int) string { return StatusClasses()[ClassIndex(status)] }

// StatusClasses returns the values of the label status_class, in the order of [ClassIndex].
func StatusClasses() [6]string { return [6]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} }

// ClassIndex returns the place of a status in [StatusClasses].
func ClassIndex(status int) int {
	if class := status / 100; class >= 1 && class <= 5 {
		return class
	}
	return 0
}
