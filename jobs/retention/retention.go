package retention

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/rollup"
	"github.com/outhook/outhook/jobs/usage"
)

const (
	// interval is how often partitions are looked after. One day's are made, and one day's leave, each day.
	interval = time.Hour

	// budget is how long one run goes on; the next one goes on where it stopped. One step may take longer: a VACUUM.
	budget = 20 * time.Second

	// timeout bounds a run, with the VACUUM of a day's events.
	timeout = 30 * time.Minute

	// pause is the wait for a run that goes on with what one before it left over, and lockPause for one that found
	// an old transaction in its way.
	pause     = time.Second
	lockPause = 10 * time.Second

	// answersChunk is how many stored answers are deleted in one transaction.
	answersChunk = 5000

	// expireChunk is how many deliveries expire in one transaction.
	expireChunk = 1000

	// pagesChunk is how many pages of a table one statement of the retention reads or rewrites: 2 MiB.
	pagesChunk = 256

	// leaseName is the lease of the process that prunes. It lasts for leaseDuration and is renewed each renewInterval.
	leaseName     = "retention"
	leaseDuration = 10 * time.Second
	renewInterval = time.Second

	// keysMark is the idempotency keys' name in retention_marks. The others are names of partitions.
	keysMark = "event_keys"
)

var (
	// ErrInTheWay is returned by Retain if an open transaction or somebody else's lock kept it from something. A later
	// run does that.
	ErrInTheWay = errors.New("an open transaction is in the way")

	// errLost says that another process has the lease: this one was frozen, or cut off from the database.
	errLost = errors.New("another process has taken over the retention")

	// errUnfinished says that the budget was used up.
	errUnfinished = errors.New("the run's time is used up")
)

// Args are the arguments of a "retain" job, which keeps the partitions of the log tables, erases the secrets that
// have expired and removes what is older than the retention: a stored format.
type Args struct{}

// Kind returns "retain".
func (Args) Kind() string { return "retain" }

// Result is what a run of the retention has done.
type Result struct {
	// Expired is the number of deliveries that were still pending when their day was due, and were cancelled.
	Expired int

	// Tables is the number of partitions that were dropped. A day has three.
	Tables int

	// Payloads is the number of payloads that were erased before their events.
	Payloads int

	// Keys is the number of idempotency keys that were deleted.
	Keys int
}

// Worker keeps the partitions and the log.
type Worker struct {
	river.WorkerDefaults[Args]

	cfg     Config
	pool    *pgxpool.Pool
	logger  *slog.Logger
	expired prometheus.Counter
	dropped prometheus.Counter
}

// NewWorker returns a worker that keeps partitions and the log as cfg says, and registers its metrics with reg; nil
// registers nothing.
func NewWorker(cfg Config, pool *pgxpool.Pool, logger *slog.Logger, reg prometheus.Registerer) *Worker {
	factory := promauto.With(reg)

	return &Worker{
		cfg: cfg, pool: pool, logger: logger,
		expired: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_expired_deliveries_total",
			Help: "Deliveries that were still pending at the end of the retention, and were cancelled.",
		}),
		dropped: factory.NewCounter(prometheus.CounterOpts{
			Name: "outhook_dropped_partitions_total", Help: "Partitions that the retention dropped: three a day.",
		}),
	}
}

// Work makes the partitions of the coming days, erases expired secrets and stored answers, folds the rollups, counts
// the usage, and removes what is due.
func (w *Worker) Work(ctx context.Context, _ *river.Job[Args]) error {
	made, err := CreatePartitions(ctx, w.pool, w.cfg.PartitionsAhead)
	if err != nil {
		w.logger.ErrorContext(ctx, "creating partitions", slog.Any("error", err))
		return err
	}
	if made > 0 {
		w.logger.InfoContext(ctx, "created partitions", slog.Int("count", made))
	}

	if err := db.New().InsertEraseJobs(ctx, w.pool); err != nil {
		return fmt.Errorf("bringing back lost jobs of erasures: %w", err)
	}

	erased, err := db.New().DeleteExpiredSecrets(ctx, w.pool)
	if err != nil {
		return fmt.Errorf("erasing expired secrets: %w", err)
	}
	if erased > 0 {
		w.logger.InfoContext(ctx, "erased expired secrets", slog.Int64("count", erased))
	}

	if err := w.answers(ctx); err != nil {
		return err
	}

	counted := w.count(ctx)
	if w.cfg.NotOwner && w.cfg.OwnerPool == nil {
		return counted // told at the start
	}

	done, err := Run(ctx, w.pool, w.cfg, w.logger)
	w.expired.Add(float64(done.Expired))
	w.dropped.Add(float64(done.Tables))
	switch {
	case errors.Is(err, errUnfinished):
		return river.JobSnooze(pause)
	case errors.Is(err, ErrInTheWay):
		return river.JobSnooze(lockPause)
	}
	return errors.Join(counted, err)
}

// count folds the rollups and counts the usage, before a day leaves. Trouble with them keeps nothing from leaving: a
// disk that is full stops everything.
func (w *Worker) count(ctx context.Context) error {
	folded := rollup.Fold(ctx, w.pool, w.cfg.Keep)
	if folded != nil {
		w.logger.ErrorContext(ctx, "folding rollups", slog.Any("error", folded))
	}

	err := usage.Count(ctx, w.pool)
	if err != nil {
		w.logger.ErrorContext(ctx, "counting what was used", slog.Any("error", err))
	}
	return errors.Join(folded, err)
}

// answers deletes the stored answers that are no longer given, and those of keys that were revoked.
func (w *Worker) answers(ctx context.Context) error {
	kept := idempotency.Kept.Seconds()
	deleted, err := db.New().DeleteAnswersOfRevoked(ctx, w.pool, kept)
	if err != nil {
		return fmt.Errorf("deleting the stored answers of revoked keys: %w", err)
	}

	for n := int64(answersChunk); n == answersChunk; deleted += n {
		if n, err = db.New().DeleteOldAnswers(ctx, w.pool, kept, answersChunk); err != nil {
			return fmt.Errorf("deleting old stored answers: %w", err)
		}
	}

	if deleted > 0 {
		w.logger.InfoContext(ctx, "deleted stored answers", slog.Int64("count", deleted))
	}
	return nil
}

// Timeout lets a VACUUM end.
func (w *Worker) Timeout(*river.Job[Args]) time.Duration { return timeout }

// Periodic runs the job when a process becomes leader and every hour, unless one is still at it.
func Periodic() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(interval), func() (river.JobArgs, *river.InsertOpts) {
		return Args{}, &river.InsertOpts{Queue: ledger.QueueMaintenance, MaxAttempts: 20, UniqueOpts: river.UniqueOpts{
			ByState: []rivertype.JobState{
				rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning,
				rivertype.JobStateRetryable, rivertype.JobStateScheduled,
			},
		}}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}

// Run removes what is older than cfg.Keep: the log's days, after their pending deliveries have expired, and the
// idempotency keys; and before that, the payloads older than cfg.KeepPayloads. It works in small steps that keep
// nobody from enqueueing and wait for a lock for two seconds at most, or for open transactions for a minute, and begins
// none after 20 s. One process at a time does it; for the others there is nothing to do.
//
// A day with a pending delivery whose publisher wanted it to be delivered since then, or later, stays until that is
// settled.
//
// It logs one line if it did something. Returns an error that wraps ErrInTheWay if something is left because of an open
// transaction.
func Run(ctx context.Context, pool *pgxpool.Pool, cfg Config, logger *slog.Logger) (Result, error) {
	conn, err := cfg.Owner(pool).Acquire(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("acquiring a connection: %w", err)
	}
	defer conn.Release()

	r := &round{
		cfg: cfg, pool: pool, logger: logger, conn: conn, holder: rand.Text(), end: time.Now().Add(budget),
	}
	if held, err := r.renew(ctx); err != nil || !held {
		return Result{}, err
	}

	err = errors.Join(r.leased(ctx), r.release(ctx))
	r.log(ctx, err)
	if cfg.OnRetained != nil {
		cfg.OnRetained(r.done)
	}
	return r.done, err
}

// round is one run.
type round struct {
	cfg    Config
	pool   *pgxpool.Pool
	logger *slog.Logger
	conn   *pgxpool.Conn // a session, with settings of its own
	holder string        // of the lease
	today  time.Time
	held   []time.Time // days that are older than Config.Keep, and have what is to be delivered later
	end    time.Time
	done   Result
}

// leased runs, and renews the lease meanwhile: one step, a VACUUM, may take longer than it lasts. What runs is cut when
// another process has it.
func (r *round) leased(ctx context.Context) error {
	ctx, lose := context.WithCancelCause(ctx)
	ran := make(chan error, 1)
	go func() { ran <- r.run(ctx) }()

	tick := time.NewTicker(renewInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-ran:
			lose(nil)
			return err
		case <-tick.C:
		}

		// A renewal that fails is repeated: nobody has the lease before it has lapsed, and each step asks for it.
		if held, err := r.renew(ctx); err == nil && !held {
			lose(errLost)
			return errors.Join(errLost, <-ran)
		}
	}
}

// renew takes the lease, or renews it. It does not wait for a step of this or another process that keeps it.
func (r *round) renew(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, ddlLockTimeout)
	defer cancel()

	n, err := db.New().TakeLease(ctx, r.pool, leaseName, r.holder, leaseDuration.Seconds())
	if err != nil {
		return false, fmt.Errorf("taking the retention's lease: %w", err)
	}
	return n == 1, nil
}

// hold keeps the lease until the transaction ends. Returns errLost if there is nothing to keep.
func (r *round) hold(ctx context.Context, tx pgx.Tx) error {
	switch n, err := db.New().HoldLease(ctx, tx, leaseName, r.holder); {
	case err != nil:
		return fmt.Errorf("holding the retention's lease: %w", err)
	case n == 0:
		return errLost
	}
	return nil
}

// step does something in a transaction that has the lease.
func (r *round) step(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if err := r.hold(ctx, tx); err != nil {
			return err
		}
		return do(tx)
	})
}

func (r *round) run(ctx context.Context) (err error) {
	if r.today, err = db.New().GetDay(ctx, r.conn); err != nil {
		return fmt.Errorf("reading the database's day: %w", err)
	}

	// What is rewritten and vacuumed here is nothing that anybody waits for, and waits for nobody's locks for long.
	begin := fmt.Sprintf("SET vacuum_cost_delay = 2; SET lock_timeout = %d", ddlLockTimeout.Milliseconds())
	if _, err := r.conn.Exec(ctx, begin); err != nil {
		return fmt.Errorf("setting the pace: %w", err)
	}

	due := r.before(r.cfg.Keep)
	if r.held, err = db.New().ListHeldDays(ctx, r.conn, pg.FloorID(due), due); err != nil {
		return fmt.Errorf("listing the days that are still needed: %w", err)
	}

	// Keys name the events that are still to be delivered, or cancelled.
	keys := due
	if len(r.held) > 0 {
		keys = r.held[0]
	}
	return errors.Join(r.days(ctx, due), r.keys(ctx, keys), r.payloads(ctx, due), r.times(ctx))
}

// release ends what belongs to this run of the session, and gives the lease back. If that fails, the session ends, and
// the lease lapses.
func (r *round) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ddlLockTimeout)
	defer cancel()

	_, err := r.conn.Exec(ctx, "RESET lock_timeout; RESET vacuum_cost_delay")
	err = errors.Join(err, db.New().GiveLease(ctx, r.conn, leaseName, r.holder))
	if err != nil {
		err = errors.Join(fmt.Errorf("ending the retention's session: %w", err), r.conn.Conn().Close(ctx))
	}
	return err
}

// before returns the first day (UTC) that is to be kept: every moment of the days before is older than age.
func (r *round) before(age time.Duration) time.Time {
	return r.today.AddDate(0, 0, -int(age/ledger.Day))
}

func (r *round) over() bool { return time.Now().After(r.end) }

func (r *round) log(ctx context.Context, err error) {
	d := r.done
	if d.Expired > 0 {
		r.logger.WarnContext(ctx, "cancelled deliveries that were pending at the end of the retention",
			slog.Int("count", d.Expired), slog.String("reason", ledger.ReasonExpired))
	}
	if d != (Result{}) {
		r.logger.InfoContext(ctx, "retained", slog.Int("partitions", d.Tables), slog.Int("expired", d.Expired),
			slog.Int("payloads", d.Payloads), slog.Int("keys", d.Keys))
	}

	switch {
	case err == nil, errors.Is(err, errUnfinished):
	case errors.Is(err, ErrInTheWay):
		r.logger.InfoContext(ctx, "the retention waits", slog.Any("error", err))
	default:
		r.logger.ErrorContext(ctx, "removing what is older than the retention", slog.Any("error", err))
	}
}

// days drops the days before a day.
func (r *round) days(ctx context.Context, due time.Time) error {
	if err := r.expire(ctx, due); err != nil {
		return err
	}

	for _, parent := range logTables() {
		children, err := db.New().ListPartitions(ctx, r.conn, parent)
		if err != nil {
			return fmt.Errorf("listing the partitions of %s: %w", parent, err)
		}

		for _, child := range children {
			day, err := partitionDay(parent, child.Name)
			if err != nil || !day.Before(due) || slices.ContainsFunc(r.held, day.Equal) {
				continue // a table that only looks like a partition, or one that is still needed
			}

			if r.over() {
				return errUnfinished
			}
			if err := r.drop(ctx, parent, child); err != nil {
				return err
			}
		}
	}
	return nil
}

// expire cancels what is pending on the days before a day.
func (r *round) expire(ctx context.Context, due time.Time) error {
	for n := expireChunk; n == expireChunk; {
		if r.over() {
			return errUnfinished
		}

		err := pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{BeginQuery: pg.BeginRepair}, func(tx pgx.Tx) error {
			if err := r.hold(ctx, tx); err != nil {
				return err
			}

			jobIDs, err := db.New().ExpireDeliveries(ctx, tx, db.ExpireDeliveriesParams{
				Reason: ledger.ReasonExpired, High: pg.FloorID(due), Since: due, MaxRows: expireChunk,
			})
			n = len(jobIDs)
			if err != nil || n == 0 {
				return err
			}
			return ledger.CancelJobs(ctx, tx, jobIDs...)
		})
		if err != nil {
			return fmt.Errorf("cancelling expired deliveries: %w", err)
		}

		r.done.Expired += n
	}
	return nil
}

// keys deletes the idempotency keys of the days before a day, once for each day: it reads the whole table.
func (r *round) keys(ctx context.Context, due time.Time) error {
	m, err := r.mark(ctx, keysMark)
	if err != nil || !m.DoneUntil.Before(due) {
		return err
	}

	if m.Pages == 0 {
		if m.Pages, err = db.New().CountPages(ctx, r.conn, keysMark); err != nil {
			return fmt.Errorf("reading the size of %s: %w", keysMark, err)
		}
	}

	for ; m.Page < m.Pages; m.Page += pagesChunk {
		if r.over() {
			return errors.Join(r.save(ctx, m), errUnfinished)
		}

		var n int64
		err := r.step(ctx, func(tx pgx.Tx) (err error) {
			n, err = db.New().DeleteOldKeys(ctx, tx, m.Page, m.Page+pagesChunk, due)
			return err
		})
		// Pages with a key that somebody holds are for the next day.
		if err != nil && sqlstate.Of(err) != sqlstate.LockNotAvailable {
			return fmt.Errorf("deleting idempotency keys: %w", err)
		}
		r.done.Keys += int(n)
	}

	return r.save(ctx, db.RetentionMark{Name: keysMark, DoneUntil: due})
}

// mark returns where a task of the retention stands; its zero value is the beginning.
func (r *round) mark(ctx context.Context, name string) (db.RetentionMark, error) {
	m, err := db.New().GetRetentionMark(ctx, r.conn, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return db.RetentionMark{Name: name, DoneUntil: time.Unix(0, 0).UTC()}, nil
	}
	if err != nil {
		return m, fmt.Errorf("reading the mark of %s: %w", name, err)
	}
	return m, nil
}

func (r *round) save(ctx context.Context, m db.RetentionMark) error {
	err := r.step(ctx, func(tx pgx.Tx) error {
		return db.New().SaveRetentionMark(ctx, tx, db.SaveRetentionMarkParams{
			Name: m.Name, Step: m.Step, Page: m.Page, Pages: m.Pages, AfterXID: m.AfterXID, DoneUntil: m.DoneUntil,
		})
	})
	if err != nil {
		return fmt.Errorf("writing the mark of %s: %w", m.Name, err)
	}
	return nil
}
