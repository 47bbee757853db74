package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

const (
	// StopTimeout bounds a stop from the end of Run's context to the end of Run, for everything together: the 30 s that an
	// attempt may take, and the time to record the last outcomes.
	StopTimeout = 34 * time.Second

	// MaxShutdownDelay bounds Config.ShutdownDelay: what is left of StopTimeout is enough for a request.
	MaxShutdownDelay = 15 * time.Second
)

// ending is what ends the parts of a process. Each returns once its part has ended.
type ending struct {
	http, api, worker, metrics func(context.Context) error
}

// all ends a process that never served.
func (e ending) all(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), StopTimeout)
	defer cancel()
	return errors.Join(e.api(ctx), e.worker(ctx), e.metrics(ctx))
}

// stop ends the process in order, and all of it by one deadline. From its first moment on workers take no more jobs,
// and /readyz says that nobody should begin to send requests. Those that still come are served for
// Config.ShutdownDelay, since a load balancer needs its time to hear of it; then the API takes no more, answers those
// it has, and commits what the ingestion holds. A process without the API answers /livez and /readyz for as long as its
// workers have runs.
func (s *Server) stop(ctx context.Context, ends ending) error {
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add(StopTimeout))
	defer cancel()
	if s.worker != nil {
		s.worker.TakeNoMore()
	}
	s.stopping.Store(true)
	s.tellStop(ctx, began.Add(StopTimeout))

	var workerErr error
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		workerErr = ends.worker(ctx)
	}()

	if s.cfg.Roles.API {
		s.linger(ctx)
	} else {
		<-worked
	}

	err := errors.Join(ends.http(ctx), ends.api(ctx))
	<-worked
	err = errors.Join(err, workerErr, ends.metrics(ctx))

	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "stopped", slog.Int64("duration_ms", time.Since(began).Milliseconds()))
	return err
}

// linger waits for Config.ShutdownDelay.
func (s *Server) linger(ctx context.Context) {
	select {
	case <-time.After(s.cfg.ShutdownDelay):
	case <-ctx.Done():
	}
}

// tellStop logs what a stop finds under way.
func (s *Server) tellStop(ctx context.Context, deadline time.Time) {
	attrs := []slog.Attr{slog.Time("deadline", deadline)}
	if s.worker != nil {
		attrs = append(attrs, slog.Int("runs_under_way", s.worker.UnderWay()))
	}
	if s.api != nil {
		attrs = append(attrs, slog.Int64("requests_under_way", s.api.UnderWay()),
			slog.Int64("shutdown_delay_ms", s.cfg.ShutdownDelay.Milliseconds()))
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "stopping", attrs...)
}

// closing has clients leave with the answer to their next request once the process is to end, so that few connections
// are idle when they are closed: a request that is just being sent on one gets no answer.
func (s *Server) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
