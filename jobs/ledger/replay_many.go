package ledger

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// Key names a delivery.
type Key struct{ EventID, EndpointID uuid.UUID }

// Ordered is what came of an order for one of many deliveries.
type Ordered struct {
	TenantID string
	Err      error // of Replay; nil: it was carried out
}

// How says how deliveries are replayed.
type How struct {
	Now    bool // bring the next attempts of pending ones forward, and wait for no deliver_at
	DryRun bool // change nothing: say what would come of it; of ReplayMany only
	Force  bool // also what comes out of order by it; of Replay only: many come in order among themselves
}

// ReplayMany is [Replay] of many deliveries, of a tenant or (nil) of any, in one transaction. What it opens again waits
// with the bursts, so that live traffic goes first. keys: some, in the order of their events. The result has no entry
// for what there is not.
func ReplayMany(ctx context.Context, tx pgx.Tx, keys []Key, tenantID *string, how How) (map[Key]Ordered, error) {
	eventIDs, endpointIDs := split(keys)
	p := db.LockDeliveriesParams{
		EventIDs: eventIDs, EndpointIDs: endpointIDs, TenantID: tenantID,
		Low: eventIDs[0], High: eventIDs[len(eventIDs)-1],
	}
	rows, err := db.New().LockDeliveries(ctx, tx, p)
	if err != nil {
		return nil, fmt.Errorf("locking %d deliveries: %w", len(keys), err)
	}

	done := make(map[Key]Ordered, len(rows))
	var settled, pending []Key
	var settledJobs, pendingJobs []int64
	for _, d := range rows {
		key, o := Key{d.EventID, d.EndpointID}, Ordered{TenantID: d.TenantID}
		switch {
		case d.Deleted || d.Status == db.EndpointStatusDisabled:
			o.Err = ErrEndpointGone
		case d.Withdrawn:
			o.Err = ErrWithdrawn
		case d.PayloadGone:
			o.Err = ErrPayloadGone
		case d.State != db.DeliveryStatePending:
			settled, settledJobs = append(settled, key), append(settledJobs, d.JobID)
		case how.Now:
			pending, pendingJobs = append(pending, key), append(pendingJobs, d.JobID)
		default:
			o.Err = ErrPending
		}
		done[key] = o
	}

	if how.DryRun {
		return done, nil
	}
	if err := reopenMany(ctx, tx, settled, settledJobs, how.Now); err != nil || len(pending) == 0 {
		return done, err
	}
	return done, hasten(ctx, tx, pending, pendingJobs)
}

// reopenMany opens settled deliveries, with their jobs, again.
func reopenMany(ctx context.Context, tx pgx.Tx, keys []Key, jobIDs []int64, now bool) error {
	if len(keys) == 0 {
		return nil
	}

	// As in reopen.
	if err := CancelJobs(ctx, tx, jobIDs...); err != nil {
		return fmt.Errorf("cancelling %d jobs: %w", len(jobIDs), err)
	}

	eventIDs, endpointIDs := split(keys)
	p := db.ReplayDeliveriesParams{
		EventIDs: eventIDs, EndpointIDs: endpointIDs, Low: eventIDs[0], High: eventIDs[len(eventIDs)-1],
		AtOnce: now,
	}
	if err := db.New().ReplayDeliveries(ctx, tx, p); err != nil {
		return fmt.Errorf("reopening %d deliveries: %w", len(keys), err)
	}
	return Notify(ctx, tx, QueueDeliverBulk)
}

func split(keys []Key) (eventIDs, endpointIDs []uuid.UUID) {
	for _, k := range keys {
		eventIDs, endpointIDs = append(eventIDs, k.EventID), append(endpointIDs, k.EndpointID)
	}
	return eventIDs, endpointIDs
}
