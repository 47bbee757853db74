package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/pg"
)

const (
	// interval is how often a worker process looks after its own lock, and at the others'.
	interval = time.Second

	// timeout bounds each look. A connection that does not answer in that time is lost.
	timeout = 5 * time.Second

	// retakeInterval is how often a lost lock is tried for: far below silence, so that a process that lives is not taken
	// for dead.
	retakeInterval = 500 * time.Millisecond

	// startTimeout bounds the first try. Nobody else has this client's name.
	startTimeout = 10 * time.Second
)

// errTaken is returned by Client.Start if the lock of a new client is taken.
var errTaken = errors.New("another process holds this client's lock")

// Lock is a session advisory lock named by the River client id, on a connection of its own. The database frees it
// when the process dies and not while it is paused, so the other workers know the dead from the slow, and run what the
// dead left (see rescuer).
type Lock struct {
	logger   *slog.Logger
	calm     *slog.Logger // for trouble that may come with each look
	rescued  prometheus.Counter
	clientID string // from start on
	clock    *dbclock.Clock
	conn     *pgx.ConnConfig
	holds    atomic.Bool
	cancel   context.CancelFunc
	done     chan struct{}
}

// NewLock returns the lock of a worker process, which start takes.
func NewLock(pool *pgxpool.Pool, clock *dbclock.Clock, logger, calm *slog.Logger, reg prometheus.Registerer) *Lock {
	return &Lock{
		logger: logger, calm: calm, clock: clock, conn: pg.SideConn(pool, "presence"), done: make(chan struct{}),
		rescued: promauto.With(reg).NewCounter(prometheus.CounterOpts{
			Name: "outhook_rescued_deliveries_total",
			Help: "Deliveries of dead workers that this process gave to the living.",
		}),
	}
}

// Start takes the lock of a River client and keeps it until stop.
func (p *Lock) Start(ctx context.Context, clientID string) error {
	p.clientID = clientID
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	conn, err := p.take(startCtx)
	if err != nil {
		return fmt.Errorf("taking this worker's lock: %w", err)
	}

	p.holds.Store(true)
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go p.run(ctx, conn)
	return nil
}

// Stop gives the lock back. Call it when nothing runs any more: what still does is taken for dead.
func (p *Lock) Stop() {
	if p.cancel != nil {
		p.cancel()
		<-p.done
	}
}

// Held tells whether this process has its lock. Without it, others may take it for dead, so it must start nothing.
func (p *Lock) Held() bool { return p.holds.Load() }

func (p *Lock) run(ctx context.Context, conn *pgx.Conn) {
	defer close(p.done)
	for {
		err := p.watch(ctx, conn)
		p.holds.Store(false)
		pg.CloseSide(ctx, conn)
		if ctx.Err() != nil {
			return
		}

		p.logger.WarnContext(ctx, "lost this worker's lock: starting nothing until it is back", slog.Any("error", err))
		if conn = p.retake(ctx); conn == nil {
			return
		}

		p.holds.Store(true)
		p.logger.InfoContext(ctx, "took this worker's lock again")
	}
}

// watch rescues what others left until the connection is lost or ctx ends.
func (p *Lock) watch(ctx context.Context, conn *pgx.Conn) error {
	r := &rescuer{logger: p.logger, rescued: p.rescued, clientID: p.clientID, clock: p.clock, conn: conn}
	tick := time.NewTicker(interval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}

		tickCtx, cancel := context.WithTimeout(ctx, timeout)
		err := r.run(tickCtx)
		cancel()
		if conn.IsClosed() {
			return err
		}
		if err != nil {
			p.calm.WarnContext(ctx, "looking for dead workers", slog.Any("error", err))
		}
	}
}

// retake returns a connection with the lock, or nil when ctx ends.
func (p *Lock) retake(ctx context.Context) *pgx.Conn {
	tick := time.NewTicker(retakeInterval)
	defer tick.Stop()

	for {
		takeCtx, cancel := context.WithTimeout(ctx, timeout)
		conn, err := p.take(takeCtx)
		cancel()
		if err == nil {
			return conn
		}

		p.logger.DebugContext(ctx, "taking this worker's lock again", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// take connects and tries for the lock once. After a connection was lost on this side only, the database frees the lock
// when its keepalives get no answer.
func (p *Lock) take(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, p.conn)
	if err != nil {
		return nil, err
	}

	if _, err = conn.Exec(ctx, pg.SideSettings); err == nil {
		var held bool
		held, err = db.New().TakePresence(ctx, conn, p.clientID)
		switch {
		case err == nil && !held:
			err = errTaken
		case err == nil:
			err = db.New().ForgetSilence(ctx, conn, p.clientID)
		}
	}
	if err != nil {
		pg.CloseSide(ctx, conn)
		return nil, err
	}
	return conn, nil
}
