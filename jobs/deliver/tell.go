package deliver

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/health"
)

// tell does what a group's outcomes mean beyond their deliveries: dead letters are told, an endpoint that is gone is
// disabled, one whose probe succeeded is enabled.
func tell(ctx context.Context, tx pgx.Tx, recs []record) error {
	var eventIDs, endpointIDs []uuid.UUID
	var jobIDs []int64
	for _, rec := range recs {
		if rec.state == db.DeliveryStateFailed {
			eventIDs = append(eventIDs, rec.eventID)
			endpointIDs = append(endpointIDs, rec.endpointID)
			jobIDs = append(jobIDs, rec.jobID)
		}
	}

	if len(eventIDs) > 0 {
		if _, err := db.New().TellFailedDeliveries(ctx, tx, eventIDs, endpointIDs, jobIDs); err != nil {
			return fmt.Errorf("telling of %d failed deliveries: %w", len(eventIDs), err)
		}
	}

	for _, rec := range recs {
		var err error
		switch {
		case rec.gone:
			err = health.Disable(ctx, tx, rec.endpointID, "gone: it answered 410", rec.at)
		case rec.probe && rec.state == db.DeliveryStateSucceeded:
			err = health.EnableProbed(ctx, tx, rec.endpointID, rec.at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
