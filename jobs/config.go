package jobs

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook/jobs/deliver"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/lane"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/operation"
	"github.com/outhook/outhook/jobs/retention"
)

// Config configures New. Begin with DefaultConfig, and set what has no default: Pool, Deliver.Keyring and
// Deliver.Egress.
type Config struct {
	// Pool is the database, directly or through a pooler in session mode (LISTEN needs a session). Required. New workers
	// need about 14 connections: a listener, River's completer and maintenance. Beside the pool, with its configuration,
	// are up to 3 of the loader and the recorder, 7 of the fetches, one of the worker's lease (see package presence) and
	// one of the pacer.
	Pool *pgxpool.Pool

	// Deliver is how deliveries are worked.
	Deliver deliver.Config

	// Lane is what slow and limited endpoints get, and bursts.
	Lane lane.Config

	// Health is when an endpoint counts as failing, and what follows.
	Health health.Config

	// Retention is how long the log is kept.
	Retention retention.Config

	// Operation is how recover and replay go.
	Operation operation.Config

	// River is how jobs are fetched and kept.
	River RiverConfig

	// Logger gets a line of an attempt, at info level if it failed (of each endpoint the first ones and a few a minute)
	// and at debug level if it succeeded (all of them).
	//
	// Defaults to discarding.
	Logger *slog.Logger

	// Metrics is where the metrics are registered (docs/metrics.md). One registry takes one Client.
	//
	// Defaults to nil: they are counted and not shown.
	Metrics prometheus.Registerer

	// Now stubs the database's clock in tests.
	//
	// Defaults to nil, the database's clock.
	Now func() time.Time
}

// RiverConfig is how River fetches and keeps jobs.
type RiverConfig struct {
	// ClientID names the process in the database: in the jobs that it runs, and in its lease. No two may have the same. At
	// most 100 bytes.
	//
	// Defaults to "": the host's name and the time of New.
	ClientID string

	// MaxWorkers is how many deliveries one process attempts at the same time, from 1 to 10,000. Those of slow and limited
	// endpoints are bounded by LaneConfig.
	//
	// Defaults to 500.
	MaxWorkers int

	// MaxBulkWorkers is the same for bursts: enqueue calls with 100 deliveries or more for one endpoint.
	//
	// Defaults to 100.
	MaxBulkWorkers int

	// FetchCooldown is the least time between two fetches, and so the size of their groups under load: 1 ms at least.
	//
	// Defaults to 4 ms.
	FetchCooldown time.Duration

	// FetchPollInterval bounds how long a job waits that nobody was notified of: a retry that is due, or an event
	// enqueued while another open transaction was to notify. FetchCooldown at least; 50 ms costs about 1 % of a core.
	//
	// Defaults to 50 ms.
	FetchPollInterval time.Duration

	// SettledJobRetention is how long River keeps jobs of succeeded deliveries, for River UI. The history is in
	// delivery_attempts. Cancelled ones are kept for a day, failed ones for 7 days.
	//
	// Defaults to 15 minutes.
	SettledJobRetention time.Duration

	// StopTimeout is how long Stop lets attempts finish before it cuts them.
	//
	// Defaults to 30 s.
	StopTimeout time.Duration
}

// maxSlots bounds each number of workers.
const maxSlots = 10_000

// DefaultConfig returns the defaults of everything that has one.
func DefaultConfig() Config {
	return Config{
		Deliver: deliver.DefaultConfig(), Lane: lane.DefaultConfig(), Health: health.DefaultConfig(),
		Retention: retention.DefaultConfig(), Operation: operation.DefaultConfig(),
		River: RiverConfig{
			MaxWorkers: 500, MaxBulkWorkers: 100, FetchCooldown: 4 * time.Millisecond, FetchPollInterval: 50 * time.Millisecond,
			SettledJobRetention: 15 * time.Minute, StopTimeout: 30 * time.Second,
		},
		Logger: slog.New(slog.DiscardHandler),
	}
}

// Slots returns how many deliveries of each queue a process may work at the same time.
func (c Config) Slots() map[string]int {
	return map[string]int{
		ledger.QueueDeliver: c.River.MaxWorkers, ledger.QueueDeliverBulk: c.River.MaxBulkWorkers,
		ledger.QueueDeliverSlow: c.Lane.MaxSlowWorkers, ledger.QueueDeliverLimited: c.Lane.MaxLimitedWorkers,
	}
}

func (c Config) validate() error {
	if c.Pool == nil {
		return errors.New("jobs: Config.Pool is missing")
	}
	if c.Logger == nil {
		return errors.New("jobs: Config.Logger is missing: begin with DefaultConfig")
	}

	for _, part := range []struct {
		name     string
		validate func() error
	}{
		{"Deliver", c.Deliver.Validate},
		{"Lane", c.Lane.Validate},
		{"Health", c.Health.Validate},
		{"Retention", c.Retention.Validate},
		{"Operation", c.Operation.Validate},
		{"River", c.River.validate},
	} {
		if err := part.validate(); err != nil {
			return fmt.Errorf("jobs: Config.%s: %w", part.name, err)
		}
	}
	return nil
}

func (c RiverConfig) validate() error {
	switch {
	case c.MaxWorkers < 1 || c.MaxWorkers > maxSlots:
		return fmt.Errorf("field MaxWorkers is %d, it must be 1 to %d", c.MaxWorkers, maxSlots)
	case c.MaxBulkWorkers < 1 || c.MaxBulkWorkers > maxSlots:
		return fmt.Errorf("field MaxBulkWorkers is %d, it must be 1 to %d", c.MaxBulkWorkers, maxSlots)
	case c.FetchPollInterval < c.FetchCooldown || c.FetchCooldown < time.Millisecond:
		return errors.New("field FetchCooldown must be at least 1 ms and at most FetchPollInterval")
	case c.SettledJobRetention <= 0 || c.StopTimeout <= 0:
		return errors.New("field SettledJobRetention and StopTimeout must be above 0")
	}
	return nil
}
