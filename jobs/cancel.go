package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/outhook/outhook/jobs/ledger"
)

// CancelDeliveriesArgs are the arguments of a "cancel_deliveries" job, which cancels what waits for an endpoint that a
// worker has disabled: a stored format.
type CancelDeliveriesArgs struct {
	EndpointID uuid.UUID `json:"endpoint_id"`
	Reason     string    `json:"reason"`
}

// Kind returns "cancel_deliveries".
func (CancelDeliveriesArgs) Kind() string { return "cancel_deliveries" }

type cancelWorker struct {
	river.WorkerDefaults[CancelDeliveriesArgs]

	pool   *pgxpool.Pool
	logger *slog.Logger
}

// Work cancels chunk by chunk. A run that is cut short goes on in the next.
func (w *cancelWorker) Work(ctx context.Context, job *river.Job[CancelDeliveriesArgs]) error {
	err := ledger.CancelDeliveries(ctx, w.pool, job.Args.EndpointID, job.Args.Reason)
	if err != nil {
		w.logger.WarnContext(ctx, "cancelling deliveries",
			slog.String("endpoint_id", job.Args.EndpointID.String()), slog.Any("error", err))
	}
	return err
}

// NextRetry lets a failed run rest for some seconds.
func (w *cancelWorker) NextRetry(*river.Job[CancelDeliveriesArgs]) time.Time {
	return time.Now().Add(ledger.TroubleDelay)
}
