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
	// interval is how often a worker process renews its own lease, and looks at the others'.
	interval = time.Second

	// duration is how long a lease lasts, on the database's clock. A worker whose lease has lapsed is dead for the others.
	duration = 10 * time.Second

	// trusted is how long a process goes by a renewal, on its own clock and from the moment at which it sent it: what it
	// begins then leaves before the lease can lapse.
	trusted = 8 * time.Second

	// timeout bounds each look. Two that hang one after the other leave time for a third before trusted ends.
	timeout = 3 * time.Second

	// startTimeout bounds the first renewal.
	startTimeout = 10 * time.Second
)

// errTaken is returned if the lease has another holder, which happens to nobody: it has this client's name.
var errTaken = errors.New("another process holds this client's lease")

// Lease says that a worker process lives: a row named by its River client id, renewed each second. It lapses when the
// process dies, and when it is frozen; what it ran is then run by others (see rescuer).
type Lease struct {
	logger   *slog.Logger
	calm     *slog.Logger // for trouble that may come with each look
	rescuer  *rescuer
	clientID string // from Start on
	name     string
	clock    *dbclock.Clock
	cfg      *pgx.ConnConfig
	conn     *pgx.Conn                 // of the goroutine that renews; nil before the first
	sent     atomic.Pointer[time.Time] // when the last renewal that succeeded was
	cancel   context.CancelFunc
	done     chan struct{}
}

// NewLease returns the lease of a worker process, which Start takes.
func NewLease(pool *pgxpool.Pool, clock *dbclock.Clock, logger, calm *slog.Logger, reg prometheus.Registerer) *Lease {
	return &Lease{
		logger: logger, calm: calm, clock: clock, cfg: pg.SideConn(pool, "presence"), done: make(chan struct{}),
		rescuer: &rescuer{logger: logger, rescued: promauto.With(reg).NewCounter(prometheus.CounterOpts{
			Name: "outhook_rescued_deliveries_total",
			Help: "Deliveries of dead workers that this process gave to the living.",
		})},
	}
}

// Start takes the lease of a River client and keeps it until Stop.
func (l *Lease) Start(ctx context.Context, clientID string) error {
	l.clientID, l.name = clientID, "worker/"+clientID
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	if err := l.renew(startCtx); err != nil {
		l.close(ctx)
		return fmt.Errorf("taking this worker's lease: %w", err)
	}

	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go l.run(ctx)
	return nil
}

// Stop gives the lease back. Call it when nothing runs any more: what still does is taken for dead.
func (l *Lease) Stop() {
	if l.cancel != nil {
		l.cancel()
		<-l.done
	}
}

// Held tells whether this process has its lease for a little longer. Without it, others may take it for dead, so it
// must start nothing. After the process was frozen the first answer is right already. The time is counted on both
// clocks, since the monotonic one stands still while the machine is suspended.
func (l *Lease) Held() bool {
	sent := l.sent.Load()
	return sent != nil && time.Since(*sent) < trusted && time.Now().Round(0).Sub(*sent) < trusted
}

func (l *Lease) run(ctx context.Context) {
	defer close(l.done)
	defer l.close(ctx)
	tick := time.NewTicker(interval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		held := l.Held()
		if err := l.look(ctx); err != nil {
			l.calm.WarnContext(ctx, "renewing this worker's lease and looking for dead workers", slog.Any("error", err))
		}
		if !held && l.Held() {
			l.logger.WarnContext(ctx, "took this worker's lease again: what it ran may run elsewhere by now")
		}
	}
}

// look renews the lease, and then rescues what others left. Stop does not cut it: the connection would be lost with
// which the lease is given back.
func (l *Lease) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()

	if err := l.renew(ctx); err != nil {
		return err
	}
	return l.rescuer.run(ctx, l.conn)
}

// renew takes the lease again, whether it has lapsed or not. It looks at the database's clock too: a process that has
// nothing to load must notice as well that its own was set, before River's rescuer goes by it.
func (l *Lease) renew(ctx context.Context) error {
	if err := l.connect(ctx); err != nil {
		return fmt.Errorf("reaching the database: %w", err)
	}

	sent := time.Now()
	databaseTime, err := db.New().GetDatabaseTime(ctx, l.conn)
	if err != nil {
		return fmt.Errorf("reading the database's clock: %w", err)
	}
	l.clock.Sample(sent, time.Now(), databaseTime)

	sent = time.Now()
	n, err := db.New().TakeLease(ctx, l.conn, l.name, l.clientID, duration.Seconds())
	switch {
	case err != nil:
		return fmt.Errorf("renewing the lease: %w", err)
	case n == 0:
		return errTaken
	}

	l.sent.Store(&sent)
	return nil
}

// connect makes sure of a connection. pgx closes one whose statement ran out of time.
func (l *Lease) connect(ctx context.Context) (err error) {
	if l.conn != nil && !l.conn.IsClosed() {
		return nil
	}
	// To plan the rescue, with all partitions, takes ten times as long as to run it.
	l.conn, err = pg.Connect(ctx, l.cfg, pg.SideSettings+"; SET plan_cache_mode = force_generic_plan; "+pg.SessionByKey)
	return err
}

// close gives the lease back, if there is a connection to do that with; else it lapses.
func (l *Lease) close(ctx context.Context) {
	if l.conn == nil || l.conn.IsClosed() {
		return
	}

	giveCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := db.New().GiveLease(giveCtx, l.conn, l.name, l.clientID); err != nil {
		l.logger.DebugContext(ctx, "giving this worker's lease back", slog.Any("error", err))
	}
	pg.CloseSide(ctx, l.conn)
}
