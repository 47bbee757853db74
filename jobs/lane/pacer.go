package lane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// paceFast and paceSlow bound how often the pacer looks at a lane in which something moves. It begins with paceFast
	// and doubles while nothing changes.
	paceFast = 20 * time.Millisecond
	paceSlow = 160 * time.Millisecond

	// paceAll is how often it looks at all lanes.
	paceAll = time.Second

	// sweepInterval is how often it brings back stranded jobs, and takes those of lanes out of the shared queues.
	sweepInterval = 5 * time.Second

	// sweepHead is how much of a shared queue is looked through at once, sweepChunk how many jobs one statement moves (and
	// so how much WAL others' commits may have to wait for), sweepBudget how long one sweep goes on, during which nothing
	// is released. One that has not come to its end is followed by the next after as long.
	sweepHead   = 20_000
	sweepChunk  = 1000
	sweepBudget = 500 * time.Millisecond

	// paceTimeout bounds each statement.
	paceTimeout = 10 * time.Second

	// queuePrefix of the channel on which everybody is told of new jobs.
	channelInsert = pg.Schema + ".river_insert"
)

// errPacerTaken says that another process paces.
var errPacerTaken = errors.New("another process paces")

// Pacer releases the jobs that wait in lanes, as many as may be under way and as fast as rate limits allow. One process
// at a time does: the one that holds a session advisory lock, on the connection that it works with, so that without the
// lock nothing is released. All that it must remember is in the database.
type Pacer struct {
	cfg    Config
	logger *slog.Logger
	conn   *pgx.ConnConfig
	cancel context.CancelFunc
	done   chan struct{}
}

// NewPacer returns a Pacer that does nothing before Start.
func NewPacer(cfg Config, pool *pgxpool.Pool, logger *slog.Logger) *Pacer {
	return &Pacer{cfg: cfg, logger: logger, conn: pg.SideConn(pool, "pacer"), done: make(chan struct{})}
}

// Start begins to try for the lock, and to pace with it, until stop.
func (p *Pacer) Start(ctx context.Context) {
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go p.run(ctx)
}

// Stop gives the lock to another process.
func (p *Pacer) Stop() {
	if p.cancel != nil {
		p.cancel()
		<-p.done
	}
}

func (p *Pacer) run(ctx context.Context) {
	defer close(p.done)
	tick := time.NewTicker(paceAll)
	defer tick.Stop()

	for {
		err := p.own(ctx)
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errPacerTaken) {
			p.logger.WarnContext(ctx, "pacing lanes", slog.Any("error", err))
		}

		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// own connects, waits for the lock and paces until the connection is lost or ctx ends.
func (p *Pacer) own(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, p.conn)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer pg.CloseSide(ctx, conn)

	if _, err := conn.Exec(ctx, pg.SideSettings); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}

	tick := time.NewTicker(paceAll)
	defer tick.Stop()

	for {
		held, err := p.take(ctx, conn)
		switch {
		case err != nil:
			return err
		case held:
			return p.pace(ctx, conn)
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (p *Pacer) take(ctx context.Context, conn *pgx.Conn) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()

	held, err := db.New().TakePacer(ctx, conn)
	if err != nil {
		return false, fmt.Errorf("taking the pacer's lock: %w", err)
	}
	return held, nil
}

func (p *Pacer) pace(ctx context.Context, conn *pgx.Conn) error {
	// Tables whose statistics are old must not lead to plans that read all of them.
	if _, err := conn.Exec(ctx, `LISTEN "`+channelInsert+`"; SET enable_seqscan = off; SET jit = off`); err != nil {
		return fmt.Errorf("listening: %w", err)
	}

	l := &lanes{cfg: p.cfg, logger: p.logger, conn: conn, byID: make(map[uuid.UUID]*lane)}
	for {
		if err := l.step(ctx); err != nil {
			return err
		}
		if err := l.wait(ctx); err != nil {
			return err
		}
	}
}

// wait returns when a lane is due, or when somebody enqueued into one.
func (l *lanes) wait(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, l.next())
	defer cancel()

	n, err := l.conn.WaitForNotification(ctx)
	switch {
	case err == nil:
		var told struct{ Queue string }
		if json.Unmarshal([]byte(n.Payload), &told) == nil {
			if id, ok := strings.CutPrefix(told.Queue, ledger.EndpointQueuePrefix); ok {
				l.wake(id)
			}
		}
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && !l.conn.IsClosed():
		return nil
	}

	return fmt.Errorf("waiting: %w", err)
}
