package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/jobs"
)

const (
	// defaultMetricsListen is for a Prometheus, or an agent of it, on the same machine. The port is the one that
	// OpenTelemetry's exporter for Prometheus has too.
	defaultMetricsListen = "127.0.0.1:9464"

	// noMetrics is the address that turns the listener off.
	noMetrics = "none"

	// metricsTimeout bounds a scrape: Prometheus' own default is 10 s.
	metricsTimeout = 10 * time.Second

	// maxScrapes bounds the scrapes at the same time.
	maxScrapes = 4
)

// metricsFlags say where the metrics are.
type metricsFlags struct {
	MetricsListen string `env:"OUTHOOK_METRICS_LISTEN" default:"${metrics_listen}" help:"The address that serves /metrics, without authentication, or none. The default gives way if another process has it."`
}

// newRegistry returns a registry of its own with what is true of the process. The API and the workers add theirs.
func (s *server) newRegistry(pool *pgxpool.Pool) *prometheus.Registry {
	reg := prometheus.NewRegistry()

	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "outhook_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version(), "go_version": runtime.Version()},
	})
	info.Set(1)

	role := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "outhook_role", Help: "1 for each role that this process has: api, worker.",
	}, []string{"role"})
	for name, has := range map[string]bool{"api": s.roles.api, "worker": s.roles.worker} {
		if has {
			role.WithLabelValues(name).Set(1)
		}
	}

	reg.MustRegister(info, role,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.NewPool("api", pool.Stat), jobs.NewBacklog(pool, s.logger))
	return reg
}

// serveMetrics serves /metrics on an address of its own until stop is called. Without a listener stop does nothing.
func (s *server) serveMetrics(ctx context.Context, reg *prometheus.Registry,
) (stop func(context.Context) error, err error) {
	stop = func(context.Context) error { return nil }
	if s.flags.MetricsListen == noMetrics || s.flags.MetricsListen == "" {
		return stop, nil
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.flags.MetricsListen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && s.flags.MetricsListen == defaultMetricsListen:
		s.logger.WarnContext(ctx, "not serving metrics: another process has the default address; "+
			"set OUTHOOK_METRICS_LISTEN to another, or to none", slog.String("metrics_address", defaultMetricsListen))
		return stop, nil
	case err != nil:
		return stop, fmt.Errorf("listening on %s for metrics: %w (set OUTHOOK_METRICS_LISTEN to another address, or to none)",
			s.flags.MetricsListen, err)
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes, Timeout: metricsTimeout,
	}))
	httpServer := &http.Server{
		Handler: mux, ReadHeaderTimeout: metricsTimeout, ReadTimeout: metricsTimeout, WriteTimeout: 2 * metricsTimeout,
		IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = httpServer.Serve(listener) // always http.ErrServerClosed
	}()
	s.logger.InfoContext(ctx, "serving metrics", slog.String("metrics_address", listener.Addr().String()))

	return func(ctx context.Context) error {
		err := httpServer.Shutdown(ctx)
		<-done
		if err != nil {
			return fmt.Errorf("closing the metrics: %w", err)
		}
		return nil
	}, nil
}
