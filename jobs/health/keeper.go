package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/sqlstate"
)

const (
	// chunk is how many endpoints are written in one transaction.
	chunk = 500

	// timeout bounds one such transaction.
	timeout = 10 * time.Second

	// quietIntervals is how many intervals the successes of a healthy endpoint wait: an endpoint that works is written
	// every 30 s, one that does not every 5.
	quietIntervals = 6
)

// Keeper tells the database what this process sees of the endpoints, and decides what follows from it.
type Keeper struct {
	cfg     Config
	pool    *pgxpool.Pool
	logger  *slog.Logger
	tracker *Tracker
	clock   *dbclock.Clock

	cancel context.CancelFunc
	done   chan struct{}

	doubt *doubt // nil: none. Only the goroutine that flushes has it.
}

// doubt is what was told in a transaction of whose COMMIT no answer came.
type doubt struct {
	transaction string // its id
	due         map[uuid.UUID]seen
}

// NewKeeper returns a Keeper of what tracker sees, which does nothing before Start.
func NewKeeper(
	cfg Config, pool *pgxpool.Pool, logger *slog.Logger, tracker *Tracker, clock *dbclock.Clock,
) *Keeper {
	return &Keeper{cfg: cfg, pool: pool, logger: logger, tracker: tracker, clock: clock}
}

// Start begins to tell the database, until Stop.
func (k *Keeper) Start(ctx context.Context) {
	ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	k.done = make(chan struct{})
	go k.run(ctx)
}

// Stop tells what is left. Call it when no attempt runs any more.
func (k *Keeper) Stop(ctx context.Context) {
	k.cancel()
	<-k.done

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	k.flush(ctx, 0)
}

func (k *Keeper) run(ctx context.Context) {
	defer close(k.done)
	tick := time.NewTicker(k.cfg.Interval)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.flush(ctx, quietIntervals*k.cfg.Interval)
		}
	}
}

// flush tells what was seen. What can't be told is told with the next flush.
func (k *Keeper) flush(ctx context.Context, patience time.Duration) {
	if err := k.resolve(ctx); err != nil {
		k.warn(ctx, err)
		return
	}

	for {
		due := k.tracker.take(time.Now(), patience, chunk)
		if len(due) == 0 {
			return
		}

		if err := k.report(ctx, due); err != nil {
			k.warn(ctx, err)
			return
		}
		if len(due) < chunk {
			return
		}
	}
}

// report writes what is due. What could not be written is put back, but in doubt if its COMMIT was on its way.
func (k *Keeper) report(ctx context.Context, due map[uuid.UUID]seen) error {
	healthy, transaction, err := k.write(ctx, due)
	switch {
	case err == nil:
		k.tracker.told(healthy)
	case transaction != "":
		k.doubt = &doubt{transaction: transaction, due: due}
	default:
		k.tracker.putBack(due)
	}
	return err
}

// resolve finds out what became of what is in doubt, so that no failure counts twice. If it was told, its endpoints are
// looked at once more, for what follows from it.
func (k *Keeper) resolve(ctx context.Context) error {
	if k.doubt == nil {
		return nil
	}

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	status, err := db.New().GetTransactionStatus(ctx, k.pool, k.doubt.transaction)
	switch {
	case sqlstate.Of(err) == sqlstate.InvalidParameterValue:
		status = "aborted" // it is in the future: the server that had it is gone, and its successor never heard of it
	case err != nil:
		return fmt.Errorf("asking what became of a transaction: %w", err)
	}

	due := k.doubt.due
	switch status {
	case "in progress":
		return fmt.Errorf("transaction %s is still in progress", k.doubt.transaction)
	case "aborted":
		k.tracker.putBack(due)
	default:
		for id := range due {
			due[id] = seen{}
		}
		k.tracker.putBack(due)
	}

	k.doubt = nil
	return nil
}

func (k *Keeper) warn(ctx context.Context, err error) {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		k.logger.WarnContext(ctx, "writing the endpoints' health", slog.Any("error", err))
	}
}

// Revisit looks at endpoints whose state has been held back.
func (k *Keeper) Revisit(ctx context.Context) error {
	failing := int32(k.cfg.FailingFailures) //nolint:gosec // a small number
	ids, err := db.New().ListUnsettledHealth(ctx, k.pool, failing, chunk)
	if err != nil || len(ids) == 0 {
		return err
	}

	nothing := make(map[uuid.UUID]seen, len(ids))
	for _, id := range ids {
		nothing[id] = seen{}
	}

	_, _, err = k.write(ctx, nothing)
	return err
}

// write merges what was seen into what the database has, announces changes of state in the same transaction, and then
// disables the endpoints that have failed for too long. It returns those that are healthy; after an error, the id of
// the transaction if it may have been committed, else "".
func (k *Keeper) write(
	ctx context.Context, due map[uuid.UUID]seen,
) (healthy []uuid.UUID, transaction string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	ids := make([]uuid.UUID, 0, len(due))
	for id := range due {
		ids = append(ids, id)
	}

	var doomed []uuid.UUID
	err = pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		if err := db.New().InsertEndpointHealth(ctx, tx, ids); err != nil {
			return fmt.Errorf("inserting: %w", err)
		}

		rows, err := db.New().LockEndpointHealth(ctx, tx, ids)
		if err != nil {
			return fmt.Errorf("locking: %w", err)
		}

		changed := make(map[string][]db.LockEndpointHealthRow)
		for i := range rows {
			rows[i] = merge(rows[i], due[rows[i].EndpointID])
			if eventType := k.move(&rows[i]); eventType != "" {
				changed[eventType] = append(changed[eventType], rows[i])
			}
			if rows[i].ConsecutiveFailures == 0 && rows[i].State == Healthy {
				healthy = append(healthy, rows[i].EndpointID)
			}
			if k.tooLong(rows[i]) {
				doomed = append(doomed, rows[i].EndpointID)
			}
		}

		if err := db.New().UpdateEndpointHealth(ctx, tx, healthParams(rows)); err != nil {
			return fmt.Errorf("updating: %w", err)
		}
		for eventType, endpoints := range changed {
			if err := Announce(ctx, tx, eventType, k.clock.Now(), endpoints...); err != nil {
				return err
			}
		}

		// Asked for last, so that only a COMMIT without an answer leaves it behind.
		transaction, err = db.New().GetTransaction(ctx, tx)
		return err
	})
	if err != nil {
		return nil, transaction, err
	}

	// Each in a transaction of its own, since an endpoint is locked before its health.
	for _, id := range doomed {
		if err := k.disable(ctx, id); err != nil {
			k.logger.WarnContext(ctx, "disabling a failing endpoint",
				slog.String("endpoint_id", id.String()), slog.Any("error", err))
		}
	}

	return healthy, "", nil
}

// move changes the state if that is due, and returns the type of the event that tells it. Many failures in a row make
// an endpoint failing, a success makes it healthy; a state lasts for HealthConfig.Hold at least.
func (k *Keeper) move(h *db.LockEndpointHealthRow) (eventType string) {
	now := k.clock.Now()
	if h.Status == db.EndpointStatusDisabled || h.StateChangedAt != nil && now.Sub(*h.StateChangedAt) < k.cfg.Hold {
		return ""
	}

	switch {
	case h.State == Healthy && int(h.ConsecutiveFailures) >= k.cfg.FailingFailures:
		h.State, h.StateChangedAt = Failing, &now
		return EventEndpointFailing
	case h.State == Failing && h.ConsecutiveFailures == 0:
		h.State, h.StateChangedAt = Healthy, &now
		return EventEndpointRecovered
	}

	return ""
}

// tooLong tells whether an endpoint has failed for so long that it is to be disabled.
func (k *Keeper) tooLong(h db.LockEndpointHealthRow) bool {
	return k.cfg.DisableAfter > 0 && h.Status != db.EndpointStatusDisabled && h.FailingSince != nil &&
		int(h.ConsecutiveFailures) >= k.cfg.DisableFailures && h.LastFailureAt.Sub(*h.FailingSince) >= k.cfg.DisableAfter
}

// disable disables an endpoint if it still deserves it. The endpoint is locked before its health, as everywhere.
func (k *Keeper) disable(ctx context.Context, id uuid.UUID) error {
	err := pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		q := db.New()
		if _, err := q.LockEndpoint(ctx, tx, id); err != nil {
			return err
		}

		rows, err := q.LockEndpointHealth(ctx, tx, []uuid.UUID{id})
		if err != nil || len(rows) == 0 || !k.tooLong(rows[0]) {
			return err
		}

		reason := fmt.Sprintf("failing: %d attempts in a row since %s", rows[0].ConsecutiveFailures,
			rows[0].FailingSince.UTC().Format(time.RFC3339))
		if err := Disable(ctx, tx, id, reason, k.clock.Now()); err != nil {
			return err
		}

		if k.cfg.ProbeAfter == 0 {
			return nil
		}
		seconds := k.cfg.ProbeAfter.Seconds()
		return q.SetProbe(ctx, tx, &seconds, id)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // deleted at this moment
	}

	if err == nil {
		k.logger.WarnContext(ctx, "disabled an endpoint that has failed for too long",
			slog.String("endpoint_id", id.String()))
	}
	return err
}

func healthParams(rows []db.LockEndpointHealthRow) (p db.UpdateEndpointHealthParams) {
	for _, h := range rows {
		p.EndpointIDs = append(p.EndpointIDs, h.EndpointID)
		p.States = append(p.States, h.State)
		p.StateChangedAts = append(p.StateChangedAts, timeOf(h.StateChangedAt))
		p.ConsecutiveFailures = append(p.ConsecutiveFailures, h.ConsecutiveFailures)
		p.FailingSinces = append(p.FailingSinces, timeOf(h.FailingSince))
		p.LastSuccessAts = append(p.LastSuccessAts, timeOf(h.LastSuccessAt))
		p.LastFailureAts = append(p.LastFailureAts, timeOf(h.LastFailureAt))

		var code int32
		var class string
		if h.LastStatusCode != nil {
			code = *h.LastStatusCode
		}
		if h.LastError != nil {
			class = *h.LastError
		}

		p.LastStatusCodes, p.LastErrors = append(p.LastStatusCodes, code), append(p.LastErrors, class)
	}
	return p
}
