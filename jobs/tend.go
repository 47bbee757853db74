package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/outhook/outhook/db"
)

const (
	// tendInterval is how often what waits for its time is looked after.
	tendInterval = time.Minute

	// probeChunk is how many probes begin at the same time.
	probeChunk = 100
)

// TendArgs are the arguments of a "tend" job, which does what is due about endpoints and operations by the
// clock: a stored format.
type TendArgs struct{}

// Kind returns "tend".
func (TendArgs) Kind() string { return "tend" }

type tendWorker struct {
	river.WorkerDefaults[TendArgs]

	cfg    Config
	health *healthKeeper
}

// Work settles held states, begins the probes that are due, and gives operations without a job one.
func (w *tendWorker) Work(ctx context.Context, _ *river.Job[TendArgs]) error {
	err := errors.Join(w.health.settle(ctx), Probe(ctx, w.cfg), tendOperations(ctx, w.cfg))
	if err != nil {
		w.cfg.Logger.ErrorContext(ctx, "tending", slog.Any("error", err))
	}
	return err
}

// tendPeriodically runs the job when a process becomes leader and every minute. A failed run is not retried: the
// next one does the same.
func tendPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(tendInterval), func() (river.JobArgs, *river.InsertOpts) {
		return TendArgs{}, &river.InsertOpts{Queue: queueMaintenance, MaxAttempts: 1}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}

// probePayload is the payload of a probe, that of a test event.
type probePayload struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		EndpointID uuid.UUID `json:"endpoint_id"`
	} `json:"data"`
}

// Probe sends a test event to each endpoint that was disabled for failing and whose time has come. The worker that
// records its success enables the endpoint.
func Probe(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if cfg.ProbeAfter < 0 {
		return nil
	}

	for n := probeChunk; n == probeChunk; {
		err := pgx.BeginFunc(ctx, cfg.Pool, func(tx pgx.Tx) error {
			due, err := db.New().TakeProbes(ctx, tx, cfg.ProbeAfter.Seconds(), probeChunk)
			n = len(due)
			if err != nil || n == 0 {
				return err
			}

			for _, d := range due {
				if err := insertProbe(ctx, tx, d); err != nil {
					return err
				}
			}
			return notify(ctx, tx, QueueDeliver)
		})
		if err != nil {
			return fmt.Errorf("probing disabled endpoints: %w", err)
		}
	}
	return nil
}

func insertProbe(ctx context.Context, tx pgx.Tx, d db.TakeProbesRow) error {
	p := probePayload{Type: TestEventType, Timestamp: time.Now().UTC()}
	p.Data.EndpointID = d.EndpointID
	payload, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding a probe: %w", err)
	}

	return db.New().InsertProbe(ctx, tx, db.InsertProbeParams{
		TenantID: d.TenantID, Type: TestEventType, Payload: payload, EndpointID: d.EndpointID,
	})
}
