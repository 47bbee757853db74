package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/logthrottle"
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
	calm    *slog.Logger // for trouble that may come with each flush
	tracker *Tracker
	clock   *dbclock.Clock

	cancel context.CancelFunc
	done   chan struct{}
}

// NewKeeper returns a Keeper of what tracker sees, which does nothing before Start.
func NewKeeper(
	cfg Config, pool *pgxpool.Pool, logger *slog.Logger, tracker *Tracker, clock *dbclock.Clock,
) *Keeper {
	return &Keeper{cfg: cfg, pool: pool, logger: logger, calm: logthrottle.New(logger), tracker: tracker, clock: clock}
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

// flush tells what was seen. What can't be told now is told with the next flush.
func (k *Keeper) flush(ctx context.Context, patience time.Duration) {
	untold := make(map[uuid.UUID]seen)
	defer func() { k.tracker.putBack(untold) }() // not before the end, or it would be due at once

	for n := chunk; n == chunk; {
		due := k.tracker.take(time.Now(), patience, chunk)
		if n = len(due); n == 0 {
			return
		}

		err := k.write(ctx, due)
		maps.Copy(untold, due)
		if err != nil {
			if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
				k.calm.WarnContext(ctx, "writing the endpoints' health", slog.Any("error", err))
			}
			return
		}
	}
}

// Revisit looks at endpoints whose state has been held back, and at those that are to be disabled.
func (k *Keeper) Revisit(ctx context.Context) error {
	p := db.ListUnsettledHealthParams{
		FailingFailures: int32(k.cfg.FailingFailures), //nolint:gosec // a small number
		DisableFailures: int32(k.cfg.DisableFailures), //nolint:gosec // a small number
		DisableSeconds:  k.cfg.DisableAfter.Seconds(), MaxRows: chunk,
	}

	for n := chunk; n == chunk; {
		ids, err := db.New().ListUnsettledHealth(ctx, k.pool, p)
		if n = len(ids); err != nil || n == 0 {
			return err
		}

		nothing := make(map[uuid.UUID]seen, n)
		for _, id := range ids {
			nothing[id] = seen{}
		}
		if err := k.write(ctx, nothing); err != nil {
			return err
		}
		p.After = ids[n-1]
	}
	return nil
}

// write merges what was seen into what the database has, announces changes of state in the same transaction, and then
// disables the endpoints that have failed for too long. It leaves in due what is to be told again: after an error, and
// of the endpoints whose rows somebody else holds.
func (k *Keeper) write(ctx context.Context, due map[uuid.UUID]seen) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	var rows []db.LockEndpointHealthRow
	err := pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) (err error) {
		ids, err := db.New().InsertEndpointHealth(ctx, tx, slices.Collect(maps.Keys(due)))
		if err != nil {
			return fmt.Errorf("inserting: %w", err)
		}
		maps.DeleteFunc(due, func(id uuid.UUID, _ seen) bool { return !slices.Contains(ids, id) }) // deleted

		if rows, err = db.New().LockEndpointHealth(ctx, tx, ids); err != nil {
			return fmt.Errorf("locking: %w", err)
		}
		if err := k.update(ctx, tx, rows, due); err != nil {
			return err
		}

		// If no answer to COMMIT comes, it may have been carried out. A success can be told twice, a failure can't: it
		// would count twice and disable an endpoint too early, while one that is lost only disables it later.
		for _, h := range rows {
			due[h.EndpointID] = seen{successAt: due[h.EndpointID].successAt}
		}
		return nil
	})
	if err != nil {
		return err
	}

	var healthy []uuid.UUID
	for _, h := range rows {
		delete(due, h.EndpointID)
		if h.ConsecutiveFailures == 0 && h.State == Healthy {
			healthy = append(healthy, h.EndpointID)
		}
	}
	k.tracker.told(healthy)

	// Each in a transaction of its own, since an endpoint is locked before its health.
	for _, h := range rows {
		if !k.tooLong(h) {
			continue
		}
		if err := k.disable(ctx, h.EndpointID); err != nil {
			k.calm.WarnContext(ctx, "disabling a failing endpoint",
				slog.String("endpoint_id", h.EndpointID.String()), slog.Any("error", err))
		}
	}
	return nil
}

// update merges what was seen into locked rows, and announces changes of state.
func (k *Keeper) update(
	ctx context.Context, tx pgx.Tx, rows []db.LockEndpointHealthRow, due map[uuid.UUID]seen,
) error {
	changed := make(map[string][]db.LockEndpointHealthRow)
	for i := range rows {
		rows[i] = merge(rows[i], due[rows[i].EndpointID])
		if eventType := k.move(&rows[i]); eventType != "" {
			changed[eventType] = append(changed[eventType], rows[i])
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
	return nil
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

// disable disables an endpoint if it still deserves it. The endpoint is locked before its health, as everywhere; one
// that somebody else holds waits for the next look at it, at the latest Revisit's.
func (k *Keeper) disable(ctx context.Context, id uuid.UUID) error {
	return pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		q := db.New()
		_, err := q.LockFreeEndpoint(ctx, tx, id)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err != nil:
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

		k.logger.WarnContext(ctx, "disabling an endpoint that has failed for too long",
			slog.String("endpoint_id", id.String()))
		if k.cfg.ProbeAfter == 0 {
			return nil
		}
		seconds := k.cfg.ProbeAfter.Seconds()
		return q.SetProbe(ctx, tx, &seconds, id)
	})
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
