package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// PauseAll stands for all tenants in outhook.pauses: no tenant has this name.
const PauseAll = ""

// Pause pauses the deliveries of a tenant, or with PauseAll all of them, and returns the pause that holds: one that
// held already stays as it is. Runs that have begun end as they do. tx must be committed soon.
//
// Workers load the pause of a tenant with each delivery, and set aside what they have fetched, each once. Everything is
// paused by River's own pause of the queues, which no job has to be fetched for; whatever a person has paused there is
// left to him.
func Pause(ctx context.Context, tx pgx.Tx, tenantID, by, reason string) (p db.Pause, err error) {
	q := db.New()
	if err := q.PauseDeliveries(ctx, tx, tenantID, by, reason); err != nil {
		return p, fmt.Errorf("storing the pause: %w", err)
	}
	if p, err = q.GetPause(ctx, tx, tenantID); err != nil {
		return p, fmt.Errorf("reading the pause: %w", err)
	}

	if tenantID == PauseAll {
		if err := q.PauseQueues(ctx, tx, p.PausedAt, WorkedQueues()); err != nil {
			return p, fmt.Errorf("pausing the queues: %w", err)
		}
	}
	return p, nil
}

// Resume ends a pause, and returns it; nil: none held. What a tenant's pause has set aside is brought back by the
// pacer, as that of an endpoint that is enabled; what one of everything held is worked at once.
func Resume(ctx context.Context, tx pgx.Tx, tenantID string) (*db.Pause, error) {
	p, err := db.New().ResumeDeliveries(ctx, tx, tenantID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // nothing was paused
	case err != nil:
		return nil, fmt.Errorf("ending the pause: %w", err)
	case tenantID != PauseAll:
		return &p, nil
	}

	if err := db.New().ResumeQueues(ctx, tx, p.PausedAt); err != nil {
		return nil, fmt.Errorf("resuming the queues: %w", err)
	}
	return &p, nil
}
