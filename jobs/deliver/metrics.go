package deliver

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/jobs/ledger"
)

// reasonOther is the label of a reason that is not in reasons.
const reasonOther = "other"

// settlement is how a delivery can end, as labels.
type settlement struct {
	state  db.DeliveryState
	reason string
}

// meters are the metrics of a worker's deliveries. Each event costs counters and histograms that are looked up
// once, at the start.
type meters struct {
	attempts map[egress.Outcome]*[6]prometheus.Counter // by status class
	duration prometheus.Histogram
	settled  map[settlement]prometheus.Counter
	first    prometheus.Observer // latency of deliveries that the first attempt brought
	later    prometheus.Observer
	retries  prometheus.Counter
	crowded  prometheus.Counter
}

// newMeters registers them with reg; nil registers nothing.
func newMeters(reg prometheus.Registerer) *meters {
	factory := promauto.With(reg)
	m := &meters{
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "outhook_attempt_duration_seconds",
			Help:    "How long the requests to endpoints took, until the answer's end or the failure.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30},
		}),
		retries: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_retries_scheduled_total", Help: "Attempts that failed and after which another one follows.",
		}),
		crowded: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_runs_host_limited_total",
			Help: "Runs that sent nothing because their tenant has as many requests to the host as it may, and come again.",
		}),
	}

	m.addAttempts(factory)
	m.addSettled(factory)
	return m
}

func (m *meters) addAttempts(factory promauto.Factory) {
	vec := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_attempts_total",
		Help: "Requests to endpoints by their outcome and the class of the answer's status (none: no answer).",
	}, []string{"outcome", "status_class"})

	m.attempts = make(map[egress.Outcome]*[6]prometheus.Counter)
	for _, o := range []egress.Outcome{
		egress.Succeeded, egress.Rejected, egress.TimedOut, egress.Unreachable, egress.Blocked, egress.Unknown,
	} {
		var classes [6]prometheus.Counter
		for i, class := range metrics.StatusClasses() {
			classes[i] = vec.WithLabelValues(string(o), class)
		}
		m.attempts[o] = &classes
	}
}

func (m *meters) addSettled(factory promauto.Factory) {
	settled := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_deliveries_settled_total",
		Help: "Deliveries that workers ended, by their state and reason (none for a success). " +
			"Those that the API cancels are not among them.",
	}, []string{"state", "reason"})

	m.settled = map[settlement]prometheus.Counter{
		{db.DeliveryStateSucceeded, ""}: settled.WithLabelValues(string(db.DeliveryStateSucceeded), "none"),
	}
	for state, reasons := range map[db.DeliveryState][]string{
		db.DeliveryStateFailed: {
			ledger.ReasonExhausted, ledger.ReasonGone, ledger.ReasonLoop, ledger.ReasonWorkerDied, reasonOther,
		},
		db.DeliveryStateCancelled: {
			ledger.ReasonEndpointDisabled, ledger.ReasonEndpointDeleted, ledger.ReasonPayloadGone, ledger.ReasonWithdrawn,
			ledger.ReasonOperator, reasonOther,
		},
	} {
		for _, reason := range reasons {
			m.settled[settlement{state, reason}] = settled.WithLabelValues(string(state), reason)
		}
	}

	latency := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name: "outhook_delivery_latency_seconds",
		Help: "From the enqueue, or when it was to be delivered, to the success, on the database's clock, of deliveries " +
			"that the first attempt brought, and of the later ones: those show the receivers and the retry schedule.",
		Buckets: []float64{
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400, 259200,
		},
	}, []string{"attempt"})
	m.first, m.later = latency.WithLabelValues("first"), latency.WithLabelValues("later")
}

// attempt counts a request.
func (m *meters) attempt(res egress.Result) {
	classes := m.attempts[res.Outcome]
	if classes == nil {
		classes = m.attempts[egress.Unknown]
	}

	classes[metrics.ClassIndex(res.StatusCode)].Inc()
	m.duration.Observe(res.Duration.Seconds())
}

// recorded counts an outcome that is committed.
func (m *meters) recorded(rec *record) {
	if rec.state == db.DeliveryStatePending {
		if rec.failed {
			m.retries.Inc()
		}
		return
	}

	counter := m.settled[settlement{rec.state, rec.reason}]
	if counter == nil {
		counter = m.settled[settlement{rec.state, reasonOther}]
	}
	if counter != nil {
		counter.Inc()
	}

	if rec.state != db.DeliveryStateSucceeded {
		return
	}

	latency := m.later
	if rec.number == 1 {
		latency = m.first
	}
	latency.Observe(max(0, rec.at.Sub(rec.dueSince()).Seconds()))
}
