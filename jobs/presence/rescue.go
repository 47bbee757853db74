package presence

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// silence is how long a worker's lock must have been free before its deliveries run elsewhere. A worker that only lost
	// the connection takes the lock again in a fraction of that.
	silence = 10 * time.Second

	// unbroken is the last part of a silence, in which there was no gap: a worker that was cut off together with all
	// others gets that long to take its lock again, more than one try may hang (presenceTimeout).
	unbroken = 6 * time.Second

	// maxGap is how far apart two looks may be, whoever takes them. If nobody looked for longer, the database was out of
	// everybody's reach.
	maxGap = 4 * time.Second

	// rescueChunk is how many deliveries one statement rescues.
	rescueChunk = 1000
)

// rescuer gives the deliveries of dead workers to the living, long before River's own rescuer does: that one only knows
// that a job has been running for longer than any can. Every worker process has one and looks for itself, so that there
// is no leader whose death would have to be noticed first. How long a lock has been free is counted in the database:
// those who look may die as well. Two that rescue the same job do not meet it twice.
type rescuer struct {
	logger   *slog.Logger
	rescued  prometheus.Counter
	clientID string
	clock    *dbclock.Clock
	conn     *pgx.Conn
}

// run looks once, and rescues what is due. It looks at the database's clock too: a process that has nothing to load
// must notice as well that its own was set, before River's rescuer goes by it.
func (r *rescuer) run(ctx context.Context) error {
	sent := time.Now()
	databaseTime, err := db.New().GetDatabaseTime(ctx, r.conn)
	if err != nil {
		return fmt.Errorf("reading the database's clock: %w", err)
	}
	r.clock.Sample(sent, time.Now(), databaseTime)

	dead, err := db.New().NoteSilentClients(ctx, r.conn, db.NoteSilentClientsParams{
		ClientID:        r.clientID,
		SilenceSeconds:  silence.Seconds(),
		UnbrokenSeconds: unbroken.Seconds(),
		MaxGapSeconds:   maxGap.Seconds(),
	})
	if err != nil {
		return fmt.Errorf("listing silent clients: %w", err)
	}

	for _, client := range dead {
		if err := r.rescue(ctx, client); err != nil {
			return fmt.Errorf("rescuing the deliveries of %s: %w", client, err)
		}
	}
	return nil
}

func (r *rescuer) rescue(ctx context.Context, client string) error {
	for n := rescueChunk; n == rescueChunk; {
		err := pgx.BeginTxFunc(ctx, r.conn, pgx.TxOptions{BeginQuery: pg.BeginByKey}, func(tx pgx.Tx) error {
			queues, err := db.New().RescueJobs(ctx, tx, client, silence.Seconds(), rescueChunk)
			n = len(queues)
			if err != nil || n == 0 {
				return err
			}

			slices.Sort(queues)
			for _, queue := range slices.Compact(queues) {
				if err := ledger.Notify(ctx, tx, queue); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}

		if n > 0 {
			r.rescued.Add(float64(n))
			r.logger.WarnContext(ctx, "a worker died: its deliveries run elsewhere",
				slog.String("client_id", client), slog.Int("count", n))
		}
	}
	return nil
}
