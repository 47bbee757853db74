package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

const (
	// presenceInterval is how often a worker process looks after its own lock, and at the others'.
	presenceInterval = time.Second

	// presenceTimeout bounds each look. A connection that does not answer in that time is lost.
	presenceTimeout = 5 * time.Second

	// retakeInterval is how often a lost lock is tried for: far below silence, so that a process that lives is not taken
	// for dead.
	retakeInterval = 500 * time.Millisecond

	// startPresence bounds the first try. Nobody else has this client's name.
	startPresence = 10 * time.Second

	// presenceSettings keep the session alive while it is idle, and end it within 11 s when the machine at its other end
	// has vanished (with the default, after two hours). No statement of this session waits for long.
	presenceSettings = `SET idle_session_timeout = 0; SET statement_timeout = 3000;
		SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3`
)

// errPresence is returned by Client.Start if the lock of a new client is taken.
var errPresence = errors.New("another process holds this client's lock")

// presence is a session advisory lock named by the River client id, on a connection of its own. The database frees it
// when the process dies and not while it is paused, so the other workers know the dead from the slow, and run what the
// dead left (see rescuer).
type presence struct {
	cfg      Config
	metrics  *workerMetrics
	clientID string
	clock    *clock
	conn     *pgx.ConnConfig
	holds    atomic.Bool
	cancel   context.CancelFunc
	done     chan struct{}
}

func newPresence(cfg Config, clientID string, clock *clock, m *workerMetrics) *presence {
	return &presence{
		cfg: cfg, metrics: m, clientID: clientID, clock: clock,
		conn: sideConn(cfg, "presence"), done: make(chan struct{}),
	}
}

// sideConn configures a connection beside the pool, which pg_stat_activity shows under a name of its own.
func sideConn(cfg Config, what string) *pgx.ConnConfig {
	conn := cfg.Pool.Config().ConnConfig.Copy()
	if name := conn.RuntimeParams["application_name"]; name != "" {
		conn.RuntimeParams["application_name"] = name + " " + what
	}
	return conn
}

// start takes the lock and keeps it until stop.
func (p *presence) start(ctx context.Context) error {
	startCtx, cancel := context.WithTimeout(ctx, startPresence)
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

// stop gives the lock back. Call it when nothing runs any more: what still does is taken for dead.
func (p *presence) stop() {
	if p.cancel != nil {
		p.cancel()
		<-p.done
	}
}

// held tells whether this process has its lock. Without it, others may take it for dead, so it must start nothing.
func (p *presence) held() bool { return p.holds.Load() }

func (p *presence) run(ctx context.Context, conn *pgx.Conn) {
	defer close(p.done)
	for {
		err := p.watch(ctx, conn)
		p.holds.Store(false)
		closePresence(ctx, conn)
		if ctx.Err() != nil {
			return
		}

		p.cfg.Logger.WarnContext(ctx, "lost this worker's lock: starting nothing until it is back", slog.Any("error", err))
		if conn = p.retake(ctx); conn == nil {
			return
		}

		p.holds.Store(true)
		p.cfg.Logger.InfoContext(ctx, "took this worker's lock again")
	}
}

// watch rescues what others left until the connection is lost or ctx ends.
func (p *presence) watch(ctx context.Context, conn *pgx.Conn) error {
	r := &rescuer{cfg: p.cfg, metrics: p.metrics, clientID: p.clientID, clock: p.clock, conn: conn}
	tick := time.NewTicker(presenceInterval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}

		tickCtx, cancel := context.WithTimeout(ctx, presenceTimeout)
		err := r.run(tickCtx)
		cancel()
		if conn.IsClosed() {
			return err
		}
		if err != nil {
			p.cfg.calm.WarnContext(ctx, "looking for dead workers", slog.Any("error", err))
		}
	}
}

// retake returns a connection with the lock, or nil when ctx ends.
func (p *presence) retake(ctx context.Context) *pgx.Conn {
	tick := time.NewTicker(retakeInterval)
	defer tick.Stop()

	for {
		takeCtx, cancel := context.WithTimeout(ctx, presenceTimeout)
		conn, err := p.take(takeCtx)
		cancel()
		if err == nil {
			return conn
		}

		p.cfg.Logger.DebugContext(ctx, "taking this worker's lock again", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// take connects and tries for the lock once. After a connection was lost on this side only, the database frees the lock
// when its keepalives get no answer.
func (p *presence) take(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, p.conn)
	if err != nil {
		return nil, err
	}

	if _, err = conn.Exec(ctx, presenceSettings); err == nil {
		var held bool
		held, err = db.New().TakePresence(ctx, conn, p.clientID)
		switch {
		case err == nil && !held:
			err = errPresence
		case err == nil:
			err = db.New().ForgetSilence(ctx, conn, p.clientID)
		}
	}
	if err != nil {
		closePresence(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// closePresence ends the session. There is nobody to tell if that fails: the database notices by itself.
func closePresence(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
