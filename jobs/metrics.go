package jobs

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/jobs/ledger"
)

// queueLane is the label of the queues endpoint-<id>, of which there are as many as endpoints.
const queueLane = "lane"

// workedQueues are the queues that every worker process works.
func workedQueues() []string {
	return append(ledger.WorkedQueues(), ledger.QueueOperations, ledger.QueueMaintenance)
}

// fetchMetrics are of River's fetches, by queue.
type fetchMetrics struct {
	fetches   map[string]prometheus.Counter
	fetched   map[string]prometheus.Counter
	fetchTime map[string]prometheus.Observer
}

// newFetchMetrics registers them with reg; nil registers nothing.
func newFetchMetrics(reg prometheus.Registerer) *fetchMetrics {
	factory, m := promauto.With(reg), &fetchMetrics{}
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
	for _, queue := range append(workedQueues(), queueLane) {
		m.fetches[queue] = fetches.WithLabelValues(queue)
		m.fetched[queue] = fetched.WithLabelValues(queue)
		m.fetchTime[queue] = seconds.WithLabelValues(queue)
	}
	return m
}

// addState registers what is read at the time of a scrape.
func (c *Client) addState(reg prometheus.Registerer) {
	factory := promauto.With(reg)
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		factory.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}

	gauge("outhook_deliveries_in_flight", "Deliveries that this process works at this moment, from load to record.", nil,
		func() float64 { return float64(c.deliver.UnderWay()) })
	for queue, slots := range c.cfg.Slots() {
		gauge("outhook_worker_slots", "Deliveries of a queue that this process may work at the same time.",
			prometheus.Labels{"queue": queue}, func() float64 { return float64(slots) })
	}

	gauge("outhook_clock_offset_seconds", "How far the database's clock is ahead of this process's.", nil,
		func() float64 { return c.clock.Offset().Seconds() })
	gauge("outhook_worker_ready", "1 if this process has its lease and fetches what is due, as /readyz says; else 0.", nil,
		func() float64 {
			if c.Ready(context.Background()) != nil {
				return 0
			}
			return 1
		})
	gauge("outhook_network_trouble",
		"1 while this machine lacks what requests need to leave (descriptors, ports, a route, a name server); else 0.", nil,
		func() float64 {
			if c.cfg.Deliver.Egress.Trouble() == "" {
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

// fetch counts one of River's metrics.
func (m *fetchMetrics) fetch(metric rivertype.Metric) {
	switch f := metric.(type) {
	case *rivertype.JobGetAvailableCountMetric:
		queue := m.queueLabel(f.Queue)
		m.fetches[queue].Inc()
		m.fetched[queue].Add(float64(f.Count))
	case *rivertype.JobGetAvailableDurationMetric:
		m.fetchTime[m.queueLabel(f.Queue)].Observe(f.Duration.Seconds())
	}
}

func (m *fetchMetrics) queueLabel(queue string) string {
	if _, ok := m.fetches[queue]; ok {
		return queue
	}
	return queueLane
}
