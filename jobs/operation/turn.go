package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// turns is how long one run of a job gives turns before it makes room for the next job.
	turns = time.Second

	// minWait is how long what can't go on waits at least, if enough deliveries wait for their turn or somebody else holds
	// it. It waits for a quarter of the time for which it has stood still, maxWait at most: deliveries that are sent make
	// room within a moment, those of a paused endpoint perhaps next week.
	minWait = 100 * time.Millisecond
	maxWait = 4 * time.Second // below 5 s, River makes a snoozed job available at once

	// starved is how long a tenant's operations stand still because its bursts fill its queue (those of all, for one that
	// is of all tenants). Then one goes on, a chunk each time: bursts may come for hours, and what it adds is little.
	starved = 10 * time.Second

	// rest is how long an operation rests after trouble.
	rest = ledger.TroubleDelay
)

// Args are the arguments of an "operate" job: a stored format. The job says that there is work: each of its turns goes
// to the operation that is next, whichever that is, so however many operations a tenant has, none of another waits for
// all of them. It ends with the operation that it names.
type Args struct {
	OperationID uuid.UUID `json:"operation_id"`
}

// Kind returns "operate".
func (Args) Kind() string { return "operate" }

// Worker carries operations out.
type Worker struct {
	river.WorkerDefaults[Args]

	cfg    Config
	pool   *pgxpool.Pool
	logger *slog.Logger
}

// NewWorker returns a Worker.
func NewWorker(cfg Config, pool *pgxpool.Pool, logger *slog.Logger) *Worker {
	return &Worker{cfg: cfg, pool: pool, logger: logthrottle.New(logger)}
}

// Work gives turns, a chunk each, for a while. There are few slots, and none is held by a job that only waits: when no
// operation can go on, it comes back when its own may.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	for began := time.Now(); ; {
		served, err := w.serve(ctx)
		if err != nil {
			return err
		}
		if served && time.Since(began) < turns {
			continue
		}

		wait, err := w.wait(ctx, job.Args.OperationID, served)
		switch {
		case errors.Is(err, errNotRunning):
			return nil
		case err != nil:
			return err
		case wait > minWait || time.Since(began) >= turns:
			return river.JobSnooze(wait)
		}

		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errNotRunning ends the job of an operation that does not run: it is over, paused, or gone.
var errNotRunning = errors.New("the operation does not run")

// wait returns how long it takes until an operation may go on, or, if none could, until it is worth another look.
func (w *Worker) wait(ctx context.Context, id uuid.UUID, served bool) (time.Duration, error) {
	op, err := db.New().GetOperationWait(ctx, w.pool, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && op.State != StateRunning:
		return 0, errNotRunning
	case err != nil:
		return 0, fmt.Errorf("looking at operation %s: %w", id, err)
	}

	due := max(seconds(op.DueSeconds), 0)
	if served || due > 0 {
		return due, nil
	}
	return backOff(seconds(op.StillSeconds)), nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// backOff returns how long what has stood still for a while waits.
func backOff(still time.Duration) time.Duration { return min(max(minWait, still/4), maxWait) }

// serve gives the next operation its turn. served is false if none can go on now. Trouble with one is kept with it, and
// is not the next one's.
func (w *Worker) serve(ctx context.Context) (served bool, err error) {
	op, err := w.step(ctx)
	if op == nil || err == nil {
		return op != nil, err
	}
	if ctx.Err() != nil {
		return true, err
	}

	w.logger.WarnContext(ctx, "carrying an operation out",
		slog.String("operation_id", op.ID.String()), slog.Any("error", err))
	text := err.Error()
	if err := db.New().SetOperationError(ctx, w.pool, &text, rest.Seconds(), op.ID); err != nil {
		return true, fmt.Errorf("keeping what went wrong: %w", err)
	}
	return true, nil
}

// step does one chunk of the operation whose turn it is, and returns that, nil if there is none.
func (w *Worker) step(ctx context.Context) (op *db.LockNextOperationRow, err error) {
	counts := false
	err = pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		if op, err = w.next(ctx, tx); op == nil || err != nil {
			return err
		}

		full, err := w.full(ctx, tx, *op)
		switch {
		case err != nil:
			return err
		case full:
			return hold(ctx, tx, *op, backOff(op.DatabaseTime.Sub(op.UpdatedAt)))
		case op.PassBeganAt == nil:
			counts = true
			return hold(ctx, tx, *op, countTimeout+time.Second) // nobody else counts meanwhile
		case op.Phase == phaseMissed:
			return chunkMissed(ctx, tx, *op)
		}
		return chunk(ctx, tx, *op)
	})

	if err == nil && counts {
		err = w.beginPass(ctx, *op)
	}
	return op, err
}

// next locks the operation whose turn it is. Nil: none can go on.
func (w *Worker) next(ctx context.Context, tx pgx.Tx) (*db.LockNextOperationRow, error) {
	op, err := db.New().LockNextOperation(ctx, tx, starved.Seconds())
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // as it says
	case err != nil:
		return nil, fmt.Errorf("looking for the next operation: %w", err)
	}
	return &op, nil
}

// hold ends an operation's turn and keeps it from the next one for a while.
func hold(ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow, wait time.Duration) error {
	if err := db.New().DeferOperation(ctx, tx, wait.Seconds(), op.ID); err != nil {
		return fmt.Errorf("noting how long it waits: %w", err)
	}
	return nil
}

// full tells whether enough deliveries wait already: in the lane of the operation's endpoint, or as its tenant's
// bursts. An operation of all tenants looks at all bursts.
func (w *Worker) full(ctx context.Context, tx pgx.Tx, op db.LockNextOperationRow) (bool, error) {
	backlog := int32(w.cfg.Backlog) //nolint:gosec // validated
	if op.EndpointID != nil {
		n, err := db.New().CountAvailableJobs(ctx, tx, ledger.EndpointQueuePrefix+op.EndpointID.String(), backlog)
		if err != nil {
			return false, fmt.Errorf("counting what waits in the lane: %w", err)
		}
		if n >= int64(backlog) {
			return true, nil
		}
	}

	if op.Starved {
		return false, nil
	}
	n, err := db.New().CountWaitingBursts(ctx, tx, op.Whose, backlog)
	if err != nil {
		return false, fmt.Errorf("counting the bursts that wait: %w", err)
	}
	return n >= int64(backlog), nil
}
