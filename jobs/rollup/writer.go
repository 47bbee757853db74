package rollup

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/sqlstate"
)

const (
	// interval is how often what is new is written, and patience how often the same endpoint's or tenant's is: what has
	// been quiet is seen at once, and what is busy is a row a minute.
	interval = 10 * time.Second
	patience = Grain

	// keep is how long what can't be written is kept, which bounds its size.
	keep = 10 * Grain

	// chunk is how many rows are inserted in one statement, and timeout bounds it.
	chunk   = 500
	timeout = 10 * time.Second
)

// Writer writes what a Counter has added up.
type Writer struct {
	pool    *pgxpool.Pool
	logger  *slog.Logger
	counter *Counter
	clock   *dbclock.Clock

	cancel context.CancelFunc
	done   chan struct{}
}

// NewWriter returns a Writer of what counter adds up, which does nothing before Start.
func NewWriter(pool *pgxpool.Pool, logger *slog.Logger, counter *Counter, clock *dbclock.Clock) *Writer {
	return &Writer{pool: pool, logger: logthrottle.New(logger), counter: counter, clock: clock}
}

// Start begins to write, until Stop.
func (w *Writer) Start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.done = make(chan struct{})
	go w.run(ctx)
}

// Stop writes what is left. Call it when no attempt runs any more.
func (w *Writer) Stop(ctx context.Context) {
	w.cancel()
	<-w.done

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	w.Flush(ctx)
}

func (w *Writer) run(ctx context.Context) {
	defer close(w.done)
	tick := time.NewTicker(interval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.write(ctx, w.counter.take(time.Now(), patience))
		}
	}
}

// Flush writes all that was added up.
func (w *Writer) Flush(ctx context.Context) { w.write(ctx, w.counter.take(time.Now(), 0)) }

// write inserts rows. What surely was not inserted is kept; of what may have been, a gap is better than to count it
// twice.
func (w *Writer) write(ctx context.Context, due map[key]*counts) {
	for len(due) > 0 {
		rows := make(map[key]*counts, min(chunk, len(due)))
		for k, row := range due {
			rows[k] = row
			delete(due, k)
			if len(rows) == chunk {
				break
			}
		}

		err := w.insert(ctx, rows)
		if err == nil {
			continue
		}

		dropped := 0
		if pgconn.SafeToRetry(err) || sqlstate.Of(err) != "" {
			dropped = w.counter.putBack(rows, w.clock.Now().Add(-keep))
		}
		dropped += w.counter.putBack(due, w.clock.Now().Add(-keep))
		w.logger.WarnContext(ctx, "writing rollups", slog.Any("error", err), slog.Int("dropped", dropped))
		return
	}
}

// insert inserts rows in one statement.
func (w *Writer) insert(ctx context.Context, rows map[key]*counts) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	p := db.InsertRollupsParams{Part: 1 + rand.Int32N(1<<31-2)}
	for k, row := range rows {
		p.EndpointIDs, p.TenantIds = append(p.EndpointIDs, k.endpointID), append(p.TenantIds, k.tenantID)
		p.Ats = append(p.Ats, k.at())
		p.Succeeded, p.Rejected = append(p.Succeeded, row.outcomes[0]), append(p.Rejected, row.outcomes[1])
		p.TimedOut, p.Unreachable = append(p.TimedOut, row.outcomes[2]), append(p.Unreachable, row.outcomes[3])
		p.Blocked, p.Unknown = append(p.Blocked, row.outcomes[4]), append(p.Unknown, row.outcomes[5])
		p.Delivered, p.Failed = append(p.Delivered, row.delivered), append(p.Failed, row.failed)
		p.Cancelled = append(p.Cancelled, row.cancelled)
		p.FirstLatencies = append(p.FirstLatencies, row.firstLatency.String())
		p.Durations = append(p.Durations, row.duration.String())
	}
	return db.New().InsertRollups(ctx, w.pool, p)
}
