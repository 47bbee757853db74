package health

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// probeChunk is how many probes begin at the same time.
const probeChunk = 100

// Probe sends a test event to each endpoint that was disabled for failing and whose time has come. The worker that
// records its success enables the endpoint.
func (k *Keeper) Probe(ctx context.Context) error {
	if k.cfg.ProbeAfter == 0 {
		return nil
	}

	for n := probeChunk; n == probeChunk; {
		err := pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
			due, err := db.New().TakeProbes(ctx, tx, k.cfg.ProbeAfter.Seconds(), probeChunk)
			n = len(due)
			if err != nil || n == 0 {
				return err
			}

			for _, d := range due {
				if err := insertProbe(ctx, tx, d); err != nil {
					return err
				}
			}
			return ledger.Notify(ctx, tx, ledger.QueueDeliver)
		})
		if err != nil {
			return fmt.Errorf("probing disabled endpoints: %w", err)
		}
	}
	return nil
}

func insertProbe(ctx context.Context, tx pgx.Tx, d db.TakeProbesRow) error {
	payload, err := ledger.TestPayload(d.EndpointID)
	if err != nil {
		return fmt.Errorf("encoding a probe: %w", err)
	}

	return db.New().InsertProbe(ctx, tx, db.InsertProbeParams{
		TenantID: d.TenantID, Type: ledger.TestEventType, Payload: payload, EndpointID: d.EndpointID,
	})
}
