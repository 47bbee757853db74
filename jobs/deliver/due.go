package deliver

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
)

const (
	// dueInterval is how often a process looks for jobs whose time has come.
	dueInterval = time.Second

	// dueChunk is how many one statement makes available, and dueTimeout how long that may take.
	dueChunk   = 1000
	dueTimeout = 10 * time.Second
)

// Due makes the jobs available whose time has come: retries, and those that were given back. Every worker process does,
// so that none of them waits for the election of a leader; two at the same time share the work.
type Due struct {
	pool   *pgxpool.Pool
	clock  *dbclock.Clock
	logger *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}
}

// NewDue returns a Due that does nothing before Start.
func NewDue(pool *pgxpool.Pool, clock *dbclock.Clock, logger *slog.Logger) *Due {
	return &Due{pool: pool, clock: clock, logger: logger, done: make(chan struct{})}
}

// Start begins to look, until Stop.
func (d *Due) Start(ctx context.Context) {
	ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go d.run(ctx)
}

// Stop returns when no look is under way.
func (d *Due) Stop() {
	if d.cancel != nil {
		d.cancel()
		<-d.done
	}
}

func (d *Due) run(ctx context.Context) {
	defer close(d.done)
	tick := time.NewTicker(dueInterval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		if err := d.look(ctx); err != nil && ctx.Err() == nil {
			d.logger.WarnContext(ctx, "looking for jobs that are due", slog.Any("error", err))
		}
	}
}

func (d *Due) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dueTimeout)
	defer cancel()

	for n := int64(dueChunk); n == dueChunk; {
		var err error
		if n, err = db.New().WakeJobs(ctx, d.pool, d.clock.Now(), dueChunk); err != nil {
			return err
		}
	}
	return nil
}
