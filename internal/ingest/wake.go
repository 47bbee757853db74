package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/sqlstate"
)

// wakeEvery is the least time between two notifications: workers fetch no more often.
const wakeEvery = 4 * time.Millisecond

// waker tells workers that there are jobs, once they are committed. Postgres lets commits that notify go one after the
// other, behind those of any login of the database, so no request waits for one: of what none could tell of, the
// workers' poll hears.
type waker struct {
	pool   *pgxpool.Pool
	logger *slog.Logger
	due    chan struct{}
	ended  chan struct{}
	end    sync.Once
}

func newWaker(pool *pgxpool.Pool, logger *slog.Logger) *waker {
	w := &waker{pool: pool, logger: logger, due: make(chan struct{}, 1), ended: make(chan struct{})}
	go w.run()
	return w
}

// wake wakes the workers soon. It must not be called after close.
func (w *waker) wake() {
	select {
	case w.due <- struct{}{}:
	default: // it is due already
	}
}

// close waits for the last notification.
func (w *waker) close() {
	w.end.Do(func() { close(w.due) })
	<-w.ended
}

func (w *waker) run() {
	defer close(w.ended)
	rest := time.NewTicker(wakeEvery)
	defer rest.Stop()
	for range w.due {
		if err := w.notify(); err != nil {
			w.logger.Warn("waking the workers, who look by themselves 50 ms later", slog.String("error", sqlstate.Text(err)))
		}
		rest.Reset(wakeEvery)
		<-rest.C
	}
}

// notify is bounded by the statement's own limits, since a connection that is given up would go on waiting.
func (w *waker) notify() error {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	return db.New().WakeWorkers(ctx, w.pool)
}
