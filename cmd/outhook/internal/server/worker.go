package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs"
)

const (
	// workerConns: River's completer, elector and maintenance (up to 7), and some room. Beside them are up to 3 of the
	// loader and the recorder, 7 of the fetches, and one each of River's listener, of the worker's lease and of the pacer.
	workerConns = 15

	// ownerConns: the retention and reconcile use one connection each, now and then.
	ownerConns = 2
)

// startWorker starts the workers if this process has that role. stop is never nil.
func (s *Server) startWorker(ctx context.Context, reg prometheus.Registerer,
) (w *jobs.Client, stop func(context.Context) error, err error) {
	none := func(context.Context) error { return nil }
	if !s.cfg.Roles.Worker {
		return nil, none, nil
	}

	pool, err := s.openPool(ctx, "outhook worker", workerConns, planAnew)
	if err != nil {
		return nil, none, err
	}

	owns, err := db.New().OwnsSchema(ctx, pool)
	if err != nil {
		pool.Close()
		return nil, none, fmt.Errorf("looking up the schema's owner: %w", err)
	}

	ownerPool, err := s.openOwnerPool(ctx, pool, owns)
	if err != nil {
		pool.Close()
		return nil, none, err
	}

	closePools := func() {
		ownerPool.Close()
		pool.Close()
	}

	w, err = jobs.New(s.jobsConfig(pool, ownerPool, owns, reg)) //nolint:contextcheck // its groups live until Stop
	if err == nil {
		err = w.Start(ctx)
	}
	if err != nil {
		closePools()
		return nil, none, fmt.Errorf("starting workers: %w", err)
	}

	return w, func(ctx context.Context) error {
		defer closePools()
		return w.Stop(ctx)
	}, nil
}

// planAnew has a pool's statements planned at each call: a kept plan may be from a time with few rows. What runs often
// enough to need one has pools of its own (package jobs).
func planAnew(cfg *pgxpool.Config) {
	prepare := cfg.AfterConnect
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if err := prepare(ctx, conn); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "SET plan_cache_mode = force_custom_plan")
		return err
	}
}

// openOwnerPool returns a pool of the schema's owner, which is the workers' own unless Database.OwnerURL is set.
func (s *Server) openOwnerPool(ctx context.Context, pool *pgxpool.Pool, owns bool) (*pgxpool.Pool, error) {
	if s.cfg.Database.OwnerURL == "" {
		if !owns {
			s.cfg.Notify(ctx, NotOwner)
		}
		return pool, nil
	}

	ownerPool, err := OpenPool(ctx, s.cfg.Database.OwnerURL, "outhook owner", ownerConns)
	if err != nil {
		return nil, &FieldError{FieldOwnerURL, err}
	}

	owns, err = db.New().OwnsSchema(ctx, ownerPool)
	if err == nil && !owns {
		err = errors.New("this user does not own the schema: give the one that runs `outhook migrate up`")
	}
	if err != nil {
		ownerPool.Close()
		return nil, &FieldError{FieldOwnerURL, err}
	}

	return ownerPool, nil
}

// jobsConfig returns Config.Jobs with what the workers share with the API and what was made for them.
func (s *Server) jobsConfig(pool, ownerPool *pgxpool.Pool, owns bool, reg prometheus.Registerer) jobs.Config {
	cfg := s.cfg.Jobs
	cfg.Pool, cfg.Logger, cfg.Metrics = pool, s.cfg.Logger, reg
	cfg.Deliver.Keyring, cfg.Deliver.Egress = s.cfg.Keyring, s.egress
	cfg.Deliver.Version, cfg.Deliver.Tracing = s.cfg.Version, s.tracing.tracerProvider()
	cfg.Retention.NotOwner = !owns
	if ownerPool != pool {
		cfg.Retention.OwnerPool = ownerPool
	}
	return cfg
}

// slots is how many attempts may be under way at the same time.
func slots(cfg jobs.Config) int {
	return cfg.River.MaxWorkers + cfg.River.MaxBulkWorkers + cfg.Lane.MaxSlowWorkers + cfg.Lane.MaxLimitedWorkers
}
