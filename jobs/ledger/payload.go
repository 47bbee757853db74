package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// ErrUndelivered is an event whose payload is still needed. Nothing was changed.
var ErrUndelivered = errors.New("event has pending deliveries, which need its payload: wait, cancel them, " +
	"or order it with force=true, which cancels them")

// ErasePayload erases the payload of an event, and what its receivers answered, which may repeat it. Ids, times, states
// and counts stay. Returns whether there was anything to erase. With force, pending deliveries are cancelled; one that
// is being recorded at this moment is cancelled by the worker that loads it next, and an attempt that is under way ends
// as it does: a second order erases what was answered to it. It takes effect when tx commits.
//
// Returns ErrUndelivered without force if a delivery is pending.
func ErasePayload(ctx context.Context, tx pgx.Tx, eventID uuid.UUID, force bool) (erased bool, err error) {
	q := db.New()
	if force {
		reason := ReasonPayloadGone
		jobIDs, err := q.EraseDeliveries(ctx, tx, db.EraseDeliveriesParams{
			Reason: reason, EventIDs: []uuid.UUID{eventID}, Low: eventID, High: eventID,
		})
		if err != nil {
			return false, fmt.Errorf("cancelling deliveries: %w", err)
		}
		if err := CancelJobs(ctx, tx, jobIDs...); err != nil {
			return false, fmt.Errorf("cancelling %d jobs: %w", len(jobIDs), err)
		}
	} else if pending, err := q.HasPending(ctx, tx, eventID); err != nil {
		return false, fmt.Errorf("looking for pending deliveries: %w", err)
	} else if pending {
		return false, ErrUndelivered
	}

	payloads, err := q.ErasePayload(ctx, tx, eventID)
	if err != nil {
		return false, fmt.Errorf("erasing a payload: %w", err)
	}
	answers, err := q.EraseAnswers(ctx, tx, eventID)
	if err != nil {
		return false, fmt.Errorf("erasing answers: %w", err)
	}
	return payloads+answers > 0, nil
}
