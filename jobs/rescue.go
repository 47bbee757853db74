package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

const (
	// silence is how long a worker's lock must have been free before its deliveries run elsewhere. A worker that only lost
	// the connection takes the lock again in a fraction of that.
	silence = 10 * time.Second

	// maxGap is how far apart two looks may be. Whoever did not look for longer (a paused process, an unreachable
	// database) has not seen that the lock was free all the time.
	maxGap = 4 * time.Second

	// rescueChunk is how many deliveries one statement rescues.
	rescueChunk = 1000
)

// rescuer gives the deliveries of dead workers to the living, long before River's own rescuer does: that one only knows
// that a job has been running for longer than any can. Every worker process has one and looks for itself, so that there is
// no leader whose death would have to be noticed first; two that rescue the same job do not meet it twice.
type rescuer struct {
	cfg      Config
	metrics  *workerMetrics
	clientID string
	conn     *pgx.Conn

	silent map[string]time.Time // since when a client's lock has been free, by all that was seen
	last   time.Time            // the last look
}

// run looks once, and rescues what is due.
func (r *rescuer) run(ctx context.Context) error {
	clients, err := db.New().ListSilentClients(ctx, r.conn)
	if err != nil {
		r.silent = nil
		return fmt.Errorf("listing silent clients: %w", err)
	}
	for _, client := range r.dead(time.Now(), clients) {
		if err := r.rescue(ctx, client); err != nil {
			return fmt.Errorf("rescuing the deliveries of %s: %w", client, err)
		}
	}
	return nil
}

// dead notes whose lock is free now and returns those for whom it has been for long enough.
func (r *rescuer) dead(now time.Time, clients []string) (dead []string) {
	if now.Sub(r.last) > maxGap {
		r.silent = nil
	}
	before := r.silent
	r.silent, r.last = make(map[string]time.Time, len(clients)), now
	for _, client := range clients {
		if client == r.clientID {
			continue
		}
		since, ok := before[client]
		if !ok {
			since = now
		}
		r.silent[client] = since
		if now.Sub(since) >= silence {
			dead = append(dead, client)
		}
	}
	return dead
}

func (r *rescuer) rescue(ctx context.Context, client string) error {
	for n := rescueChunk; n == rescueChunk; {
		err := pgx.BeginTxFunc(ctx, r.conn, pgx.TxOptions{BeginQuery: beginByKey}, func(tx pgx.Tx) error {
			queues, err := db.New().RescueJobs(ctx, tx, client, silence.Seconds(), rescueChunk)
			n = len(queues)
			if err != nil || n == 0 {
				return err
			}
			slices.Sort(queues)
			for _, queue := range slices.Compact(queues) {
				if err := notify(ctx, tx, queue); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n > 0 {
			r.metrics.rescued.Add(float64(n))
			r.cfg.Logger.WarnContext(ctx, "a worker died: its deliveries run elsewhere", slog.String("client_id", client), slog.Int("count", n))
		}
	}
	return nil
}
