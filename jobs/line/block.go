package line

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// ReasonBlocked begins the status_reason of an endpoint that was paused since its line must not go on.
const ReasonBlocked = "order"

// patience is how long it waits for whoever holds the endpoint's row: a person's change takes milliseconds.
const patience = "SET LOCAL lock_timeout = 500"

// Block pauses an endpoint whose order says that, before a delivery of its line ends as failed: what comes next must
// not leave before a person has looked. It returns the endpoint if it was paused now, and nil if its line goes on: it
// skips, is that of an ordering key, or is paused or ended already.
func Block(ctx context.Context, tx pgx.Tx, key Key, endpointID, eventID uuid.UUID) (*db.Endpoint, error) {
	if _, err := tx.Exec(ctx, patience); err != nil {
		return nil, err
	}

	reason := fmt.Sprintf("%s: event %s has used up its schedule; replay it or not, then enable the endpoint",
		ReasonBlocked, eventID)
	n, err := db.New().BlockEndpoint(ctx, tx, reason, endpointID, []byte(key))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // nothing was paused
	case err != nil:
		return nil, fmt.Errorf("pausing endpoint %s: %w", endpointID, err)
	}
	return &n, nil
}
