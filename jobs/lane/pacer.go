package lane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/line"
)

const (
	// paceTick is how often the pacer looks at the lanes while there are any, and goes on with what it has to move.
	paceTick = 50 * time.Millisecond

	// paceRest bounds the share of the time that it looks and moves, whatever there is: it rests so many times as long as
	// that took, at least.
	paceRest = 1

	// paceAll is how often it does all else: renew the lease, close and widen lanes, look for what is to be moved.
	paceAll = time.Second

	// paceTimeout bounds one round, and a stop that finds it in the middle.
	paceTimeout = 5 * time.Second

	// The lease of the process that paces, in outhook.leases.
	leaseName    = "pacer"
	leaseSeconds = 10

	// paceSettings: a process that is frozen in a transaction keeps its locks for 3 s. Plans are made once a second (see
	// renew), since a statement takes less time than its plan, and go by an index, in its order, and no further than
	// they must: the statistics may be of a time with few jobs. No commit waits for the disk: what follows from it does,
	// and what is lost is done again.
	paceSettings = pg.SideSettings + `; SET idle_in_transaction_session_timeout = 3000; ` +
		`SET synchronous_commit = off; SET plan_cache_mode = force_generic_plan; ` + paceByIndex
	paceByIndex = `SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; ` +
		`SET enable_hashjoin = off; SET enable_mergejoin = off`
)

// errLeaseLost says that another process paces.
var errLeaseLost = errors.New("the pacer's lease is another process's")

// Pacer releases the jobs that wait in lanes, as many as may be under way and as fast as rate limits allow, begins the
// lines that stand still, and moves or cancels what waits elsewhere than it should. One process at a time does: the one
// that has a lease, which each of its transactions holds, so that one that was frozen changes nothing more. All that it
// must remember is in the database.
type Pacer struct {
	cfg    Config
	logger *slog.Logger
	conn   *pgx.ConnConfig
	quit   chan struct{}
	once   sync.Once // for quit
	cancel context.CancelFunc
	done   chan struct{}
}

// NewPacer returns a Pacer that does nothing before Start.
func NewPacer(cfg Config, pool *pgxpool.Pool, logger *slog.Logger) *Pacer {
	return &Pacer{
		cfg: cfg, logger: logthrottle.New(logger), conn: pg.SideConn(pool, "pacer"),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// Start begins to try for the lease in a River client's name, and to pace with it, until Stop.
func (p *Pacer) Start(ctx context.Context, clientID string) {
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go p.run(ctx, clientID)
}

// Stop gives the lease to another process.
func (p *Pacer) Stop() {
	if p.cancel == nil {
		return
	}
	p.once.Do(func() { close(p.quit) })

	select {
	case <-p.done:
	case <-time.After(time.Second): // the database does not answer: the lease ends by itself
	}
	p.cancel()
	<-p.done
}

func (p *Pacer) run(ctx context.Context, clientID string) {
	defer close(p.done)
	for {
		err := p.pace(ctx, clientID)
		if err == nil {
			return
		}

		p.logger.WarnContext(ctx, "pacing lanes", slog.Any("error", err))
		if !p.rest(paceAll) {
			return
		}
	}
}

// rest waits, and returns false if the process stops.
func (p *Pacer) rest(d time.Duration) bool {
	select {
	case <-p.quit:
		return false
	case <-time.After(d):
		return true
	}
}

// pace connects, and paces whenever it has the lease, until the connection is lost or the process stops.
func (p *Pacer) pace(ctx context.Context, clientID string) error {
	conn, err := pg.Connect(ctx, p.conn, paceSettings)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer pg.CloseSide(ctx, conn)

	l := &lanes{cfg: p.cfg, logger: p.logger, conn: conn, holder: clientID}
	for wait := time.Duration(0); p.rest(wait); {
		began := time.Now()
		busy, err := l.round(ctx)
		switch {
		case errors.Is(err, errLeaseLost):
			l = &lanes{cfg: p.cfg, logger: p.logger, conn: conn, holder: clientID}
		case err != nil:
			return err
		}

		if wait = paceAll; busy {
			wait = max(paceTick-time.Since(began), paceRest*time.Since(began))
		}
	}

	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()
	if err := db.New().GiveLease(ctx, conn, leaseName, clientID); err != nil {
		p.logger.WarnContext(ctx, "giving the pacer's lease back", slog.Any("error", err))
	}
	return nil
}

// lanes is what the pacer remembers from one round to the next. Nothing is lost with it.
type lanes struct {
	cfg    Config
	logger *slog.Logger
	conn   *pgx.Conn
	holder string
	allAt  time.Time // when to do all
	open   bool      // there are lanes
	chores []chore
	lined  bool       // there are lines
	lines  line.Watch // finds those that stand

	lastBulk string // the queue of bursts that was looked through last
}

// round does what is due, and tells whether there is more than to look for work once in a while.
func (l *lanes) round(ctx context.Context) (busy bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()

	if now := time.Now(); !now.Before(l.allAt) {
		l.allAt = now.Add(paceAll)
		if err := l.renew(ctx); err != nil {
			return false, err
		}
		if err := l.change(ctx); err != nil {
			return false, err
		}
		if err := l.listChores(ctx); err != nil {
			return false, err
		}
	}

	if l.open {
		if err := l.release(ctx); err != nil {
			return false, err
		}
	}
	if l.lined {
		if err := l.begin(ctx); err != nil {
			return false, err
		}
	}
	return l.open || l.lined || len(l.chores) > 0, l.work(ctx)
}

// renew takes or keeps the lease, and forgets the plans.
func (l *lanes) renew(ctx context.Context) error {
	n, err := db.New().TakeLease(ctx, l.conn, leaseName, l.holder, leaseSeconds)
	switch {
	case err != nil:
		return fmt.Errorf("taking the pacer's lease: %w", err)
	case n == 0:
		return errLeaseLost
	}

	if _, err := l.conn.Exec(ctx, "DISCARD PLANS"); err != nil {
		return fmt.Errorf("forgetting plans: %w", err)
	}
	if l.open, err = db.New().HasLanes(ctx, l.conn); err != nil {
		return fmt.Errorf("looking for lanes: %w", err)
	}
	if l.lined, err = db.New().HasLines(ctx, l.conn); err != nil {
		return fmt.Errorf("looking for lines: %w", err)
	}
	return nil
}

// begin begins lines that stand still. Whoever has the lease, two that do it do no harm. It fails where a person has
// started a delivery of a line by hand at this moment, and is done again with the next round.
func (l *lanes) begin(ctx context.Context) error {
	err := l.lines.Release(ctx, l.conn)
	if err == nil || l.conn.IsClosed() {
		return err
	}
	l.logger.WarnContext(ctx, "releasing what is first in line", slog.Any("error", err))
	return nil
}

// holding runs f in a transaction that holds the lease.
func (l *lanes) holding(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		n, err := db.New().HoldLease(ctx, tx, leaseName, l.holder)
		switch {
		case err != nil:
			return fmt.Errorf("holding the pacer's lease: %w", err)
		case n == 0:
			return errLeaseLost
		}
		return f(tx)
	})
}
