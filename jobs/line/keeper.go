package line

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/jobs/health"
)

const (
	// releaseItems is how many lines one statement looks at.
	releaseItems = 200

	// releaseTimeout bounds it, and each try to pause an endpoint. What is not released then the pacer releases, a moment
	// later.
	releaseTimeout = 3 * time.Second

	// The wait between two tries to pause an endpoint grows from minBackoff to maxBackoff and is jittered down to half.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// errGaveUp says that an endpoint could not be paused before the process gave up.
var errGaveUp = errors.New("the endpoint of a line that must not go on could not be paused")

// End is how a run of a delivery ends, as far as its line is concerned.
type End struct {
	Key        Key // "": it is in no line
	EventID    uuid.UUID
	EndpointID uuid.UUID
	At         time.Time
	Over       bool // the delivery, or its job, has ended: the next one follows
	GivenUp    bool // its schedule is used up, or too many workers have died of it
}

// Keeper looks after the lines of the deliveries that a process works: it releases the next one when one has ended,
// many in one statement. That is one of its own, after the commit that has ended them: its snapshot sees what was
// committed meanwhile, and what fails here undoes nothing.
type Keeper struct {
	pool   *pgxpool.Pool
	logger *slog.Logger
	done   <-chan struct{}
	group  *batch.Group[Key, struct{}]
}

// NewKeeper returns a Keeper that works with a pool, until done is closed. fetch is told of the queues in which this
// process has something to fetch at once. The logger gets a line for whatever failed.
func NewKeeper(pool *pgxpool.Pool, fetch func(queues []string), logger *slog.Logger, done <-chan struct{}) *Keeper {
	k := &Keeper{pool: pool, logger: logger, done: done}
	k.group = batch.New(batch.Config{MaxItems: releaseItems, Parallel: 1}, func(Key) int { return 0 },
		func(ctx context.Context, keys []Key) ([]struct{}, error) {
			row, err := release(ctx, pool, keys, false)
			if err != nil {
				return nil, err
			}
			fetch(row.Queues)
			return make([]struct{}, len(keys)), nil
		})
	return k
}

// Settle calls save, which ends a run in the database, and then releases what comes next, or leaves that to the pacer.
// Before that it pauses the endpoint if its line must not go on after a delivery that is given up: nothing can leave in
// between. end is asked before and after save, which may change it.
func (k *Keeper) Settle(ctx context.Context, end func() End, save func() error) error {
	e := end()
	if e.Key == "" {
		return save()
	}

	ctx = context.WithoutCancel(ctx)
	if e.GivenUp && !k.block(ctx, e) {
		return errGaveUp
	}
	if err := save(); err != nil || !end().Over {
		return err
	}

	if _, err := k.group.Do(ctx, e.Key); err != nil {
		k.logger.WarnContext(ctx, "releasing what is next in line", slog.Any("error", err))
	}
	return nil
}

// block pauses the endpoint, if its order says so, and tells the operator. It goes on until the database has heard it:
// false if the process gives up, and then the run is a dead worker's, and is made once more by another.
func (k *Keeper) block(ctx context.Context, e End) bool {
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		err := k.tryBlock(ctx, e)
		if err == nil {
			return true
		}
		k.logger.WarnContext(ctx, "pausing an endpoint that gets its events in order", slog.Any("error", err))

		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		case <-k.done:
			return false
		}
	}
}

func (k *Keeper) tryBlock(ctx context.Context, e End) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()

	return pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		n, err := Block(ctx, tx, e.Key, e.EndpointID, e.EventID)
		if err != nil || n == nil {
			return err
		}
		return health.Paused(ctx, tx, *n, e.At)
	})
}

// Release releases what comes next in each of some lines of which nothing is live, tells all workers, and returns how
// many it released. It waits for nobody: who holds a line, or what is next in it, looks at it himself, or it is found
// standing later.
func Release(ctx context.Context, conn db.DBTX, keys []Key) (int, error) {
	row, err := release(ctx, conn, keys, true)
	return int(row.Jobs), err
}

func release(ctx context.Context, conn db.DBTX, keys []Key, notify bool) (db.ReleaseLinesRow, error) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()

	raw := make([][]byte, len(keys))
	for i, key := range keys {
		raw[i] = []byte(key)
	}
	row, err := db.New().ReleaseLines(ctx, conn, raw, notify)
	if err != nil {
		return row, fmt.Errorf("releasing %d lines: %w", len(keys), err)
	}
	return row, nil
}
