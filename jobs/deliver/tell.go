package deliver

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/health"
)

// followTimeout bounds what follows from an attempt for its endpoint, whose row somebody may have locked.
const followTimeout = 3 * time.Second

// follow does what an attempt that is recorded means for its endpoint: one that is gone, or leads back to Outhook, is
// disabled, one whose probe succeeded is enabled. It is a transaction of its own, so that no other delivery waits for
// the endpoint's row; should it fail, the endpoint's next attempt, or its next probe, says the same again.
func (w *Worker) follow(ctx context.Context, rec *record) {
	probed := rec.probe && rec.state == db.DeliveryStateSucceeded
	if rec.disable == "" && !probed {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), followTimeout)
	defer cancel()
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if probed {
			return health.EnableProbed(ctx, tx, rec.endpointID, rec.at)
		}
		return health.Disable(ctx, tx, rec.endpointID, rec.disable, rec.at)
	})
	if err != nil {
		w.calm.WarnContext(ctx, "changing an endpoint's status after its answer",
			slog.String("endpoint_id", rec.endpointID.String()), slog.Any("error", err))
	}
}
