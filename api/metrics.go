package api

import (
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/outhook/outhook/internal/metrics"
)

// apiMetrics are the metrics of the API. Those of a route are looked up once, at the start, and what is no route is
// counted as one, so that nobody can make new label values.
type apiMetrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	routes   map[routeKey]*routeMetrics
	other    *routeMetrics

	stored, duplicate, conflict prometheus.Counter
}

type routeKey struct{ method, path string }

// routeMetrics are those of one route, by status class.
type routeMetrics struct {
	requests [6]prometheus.Counter
	seconds  prometheus.Observer
}

// newAPIMetrics registers them with reg; nil registers nothing.
func newAPIMetrics(reg prometheus.Registerer, held func() int64) *apiMetrics {
	factory := promauto.With(reg)
	events := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_api_events_total",
		Help: "Events of requests that were answered after their commit: stored, duplicate (of an earlier one with the " +
			"same idempotency key), or conflict (the same with another payload: refused).",
	}, []string{"result"})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "outhook_api_held_bytes", Help: "Request bodies that are held at this moment.",
	}, func() float64 { return float64(held()) })

	m := &apiMetrics{
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "outhook_api_requests_total",
			Help: "Requests by the route's pattern (other: no route) and the class of the status.",
		}, []string{"method", "route", "status_class"}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "outhook_api_request_duration_seconds",
			Help:    "How long requests took, from their header to the end of the answer.",
			Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
		}, []string{"method", "route"}),
		stored:    events.WithLabelValues("stored"),
		duplicate: events.WithLabelValues("duplicate"),
		conflict:  events.WithLabelValues("conflict"),
	}
	m.other = m.route("other", "other")
	return m
}

func (m *apiMetrics) route(method, path string) *routeMetrics {
	r := &routeMetrics{seconds: m.seconds.WithLabelValues(method, path)}
	for i, class := range metrics.StatusClasses() {
		if i < 2 { // no answer of ours
			continue
		}
		r.requests[i] = m.requests.WithLabelValues(method, path, class)
	}
	r.requests[0], r.requests[1] = r.requests[5], r.requests[5]
	return r
}

// addRoutes gives each route of the API its metrics. Those of River UI and of the pages share one: they are not the
// API.
func (m *apiMetrics) addRoutes(routes []*echo.Route) {
	m.routes = make(map[routeKey]*routeMetrics, len(routes))
	for _, r := range routes {
		if strings.HasPrefix(r.Path, "/api/") && !strings.Contains(r.Path, "*") {
			m.routes[routeKey{r.Method, r.Path}] = m.route(r.Method, r.Path)
		}
	}
}

// observe counts a request that is answered.
func (m *apiMetrics) observe(c echo.Context, started time.Time) {
	r := m.routes[routeKey{c.Request().Method, c.Path()}]
	if r == nil {
		r = m.other
	}
	r.requests[metrics.ClassIndex(c.Response().Status)].Inc()
	r.seconds.Observe(time.Since(started).Seconds())
}

// event counts one event of a request that was stored, or refused as a conflict.
func (m *apiMetrics) event(duplicate, conflict bool) {
	switch {
	case conflict:
		m.conflict.Inc()
	case duplicate:
		m.duplicate.Inc()
	default:
		m.stored.Inc()
	}
}
