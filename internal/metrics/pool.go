package metrics

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// pool collects the statistics of one connection pool.
type pool struct {
	stat func() *pgxpool.Stat

	connections, limit, acquires, waits, waited, cancelled, opened *prometheus.Desc
}

// NewPool returns a collector of a pool's statistics, with the label pool. stat may return nil while there is no pool.
func NewPool(name string, stat func() *pgxpool.Stat) prometheus.Collector {
	desc := func(metric, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("outhook_pool_"+metric, help, labels, prometheus.Labels{"pool": name})
	}

	return &pool{
		stat: stat,
		connections: desc("connections",
			"Connections to Postgres by what they do: acquired, idle, or constructing.", "state"),
		limit:     desc("connections_limit", "Connections that the pool may have."),
		acquires:  desc("acquires_total", "Connections that were taken from the pool."),
		waits:     desc("acquire_waits_total", "Acquires that had to wait: no connection was idle."),
		waited:    desc("acquire_wait_seconds_total", "Time that acquires took altogether."),
		cancelled: desc("acquires_cancelled_total", "Acquires whose caller gave up first."),
		opened:    desc("connections_opened_total", "Connections that were opened."),
	}
}

// Describe sends the descriptions.
func (p *pool) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.connections, p.limit, p.acquires, p.waits, p.waited, p.cancelled, p.opened} {
		ch <- d
	}
}

// Collect sends the values of this moment.
func (p *pool) Collect(ch chan<- prometheus.Metric) {
	s := p.stat()
	if s == nil {
		return
	}

	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}

	gauge(p.connections, float64(s.AcquiredConns()), "acquired")
	gauge(p.connections, float64(s.IdleConns()), "idle")
	gauge(p.connections, float64(s.ConstructingConns()), "constructing")
	gauge(p.limit, float64(s.MaxConns()))

	counter(p.acquires, float64(s.AcquireCount()))
	counter(p.waits, float64(s.EmptyAcquireCount()))
	counter(p.waited, s.AcquireDuration().Seconds())
	counter(p.cancelled, float64(s.CanceledAcquireCount()))
	counter(p.opened, float64(s.NewConnsCount()))
}
