package jobs

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/metrics"
)

// reasonOther is the label of a reason that is not in reasons.
const reasonOther = "other"

// queueLane is the label of the queues endpoint-<id>, of which there are as many as endpoints.
const queueLane = "lane"

// settlement is how a delivery can end, as labels.
type settlement struct {
	state  db.DeliveryState
	reason string
}

// workerMetrics are the metrics of a worker process. Each event costs counters and histograms that are
// looked up once, at the start.
type workerMetrics struct {
	attempts  map[egress.Outcome]*[6]prometheus.Counter // by status class
	duration  prometheus.Histogram
	settled   map[settlement]prometheus.Counter
	first     prometheus.Observer // latency of deliveries that the first attempt brought
	later     prometheus.Observer
	retries   prometheus.Counter
	givenBack prometheus.Counter
	fetches   map[string]prometheus.Counter // by queue
	fetched   map[string]prometheus.Counter
	fetchTime map[string]prometheus.Observer
	rescued   prometheus.Counter
	expired   prometheus.Counter
	dropped   prometheus.Counter
	repaired  *prometheus.CounterVec
}

// newWorkerMetrics registers them with reg; nil registers nothing.
func newWorkerMetrics(reg prometheus.Registerer) *workerMetrics {
	factory := promauto.With(reg)
	m := &workerMetrics{
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "outhook_attempt_duration_seconds",
			Help:    "How long the requests to endpoints took, until the answer's end or the failure.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30},
		}),
		retries: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_retries_scheduled_total", Help: "Attempts that failed and after which another one follows.",
		}),
		givenBack: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_runs_given_back_total",
			Help: "Runs that sent nothing because of trouble of our own (the database, a stop), and come again.",
		}),
		rescued: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_rescued_deliveries_total", Help: "Deliveries of dead workers that this process gave to the living.",
		}),
		expired: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_expired_deliveries_total",
			Help: "Deliveries that were still pending at the end of the retention, and were cancelled.",
		}),
		dropped: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_dropped_partitions_total", Help: "Partitions that the retention dropped: three a day.",
		}),
		repaired: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "outhook_reconciled_total", Help: "What the reconcile job found broken and repaired.",
		}, []string{"check"}),
	}

	// A counter that is there from the start shows its first repair as a rise.
	for _, check := range checks() {
		if check != checkSettled {
			m.repaired.WithLabelValues(check)
		}
	}

	m.addAttempts(factory)
	m.addSettled(factory)
	m.addFetches(factory)
	return m
}

func (m *workerMetrics) addAttempts(factory promauto.Factory) {
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

func (m *workerMetrics) addSettled(factory promauto.Factory) {
	settled := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_deliveries_settled_total",
		Help: "Deliveries that workers ended, by their state and reason (none for a success). " +
			"Those that the API cancels are not among them.",
	}, []string{"state", "reason"})

	m.settled = map[settlement]prometheus.Counter{
		{db.DeliveryStateSucceeded, ""}: settled.WithLabelValues(string(db.DeliveryStateSucceeded), "none"),
	}
	for state, reasons := range map[db.DeliveryState][]string{
		db.DeliveryStateFailed: {ReasonExhausted, ReasonGone, ReasonWorkerDied, reasonOther},
		db.DeliveryStateCancelled: {
			ReasonEndpointDisabled, ReasonEndpointDeleted, ReasonPayloadGone, ReasonOperator, reasonOther,
		},
	} {
		for _, reason := range reasons {
			m.settled[settlement{state, reason}] = settled.WithLabelValues(string(state), reason)
		}
	}

	latency := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name: "outhook_delivery_latency_seconds",
		Help: "From the enqueue to the success, on the database's clock, of deliveries that the first attempt brought, " +
			"and of the later ones: those show the receivers and the retry schedule.",
		Buckets: []float64{
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400, 259200,
		},
	}, []string{"attempt"})
	m.first, m.later = latency.WithLabelValues("first"), latency.WithLabelValues("later")
}

func (m *workerMetrics) addFetches(factory promauto.Factory) {
	label := []string{"queue"}
	fetches := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_fetches_total", Help: "Times that River looked for jobs and the database answered.",
	}, label)
	fetched := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_fetched_jobs_total", Help: "Jobs that those fetches brought.",
	}, label)
	seconds := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name: "outhook_fetch_duration_seconds", Help: "How long a fetch took in the database.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, label)

	m.fetches = map[string]prometheus.Counter{}
	m.fetched = map[string]prometheus.Counter{}
	m.fetchTime = map[string]prometheus.Observer{}
	for _, queue := range []string{
		QueueDeliver, QueueDeliverBulk, queueDeliverSlow, queueDeliverLimited, queueLane, queueOperations, queueMaintenance,
	} {
		m.fetches[queue] = fetches.WithLabelValues(queue)
		m.fetched[queue] = fetched.WithLabelValues(queue)
		m.fetchTime[queue] = seconds.WithLabelValues(queue)
	}
}

// addState registers what is read at the time of a scrape.
func (c *Client) addState(reg prometheus.Registerer) {
	factory := promauto.With(reg)
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		factory.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}

	gauge("outhook_deliveries_in_flight", "Deliveries that this process works at this moment, from load to record.", nil,
		func() float64 { return float64(c.inFlight.Load()) })
	for queue, slots := range c.slots() {
		gauge("outhook_worker_slots", "Deliveries of a queue that this process may work at the same time.",
			prometheus.Labels{"queue": queue}, func() float64 { return float64(slots) })
	}

	gauge("outhook_clock_offset_seconds", "How far the database's clock is ahead of this process's.", nil,
		func() float64 { return c.clock.Offset().Seconds() })
	gauge("outhook_worker_ready", "1 if this process holds its lock and fetches jobs, as /readyz says; else 0.", nil,
		func() float64 {
			if c.Ready(context.Background()) != nil {
				return 0
			}
			return 1
		})
	gauge("outhook_last_fetch_timestamp_seconds",
		"When the queue deliver was last fetched from, in Unix time; 0: never.", nil,
		func() float64 { return float64(c.lastFetch.Load()) / float64(time.Second) })

	if reg != nil {
		reg.MustRegister(
			metrics.NewPool("worker", c.cfg.Pool.Stat),
			metrics.NewPool("group", stat(&c.keyPool)),
			metrics.NewPool("fetch", stat(&c.fetchPool)),
		)
	}
}

// stat returns the statistics of a pool that is there from Start to Stop.
func stat(pool **pgxpool.Pool) func() *pgxpool.Stat {
	return func() *pgxpool.Stat {
		if *pool == nil {
			return nil
		}
		return (*pool).Stat()
	}
}

// slots returns how many deliveries of each queue this process may work at the same time.
func (c *Client) slots() map[string]int {
	return map[string]int{
		QueueDeliver: c.cfg.MaxWorkers, QueueDeliverBulk: c.cfg.MaxBulkWorkers,
		queueDeliverSlow: c.cfg.MaxSlowWorkers, queueDeliverLimited: c.cfg.MaxLimitedWorkers,
	}
}

// attempt counts a request.
func (m *workerMetrics) attempt(res egress.Result) {
	classes := m.attempts[res.Outcome]
	if classes == nil {
		classes = m.attempts[egress.Unknown]
	}

	classes[metrics.ClassIndex(res.StatusCode)].Inc()
	m.duration.Observe(res.Duration.Seconds())
}

// recorded counts an outcome that is committed.
func (m *workerMetrics) recorded(rec *record) {
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
	latency.Observe(max(0, rec.at.Sub(idTime(rec.eventID)).Seconds()))
}

// idTime returns the time inside a UUIDv7, to the millisecond (RFC 9562, section 5.7).
func idTime(id uuid.UUID) time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms)
}

// fetch counts one of River's metrics.
func (m *workerMetrics) fetch(metric rivertype.Metric) {
	switch f := metric.(type) {
	case *rivertype.JobGetAvailableCountMetric:
		queue := m.queueLabel(f.Queue)
		m.fetches[queue].Inc()
		m.fetched[queue].Add(float64(f.Count))
	case *rivertype.JobGetAvailableDurationMetric:
		m.fetchTime[m.queueLabel(f.Queue)].Observe(f.Duration.Seconds())
	}
}

func (m *workerMetrics) queueLabel(queue string) string {
	if _, ok := m.fetches[queue]; ok {
		return queue
	}
	return queueLane
}
