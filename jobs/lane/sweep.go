package lane

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
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// workBudget is how long the pacer goes on with its chores between two looks at the lanes, one chunk at least.
	workBudget = 25 * time.Millisecond

	// sweepChunk is how many jobs one statement moves back or cancels: so much WAL others' commits may have to wait for.
	sweepChunk = 250

	// laneHead is how much of a shared queue is looked through at once, for at most laneChunk jobs that stand in front of
	// others; of up to laneQueues queues of bursts together, each the same part of it.
	laneHead   = 5000
	laneChunk  = 1000
	laneQueues = 100

	// cancelLook is how many deliveries of an ended endpoint are looked at for sweepChunk that are pending.
	cancelLook = 5000
)

// chore is what takes more than one round. do does a chunk of it, and tells whether there is more.
type chore struct {
	name string
	do   func(context.Context) (more bool, err error)
}

// listChores looks for what is to be done and not being done already.
func (l *lanes) listChores(ctx context.Context) error {
	worked := append(ledger.WorkedQueues(), ledger.QueueOperations, ledger.QueueMaintenance)
	stranded, err := db.New().ListStrandedQueues(ctx, l.conn, worked)
	if err != nil {
		return fmt.Errorf("listing stranded queues: %w", err)
	}
	for _, queue := range stranded {
		l.addChore("move "+queue, l.mover(sweepChunk, func(ctx context.Context, tx pgx.Tx) (int64, error) {
			return db.New().MoveStrandedJobs(ctx, tx, queue, sweepChunk)
		}))
	}

	if l.open {
		l.addChore("move to lanes", l.mover(laneChunk, func(ctx context.Context, tx pgx.Tx) (int64, error) {
			return moveToLanes(ctx, tx, []string{ledger.QueueDeliver})
		}))
		l.addChore("move bursts to lanes", l.mover(laneChunk, l.moveBurstsToLanes))
	}

	ended, err := db.New().ListEndedEndpoints(ctx, l.conn)
	if err != nil {
		return fmt.Errorf("listing ended endpoints: %w", err)
	}
	for _, n := range ended {
		l.addChore("cancel "+n.ID.String(), l.canceller(n))
	}
	return nil
}

// moveBurstsToLanes does for the next queues of bursts what moveToLanes does.
func (l *lanes) moveBurstsToLanes(ctx context.Context, tx pgx.Tx) (int64, error) {
	queues, err := db.New().ListBulkQueues(ctx, tx, nil, laneQueues, l.lastBulk)
	if err != nil || len(queues) == 0 {
		return 0, err
	}
	l.lastBulk = queues[len(queues)-1]
	return moveToLanes(ctx, tx, queues)
}

// moveToLanes takes jobs of endpoints that have a lane out of the heads of shared queues.
func moveToLanes(ctx context.Context, tx pgx.Tx, queues []string) (int64, error) {
	return db.New().MoveJobsToLanes(ctx, tx, queues, int32(laneHead/len(queues)), laneChunk) //nolint:gosec // small
}

func (l *lanes) addChore(name string, do func(context.Context) (bool, error)) {
	if !slices.ContainsFunc(l.chores, func(c chore) bool { return c.name == name }) {
		l.chores = append(l.chores, chore{name, do})
	}
}

// work goes on with the chores, in turn. One that fails is begun anew when it is found again.
func (l *lanes) work(ctx context.Context) error {
	for end := time.Now().Add(workBudget); len(l.chores) > 0 && time.Now().Before(end); {
		c := l.chores[0]
		l.chores = l.chores[1:]

		more, err := c.do(ctx)
		switch {
		case errors.Is(err, errLeaseLost) || err != nil && l.conn.IsClosed():
			return err
		case err != nil:
			l.logger.WarnContext(ctx, "moving what waits", slog.String("chore", c.name), slog.Any("error", err))
		case more:
			l.chores = append(l.chores, c)
		}
	}
	return nil
}

// mover moves jobs in chunks until few are left. Some of a chunk may be fetched by workers meanwhile.
func (l *lanes) mover(
	chunk int64, move func(context.Context, pgx.Tx) (int64, error),
) func(context.Context) (bool, error) {
	return func(ctx context.Context) (more bool, err error) {
		err = l.holding(ctx, func(tx pgx.Tx) error {
			n, err := move(ctx, tx)
			more = n > chunk/2
			return err
		})
		return more, err
	}
}

// canceller cancels the pending deliveries of an endpoint that was disabled or deleted, until it is enabled again or a
// pass over all of them has found none: not even one that was locked.
func (l *lanes) canceller(n db.ListEndedEndpointsRow) func(context.Context) (bool, error) {
	p := db.CancelEndpointDeliveriesParams{
		EndpointID: n.ID, CancelSince: n.CancelSince, Before: uuid.Max, Reason: ledger.ReasonEndpointDisabled,
		MaxRows: sweepChunk, LookRows: cancelLook,
	}
	if n.Deleted {
		p.Reason = ledger.ReasonEndpointDeleted
	}

	found := false
	return func(ctx context.Context) (more bool, err error) {
		err = l.holding(ctx, func(tx pgx.Tx) error {
			row, err := db.New().CancelEndpointDeliveries(ctx, tx, p)
			if err != nil || !row.Held {
				return err
			}

			found = found || row.Pending > 0
			if p.Before, more = row.Last, row.Last != uuid.Nil; more || found {
				return nil
			}
			return db.New().EndCancel(ctx, tx, n.ID, n.CancelSince)
		})
		return more, err
	}
}
