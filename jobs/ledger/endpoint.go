package ledger

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
)

// cancelChunk is how many deliveries CancelDeliveries cancels in one transaction, so that no lock is held for long.
const cancelChunk = 1000

// CancelDeliveries cancels the pending deliveries of an endpoint that was disabled or deleted, in chunks that commit
// one by one. It ends early if the endpoint is enabled again. It may be cut short: a worker cancels whatever it
// loads of such an endpoint.
func CancelDeliveries(ctx context.Context, pool *pgxpool.Pool, endpointID uuid.UUID, reason string) error {
	after := uuid.Nil

	for n := cancelChunk; n == cancelChunk; {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			rows, err := db.New().CancelEndpointDeliveries(ctx, tx, db.CancelEndpointDeliveriesParams{
				Reason: &reason, EndpointID: endpointID, After: after, MaxRows: cancelChunk,
			})
			n = len(rows)
			if err != nil || n == 0 {
				return err
			}

			jobIDs := make([]int64, n)
			for i, row := range rows {
				jobIDs[i] = row.JobID
				if bytes.Compare(row.EventID[:], after[:]) > 0 {
					after = row.EventID
				}
			}

			return CancelJobs(ctx, tx, jobIDs...)
		})
		if err != nil {
			return fmt.Errorf("cancelling deliveries of endpoint %s: %w", endpointID, err)
		}
	}
	return nil
}

// ResumeEndpoint brings back the jobs that were set aside while the endpoint was paused. Call it in the transaction
// that ends the pause, after the endpoint's row was changed: a worker that sets a job aside waits for that row.
func ResumeEndpoint(ctx context.Context, tx pgx.Tx, endpointID uuid.UUID) error {
	n, err := db.New().ResumeEndpointJobs(ctx, tx, endpointID)
	if err != nil {
		return fmt.Errorf("resuming endpoint %s: %w", endpointID, err)
	}
	if n == 0 {
		return nil
	}

	return Notify(ctx, tx, QueueDeliver)
}
