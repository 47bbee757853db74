package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// JobCancelled is River's state of a job that a person, or the end of its endpoint, has cancelled.
const JobCancelled = "cancelled"

// Errors of Replay and Cancel. Nothing was changed.
var (
	ErrNotFound = errors.New("no such delivery")
	ErrPending  = errors.New("delivery is pending: it will be attempted anyway; " +
		"order it with now=true to bring the next attempt forward")
	ErrSettled     = errors.New("delivery is settled: only a pending delivery can be cancelled")
	ErrPayloadGone = errors.New("payload is gone, by the retention or because it was erased: " +
		"it can't be delivered again")
	ErrWithdrawn = errors.New("event was taken back before it was to be delivered: publish it anew")
	ErrInOrder   = errors.New("delivery has succeeded, and its endpoint gets it in order: delivered again it would come " +
		"after others that follow it; order it with force=true if that is what you want")
	ErrEndpointGone = errors.New("endpoint is disabled or deleted: enable it, then replay")
)

// Replay orders a delivery again: new attempts with the whole retry schedule, the same event id, numbers that go on
// where the log ends. Before the event's deliver_at it waits for that, unless now. It takes effect when tx commits.
//
// Returns ErrPending if the delivery is pending and now is false; with now, its next attempt is brought forward
// instead. Returns ErrNotFound if there is no such delivery, ErrEndpointGone if its endpoint gets nothing any more,
// ErrWithdrawn if its event was taken back, and ErrPayloadGone if there is nothing to send. One that has succeeded and
// is in a line is out of order the second time: ErrInOrder, unless it is forced.
func Replay(ctx context.Context, tx pgx.Tx, eventID, endpointID uuid.UUID, how How) error {
	d, err := lock(ctx, tx, eventID, endpointID)
	if err != nil {
		return err
	}

	switch {
	case d.Deleted || d.Status == db.EndpointStatusDisabled:
		return ErrEndpointGone
	case d.Withdrawn:
		return ErrWithdrawn
	case d.PayloadGone:
		return ErrPayloadGone
	case d.State == db.DeliveryStateSucceeded && d.Line != nil && !how.Force:
		return ErrInOrder
	case d.State != db.DeliveryStatePending:
		return reopen(ctx, tx, d, how.Now)
	case !how.Now:
		return ErrPending
	}

	return hasten(ctx, tx, []Key{{d.EventID, d.EndpointID}}, []int64{d.JobID})
}

// Cancel ends a pending delivery. An attempt that is under way ends as it does and is logged, but none follows. It
// takes effect when tx commits. Returns ErrNotFound or ErrSettled.
func Cancel(ctx context.Context, tx pgx.Tx, eventID, endpointID uuid.UUID) error {
	d, err := lock(ctx, tx, eventID, endpointID)
	if err != nil {
		return err
	}
	if d.State != db.DeliveryStatePending {
		return ErrSettled
	}

	q, reason := db.New(), ReasonOperator
	if err := q.CancelDelivery(ctx, tx, &reason, eventID, endpointID); err != nil {
		return fmt.Errorf("cancelling delivery: %w", err)
	}
	if err := CancelJobs(ctx, tx, d.JobID); err != nil {
		return fmt.Errorf("cancelling job %d: %w", d.JobID, err)
	}
	return nil
}

func lock(ctx context.Context, tx pgx.Tx, eventID, endpointID uuid.UUID) (db.LockDeliveryRow, error) {
	d, err := db.New().LockDelivery(ctx, tx, eventID, endpointID)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, ErrNotFound
	}
	if err != nil {
		return d, fmt.Errorf("locking delivery: %w", err)
	}
	return d, nil
}

func reopen(ctx context.Context, tx pgx.Tx, d db.LockDeliveryRow, now bool) error {
	q := db.New()

	// The job before this one may be live: River UI's Retry. One order is enough.
	if err := CancelJobs(ctx, tx, d.JobID); err != nil {
		return fmt.Errorf("cancelling job %d: %w", d.JobID, err)
	}

	job, err := q.InsertReplayJob(ctx, tx, db.InsertReplayJobParams{
		EventID: d.EventID, EndpointID: d.EndpointID, AttemptCount: d.AttemptCount, PreviousJobID: d.JobID, AtOnce: now,
		Line: d.Line,
	})
	if err != nil {
		return fmt.Errorf("inserting a job: %w", err)
	}
	p := db.ReplayDeliveryParams{EventID: d.EventID, EndpointID: d.EndpointID, JobID: job.ID, DueAt: job.DueAt}
	if err := q.ReplayDelivery(ctx, tx, p); err != nil {
		return fmt.Errorf("reopening delivery: %w", err)
	}

	return Notify(ctx, tx, QueueDeliver)
}

// hasten brings the next attempts of pending deliveries, with their jobs, forward. keys: in the order of their events.
func hasten(ctx context.Context, tx pgx.Tx, keys []Key, jobIDs []int64) error {
	q := db.New()
	if err := q.HastenJobs(ctx, tx, jobIDs); err != nil {
		return fmt.Errorf("bringing %d jobs forward: %w", len(jobIDs), err)
	}

	eventIDs, endpointIDs := split(keys)
	p := db.HastenDeliveriesParams{
		EventIDs: eventIDs, EndpointIDs: endpointIDs, Low: eventIDs[0], High: eventIDs[len(eventIDs)-1],
	}
	if err := q.HastenDeliveries(ctx, tx, p); err != nil {
		return fmt.Errorf("bringing %d deliveries forward: %w", len(keys), err)
	}
	return Notify(ctx, tx, QueueDeliver)
}

// CancelJobs ends jobs that are live, with the end of their deliveries. One that is running ends with its run.
func CancelJobs(ctx context.Context, tx pgx.Tx, jobIDs ...int64) error {
	return db.New().CancelJobs(ctx, tx, jobIDs)
}
