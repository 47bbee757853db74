package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// Kinds and states of operations: a stored format.
const (
	OperationRecover = "recover"
	OperationReplay  = "replay"

	OperationRunning   = "running"
	OperationPaused    = "paused"
	OperationCompleted = "completed"
	OperationCancelled = "cancelled"
)

// Errors of operations. Nothing was changed.
var (
	ErrNoOperation       = errors.New("no such operation")
	ErrOperationOver     = errors.New("operation is completed or cancelled: order a new one")
	ErrOperationUnderway = errors.New("endpoint is being recovered already: wait for that operation, or cancel it")
)

// Filter says which settled deliveries an operation replays.
type Filter struct {
	// TenantID and EndpointID, nil: any.
	TenantID   *string
	EndpointID *uuid.UUID

	// EventTypes are names or prefixes, like an endpoint's. Empty: any.
	EventTypes []string

	// States are failed, cancelled and, for a replay, succeeded.
	//
	// Defaults to failed and cancelled for a recover, failed for a replay.
	States []db.DeliveryState

	// Missed makes a recover also make deliveries for the events of the range that the endpoint is subscribed to and has
	// no delivery of: those that were enqueued while it was disabled. None from before it was created.
	Missed bool

	// Since and Until bound the time when a delivery was settled: at Since or later, before Until; of a missed event, the
	// time when it was enqueued.
	//
	// Until defaults to now, and is never later.
	Since time.Time
	Until *time.Time
}

// Recover orders the replay of an endpoint's failed deliveries and of those that were cancelled because the endpoint
// was disabled or deleted; not of those that a person cancelled. It takes effect when tx commits.
//
// Returns pgx.ErrNoRows if there is no such endpoint, ErrEndpointGone if it is disabled, and ErrOperationUnderway
// if it is being recovered.
func Recover(ctx context.Context, tx pgx.Tx, endpointID uuid.UUID, f Filter) (op db.Operation, err error) {
	n, err := db.New().LockEndpoint(ctx, tx, endpointID)
	if err != nil {
		return op, err
	}
	if n.Status == db.EndpointStatusDisabled {
		return op, ErrEndpointGone
	}

	f.TenantID, f.EndpointID = &n.TenantID, &endpointID
	if len(f.States) == 0 {
		f.States = []db.DeliveryState{db.DeliveryStateFailed, db.DeliveryStateCancelled}
	}

	return insertOperation(ctx, tx, OperationRecover, f)
}

// ReplayMany orders the replay of all deliveries that match. It takes effect when tx commits.
func ReplayMany(ctx context.Context, tx pgx.Tx, f Filter) (db.Operation, error) {
	if len(f.States) == 0 {
		f.States = []db.DeliveryState{db.DeliveryStateFailed}
	}
	return insertOperation(ctx, tx, OperationReplay, f)
}

func insertOperation(ctx context.Context, tx pgx.Tx, kind string, f Filter) (op db.Operation, err error) {
	states := make([]string, len(f.States))
	for i, s := range f.States {
		states[i] = string(s)
	}

	op, err = db.New().InsertOperation(ctx, tx, db.InsertOperationParams{
		Kind: kind, TenantID: f.TenantID, EndpointID: f.EndpointID,
		EventTypes: append([]string{}, f.EventTypes...), States: states,
		Missed: f.Missed, Since: f.Since, Until: f.Until,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return op, ErrOperationUnderway
	}
	if err != nil {
		return op, fmt.Errorf("inserting an operation: %w", err)
	}

	return op, startOperation(ctx, tx, op.ID)
}

func startOperation(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if err := db.New().InsertOperateJob(ctx, tx, id); err != nil {
		return fmt.Errorf("inserting the job of operation %s: %w", id, err)
	}
	return notify(ctx, tx, queueOperations)
}

// PauseOperation stops an operation after the chunk that it is at. What was replayed is delivered. Returns
// ErrNoOperation or ErrOperationOver; a paused operation stays so.
func PauseOperation(ctx context.Context, tx pgx.Tx, id uuid.UUID) (db.Operation, error) {
	return moveOperation(ctx, tx, id, OperationPaused, OperationRunning, OperationPaused)
}

// ResumeOperation goes on where a paused operation stopped. Returns ErrNoOperation or ErrOperationOver; a running
// operation goes on.
func ResumeOperation(ctx context.Context, tx pgx.Tx, id uuid.UUID) (op db.Operation, err error) {
	if op, err = moveOperation(ctx, tx, id, OperationRunning, OperationPaused, OperationRunning); err != nil {
		return op, err
	}
	return op, startOperation(ctx, tx, id) // a second job of an operation finds nothing to do
}

// CancelOperation ends an operation after the chunk that it is at. What was replayed is delivered. Returns
// ErrNoOperation or ErrOperationOver; a cancelled operation stays so.
func CancelOperation(ctx context.Context, tx pgx.Tx, id uuid.UUID) (db.Operation, error) {
	return moveOperation(ctx, tx, id, OperationCancelled, OperationRunning, OperationPaused, OperationCancelled)
}

func moveOperation(
	ctx context.Context, tx pgx.Tx, id uuid.UUID, to string, from ...string,
) (op db.Operation, err error) {
	locked, err := db.New().LockOperation(ctx, tx, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return op, ErrNoOperation
	case err != nil:
		return op, fmt.Errorf("locking operation %s: %w", id, err)
	case !slices.Contains(from, locked.State):
		return op, ErrOperationOver
	case locked.State == to:
		return db.New().GetOperation(ctx, tx, id)
	}

	return db.New().SetOperationState(ctx, tx, to, id, from)
}

// tendOperations gives each running operation that has no job one, and forgets those that ended before the retention.
func tendOperations(ctx context.Context, cfg Config) error {
	n, err := db.New().ReviveOperations(ctx, cfg.Pool)
	if err != nil {
		return fmt.Errorf("reviving operations: %w", err)
	}
	if n > 0 {
		cfg.Logger.WarnContext(ctx, "operations had lost their jobs", slog.Int64("count", n))
	}

	if _, err := db.New().DeleteEndedOperations(ctx, cfg.Pool, cfg.Retention.Seconds()); err != nil {
		return fmt.Errorf("deleting old operations: %w", err)
	}
	return nil
}
