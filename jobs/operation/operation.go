package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// Kinds and states of operations: a stored format.
const (
	KindRecover = "recover"
	KindReplay  = "replay"

	StateRunning   = "running"
	StatePaused    = "paused"
	StateCompleted = "completed"
	StateCancelled = "cancelled"
)

// Errors of operations. Nothing was changed.
var (
	ErrNotFound = errors.New("no such operation")
	ErrOver     = errors.New("operation is completed or cancelled: order a new one")
	ErrUnderway = errors.New("endpoint is being recovered already: wait for that operation, or cancel it")
	ErrTooMany  = fmt.Errorf("%d operations of the tenant are running: wait until one has ended, or pause or cancel one",
		MaxRunning)
)

// MaxRunning is how many operations of a tenant may run at the same time, and of those without a tenant: some seconds
// of turns. Orders of the same moment may exceed it by their number.
const MaxRunning = 100

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
// Returns pgx.ErrNoRows if there is no such endpoint, ErrEndpointGone if it is disabled, ErrUnderway if it is being
// recovered, and ErrTooMany if as many of its tenant's as may are running.
func Recover(ctx context.Context, tx pgx.Tx, endpointID uuid.UUID, f Filter) (op db.Operation, err error) {
	n, err := db.New().LockEndpoint(ctx, tx, endpointID)
	if err != nil {
		return op, err
	}
	if n.Status == db.EndpointStatusDisabled {
		return op, ledger.ErrEndpointGone
	}

	f.TenantID, f.EndpointID = &n.TenantID, &endpointID
	return insert(ctx, tx, KindRecover, f)
}

// Replay orders the replay of all deliveries that match. It takes effect when tx commits. Returns ErrTooMany if as many
// of the tenant's as may are running.
func Replay(ctx context.Context, tx pgx.Tx, f Filter) (db.Operation, error) {
	return insert(ctx, tx, KindReplay, f)
}

func insert(ctx context.Context, tx pgx.Tx, kind string, f Filter) (op db.Operation, err error) {
	if err := checkRunning(ctx, tx, f.TenantID); err != nil {
		return op, err
	}

	op, err = db.New().InsertOperation(ctx, tx, db.InsertOperationParams{
		Kind: kind, TenantID: f.TenantID, EndpointID: f.EndpointID,
		EventTypes: append([]string{}, f.EventTypes...), States: statesOf(kind, f.States),
		Missed: f.Missed, Since: f.Since, Until: f.Until,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return op, ErrUnderway
	}
	if err != nil {
		return op, fmt.Errorf("inserting an operation: %w", err)
	}

	return op, start(ctx, tx, op.ID)
}

// statesOf are those that a filter names, or the default of an operation's kind.
func statesOf(kind string, states []db.DeliveryState) (list []string) {
	switch {
	case len(states) == 0 && kind == KindRecover:
		states = []db.DeliveryState{db.DeliveryStateFailed, db.DeliveryStateCancelled}
	case len(states) == 0:
		states = []db.DeliveryState{db.DeliveryStateFailed}
	}

	for _, s := range states {
		list = append(list, string(s))
	}
	return list
}

// checkRunning returns ErrTooMany if one more operation may not run.
func checkRunning(ctx context.Context, tx pgx.Tx, tenantID *string) error {
	n, err := db.New().CountRunningOperations(ctx, tx, tenantID, MaxRunning)
	if err != nil {
		return fmt.Errorf("counting the operations that run: %w", err)
	}
	if n >= MaxRunning {
		return ErrTooMany
	}
	return nil
}

func start(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if err := db.New().InsertOperateJob(ctx, tx, id); err != nil {
		return fmt.Errorf("inserting the job of operation %s: %w", id, err)
	}
	return ledger.Notify(ctx, tx, ledger.QueueOperations)
}

// Pause stops an operation after the chunk that it is at. What was replayed is delivered. Returns
// ErrNotFound or ErrOver; a paused operation stays so.
func Pause(ctx context.Context, tx pgx.Tx, id uuid.UUID) (db.Operation, error) {
	return move(ctx, tx, id, StatePaused, StateRunning, StatePaused)
}

// Resume goes on where a paused operation stopped. Returns ErrNotFound, ErrOver, or ErrTooMany; a running operation
// goes on.
func Resume(ctx context.Context, tx pgx.Tx, id uuid.UUID) (op db.Operation, err error) {
	if op, err = move(ctx, tx, id, StateRunning, StatePaused, StateRunning); err != nil {
		return op, err
	}
	return op, start(ctx, tx, id) // a second job of an operation finds nothing to do
}

// Cancel ends an operation after the chunk that it is at. What was replayed is delivered. Returns
// ErrNotFound or ErrOver; a cancelled operation stays so.
func Cancel(ctx context.Context, tx pgx.Tx, id uuid.UUID) (db.Operation, error) {
	return move(ctx, tx, id, StateCancelled, StateRunning, StatePaused, StateCancelled)
}

func move(
	ctx context.Context, tx pgx.Tx, id uuid.UUID, to string, from ...string,
) (op db.Operation, err error) {
	locked, err := db.New().LockOperation(ctx, tx, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return op, ErrNotFound
	case err != nil:
		return op, fmt.Errorf("locking operation %s: %w", id, err)
	case !slices.Contains(from, locked.State):
		return op, ErrOver
	case locked.State == to:
		return db.New().GetOperation(ctx, tx, id)
	}

	if to == StateRunning {
		if err := checkRunning(ctx, tx, locked.TenantID); err != nil {
			return op, err
		}
	}

	return db.New().SetOperationState(ctx, tx, to, id, from)
}

// Tend gives each running operation that has no job one, and forgets those that ended before the retention.
func Tend(ctx context.Context, pool *pgxpool.Pool, logger *slog.Logger, keep time.Duration) error {
	n, err := db.New().ReviveOperations(ctx, pool)
	if err != nil {
		return fmt.Errorf("reviving operations: %w", err)
	}
	if n > 0 {
		logger.WarnContext(ctx, "operations had lost their jobs", slog.Int64("count", n))
	}

	if _, err := db.New().DeleteEndedOperations(ctx, pool, keep.Seconds()); err != nil {
		return fmt.Errorf("deleting old operations: %w", err)
	}
	return nil
}
