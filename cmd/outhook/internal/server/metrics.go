package server

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

	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/jobs"
)

const (
	// metricsTimeout bounds a scrape: Prometheus' own default is 10 s.
	metricsTimeout = 10 * time.Second

	// maxScrapes bounds the scrapes at the same time.
	maxScrapes = 4
)

// newRegistry returns a registry of its own with what is true of the process. The API and the workers add theirs.
func (s *Server) newRegistry(pool *pgxpool.Pool) *prometheus.Registry {
	reg := prometheus.NewRegistry()

	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "outhook_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": s.cfg.Version, "go_version": runtime.Version()},
	})
	info.Set(1)

	role := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "outhook_role", Help: "1 for each role that this process has: api, worker.",
	}, []string{"role"})
	for name, has := range map[string]bool{"api": s.cfg.Roles.API, "worker": s.cfg.Roles.Worker} {
		if has {
			role.WithLabelValues(name).Set(1)
		}
	}

	reg.MustRegister(info, role, s.dropped.total,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.NewPool("api", pool.Stat), jobs.NewCollector(pool, s.cfg.Jobs.Retention.Keep, s.cfg.Logger))
	return reg
}

// serveMetrics serves /metrics on an address of its own until stop is called. Without a listener stop does nothing.
func (s *Server) serveMetrics(ctx context.Context, reg *prometheus.Registry,
) (stop func(context.Context) error, err error) {
	stop = func(context.Context) error { return nil }
	address := s.cfg.Telemetry.MetricsListen
	if address == "" {
		return stop, nil
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && address == defaultMetricsListen:
		s.cfg.Notify(ctx, MetricsAddressTaken)
		return stop, nil
	case err != nil:
		return stop, &FieldError{FieldMetricsListen, fmt.Errorf("listening on %s for metrics: %w", address, err)}
	}

	if err := s.keepFrom(listener); err != nil {
		return stop, errors.Join(err, listener.Close())
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(logthrottle.New(s.cfg.Logger).Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes, Timeout: metricsTimeout,
	}))
	httpServer := &http.Server{
		Handler: mux, ReadHeaderTimeout: metricsTimeout, ReadTimeout: metricsTimeout, WriteTimeout: 2 * metricsTimeout,
		IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = httpServer.Serve(listener) // always http.ErrServerClosed
	}()
	s.cfg.Logger.InfoContext(ctx, "serving metrics", slog.String("metrics_address", listener.Addr().String()))

	return func(ctx context.Context) error {
		err := httpServer.Shutdown(ctx)
		<-done
		if err != nil {
			return fmt.Errorf("closing the metrics: %w", err)
		}
		return nil
	}, nil
}
