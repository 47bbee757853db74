package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/logthrottle"
)

const (
	// readingLife is how long what was read of the database is told again: the interval of scrapes of
	// deploy/prometheus, whose alerts rely on it.
	readingLife = 10 * time.Second

	// readingShare: what was read is kept for at least so many times the time it took, so that it costs at most 2 % of one
	// connection.
	readingShare = 50

	// readingTimeout bounds a read, and with it a scrape while the database is away.
	readingTimeout = 2 * time.Second

	// maxJobs is how far jobs are counted, by queue and state.
	maxJobs = 50_000

	// jobAvailable is River's state of a job that is due.
	jobAvailable = "available"

	// beginReading keeps the planner to the index that the query is made for, and away from compiling.
	beginReading = "BEGIN READ ONLY; SET LOCAL statement_timeout = 2000; SET LOCAL enable_seqscan = off; " +
		"SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off"
)

// Collector collects what only the database knows: the depth of the queues, what was enqueued by whomever, how far
// ahead the partitions are, and what upkeep tells. Every process may have one, with or without workers, so that a
// queue that nobody works is seen. Create one with [NewCollector].
type Collector struct {
	pool   *pgxpool.Pool
	logger *slog.Logger

	depth, oldest, paused, partitions, events, deliveries, took, failures *prometheus.Desc

	upkeep upkeepDescs

	mu      sync.Mutex
	next    time.Time // when to read again
	read    *reading  // nil: the last read failed
	inserts map[int64]int64
	counted [2]float64 // deliveries, events
	errors  float64
	seconds float64
}

// reading is one read.
type reading struct {
	queues []db.ReadBacklogRow
	late   []db.ListLateRow
	paused []string // queues
	ahead  int32
	upkeep upkeep
}

// NewCollector returns a collector that reads the database with pool when it is scraped, at most every 10 s. keep is
// how long the log is kept.
func NewCollector(pool *pgxpool.Pool, keep time.Duration, logger *slog.Logger) *Collector {
	return &Collector{
		pool: pool, logger: logthrottle.New(logger), upkeep: newUpkeepDescs(keep),
		depth: desc("queue_jobs",
			"Jobs of deliveries by queue (lane: all of the queues endpoint-<id> together; deliver_bulk: with the "+
				"tenants' queues bulk-<hash>) and state: available (due), "+
				"retryable and scheduled (later), running. line: what waits in lines, pending, for those before it. "+
				"Counted up to 50,000."+all, "queue", "state"),

		oldest: desc("oldest_due_seconds",
			"For how long the delivery has been due that waits longest for its attempt, also if its run was given back; "+
				"0: none is. "+
				"A paused endpoint's deliveries are due in their lane."+all, "queue"),
		paused: desc("queue_paused",
			"1 if a person has paused the queue in River UI: nothing of it is worked; else 0."+all, "queue"),
		partitions: desc("partitions_ahead_days", "Days after today for which the partitions exist."+all),
		events: desc("events_enqueued_total",
			"Events that any publisher has stored since this process began to look, by Postgres' statistics, "+
				"with those of transactions that rolled back."+all),
		deliveries: desc("deliveries_created_total", "The same of deliveries."+all),
		took:       desc("database_read_seconds", "How long the last read of these took."),
		failures:   desc("database_read_errors_total", "Reads of these that failed; then they are missing."),
	}
}

// all is said of what each process tells alike.
const all = " Of the whole database: the same in every process."

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("outhook_"+name, help, labels, nil)
}

// Describe sends the descriptions.
func (b *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		b.depth, b.oldest, b.paused, b.partitions, b.events, b.deliveries, b.took, b.failures,
	} {
		ch <- d
	}
	b.upkeep.describe(ch)
}

// Collect reads the database unless the last read is fresh, and sends what it says. What can't be read is not sent.
func (b *Collector) Collect(ch chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if now := time.Now(); !now.Before(b.next) {
		b.refresh()
		took := time.Since(now)
		b.seconds = took.Seconds()
		b.next = time.Now().Add(max(readingLife, readingShare*took) - time.Second) // scrapes are not exact to the second
	}

	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}

	send(b.took, prometheus.GaugeValue, b.seconds)
	send(b.failures, prometheus.CounterValue, b.errors)
	if b.read == nil {
		return
	}

	for _, q := range b.read.queues {
		send(b.depth, prometheus.GaugeValue, float64(q.Jobs), q.Queue, q.State)
		if q.State == jobAvailable {
			send(b.oldest, prometheus.GaugeValue, b.read.oldest(q), q.Queue)
		}
	}

	for _, queue := range workedQueues() {
		paused := 0.0
		if slices.Contains(b.read.paused, queue) {
			paused = 1
		}
		send(b.paused, prometheus.GaugeValue, paused, queue)
	}

	send(b.partitions, prometheus.GaugeValue, float64(b.read.ahead))
	send(b.deliveries, prometheus.CounterValue, b.counted[0])
	send(b.events, prometheus.CounterValue, b.counted[1])
	b.upkeep.collect(ch, b.read.upkeep)
}

// oldest returns for how long the delivery of a queue has been due that waits longest: the first of its jobs that are
// due, or one whose job waits for a later time, since its run was given back.
func (r *reading) oldest(q db.ReadBacklogRow) float64 {
	seconds := q.OldestSeconds
	for _, late := range r.late {
		if late.Queue == q.Queue {
			seconds = max(seconds, late.LateSeconds)
		}
	}
	return seconds
}

// refresh reads the database.
func (b *Collector) refresh() {
	ctx, cancel := context.WithTimeout(context.Background(), readingTimeout)
	defer cancel()

	var read reading
	var inserts []db.CountInsertsRow
	err := pgx.BeginTxFunc(ctx, b.pool, pgx.TxOptions{BeginQuery: beginReading}, func(tx pgx.Tx) (err error) {
		q := db.New()
		if read.queues, err = q.ReadBacklog(ctx, tx, maxJobs); err != nil {
			return fmt.Errorf("counting jobs: %w", err)
		}
		if read.late, err = q.ListLate(ctx, tx, maxJobs); err != nil {
			return fmt.Errorf("looking for what was given back: %w", err)
		}
		if read.paused, err = q.ListPausedNames(ctx, tx); err != nil {
			return fmt.Errorf("looking for paused queues: %w", err)
		}
		if read.ahead, err = q.CountPartitionsAhead(ctx, tx); err != nil {
			return fmt.Errorf("counting partitions: %w", err)
		}
		if inserts, err = q.CountInserts(ctx, tx); err != nil {
			return fmt.Errorf("reading statistics: %w", err)
		}
		read.upkeep, err = readUpkeep(ctx, tx, b.upkeep.keepDays)
		return err
	})
	if err != nil {
		b.read = nil
		b.errors++
		b.logger.WarnContext(ctx, "reading the backlog for the metrics", slog.Any("error", err))
		return
	}

	b.read = &read
	b.count(inserts)
}

// count adds what was inserted since the last read. A partition's count falls when it is dropped, or when Postgres has
// lost its statistics in a crash: then it begins again at 0.
func (b *Collector) count(rows []db.CountInsertsRow) {
	before := b.inserts
	b.inserts = make(map[int64]int64, len(rows))

	for _, r := range rows {
		b.inserts[r.PartitionID] = r.Inserts
		last := before[r.PartitionID]
		if before == nil {
			last = r.Inserts
		} else if r.Inserts < last {
			last = 0
		}

		i := 0
		if r.IsEvent {
			i = 1
		}
		b.counted[i] += float64(r.Inserts - last)
	}
}
