package lane

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// signalInterval is how often a process tells the database that an endpoint is slow.
	signalInterval = time.Second

	// callTimeout bounds one transaction of the keeper, and callItems is how many signals and runs it takes.
	callTimeout = 10 * time.Second
	callItems   = 200
)

// Signal says that an endpoint is slow.
type Signal struct {
	Reason    string        // for people, as lanes.reason has it
	hold      time.Duration // nothing may leave for so long
	throttled bool          // 429, 502 or 504: its width is halved
}

// call is a signal, a run that is to be set aside, or both.
type call struct {
	endpointID uuid.UUID
	signal     *Signal
	jobID      int64
	attempt    int32 // 0: there is no run
}

// Keeper notes which endpoints are slow and moves their jobs out of the shared queues, many in one transaction.
type Keeper struct {
	cfg   Config
	pool  *pgxpool.Pool
	Gate  *Gate // in front of the endpoints' requests
	group *batch.Group[call, bool]

	mu   sync.Mutex
	last map[uuid.UUID]time.Time // until when an endpoint's signals are known to the database
}

// NewKeeper returns a Keeper that knows nothing of any endpoint.
func NewKeeper(cfg Config, pool *pgxpool.Pool) *Keeper {
	k := &Keeper{cfg: cfg, pool: pool, Gate: NewGate(), last: make(map[uuid.UUID]time.Time)}
	k.group = batch.New(batch.Config{MaxItems: callItems, Parallel: 1}, func(call) int { return 0 }, k.run)
	return k
}

// SetAside gives a run back and moves its job to its endpoint's queue, after it has noted the signal, if any. It
// returns false if the endpoint has no lane and is not paused (any more), or the run is over.
func (k *Keeper) SetAside(
	ctx context.Context, endpointID uuid.UUID, jobID int64, attempt int32, s *Signal,
) (bool, error) {
	call := call{endpointID: endpointID, signal: s, jobID: jobID, attempt: attempt}
	return k.group.Do(context.WithoutCancel(ctx), call)
}

// NoteSignal looks at a request that has ended for a signal that its endpoint is slow, and notes it. inARow is how
// many in a row were slow. Returns an error if the database did not take it.
func (k *Keeper) NoteSignal(
	ctx context.Context, endpointID uuid.UUID, lane string, res egress.Result, now time.Time, inARow int,
) error {
	s := &Signal{}
	var throttled bool
	s.hold, throttled = throttle(res, now)

	switch {
	case throttled:
		s.throttled, s.Reason = true, "it answered "+strconv.Itoa(res.StatusCode)
	case res.Outcome == egress.Unknown:
		return nil
	case inARow >= slowCount, (lane == ledger.LaneSlow || lane == ledger.LaneBulk) && res.Duration > slowAfter/2:
		s.Reason = ErrSlow.Error()
	default:
		return nil
	}

	if !k.fresh(endpointID, s) {
		return nil
	}
	_, err := k.group.Do(context.WithoutCancel(ctx), call{endpointID: endpointID, signal: s})
	return err
}

// fresh tells whether a signal says more than the endpoint's last one.
func (k *Keeper) fresh(endpointID uuid.UUID, s *Signal) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	now := time.Now()
	if until := now.Add(s.hold); until.After(k.last[endpointID].Add(signalInterval)) {
		if len(k.last) >= maxIdleFlows {
			clear(k.last) // signals are said once more, no harm
		}
		k.last[endpointID] = until
		return true
	}

	return false
}

func (k *Keeper) run(ctx context.Context, calls []call) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()

	moved := make(map[int64]bool)
	err := pgx.BeginTxFunc(ctx, k.pool, pgx.TxOptions{BeginQuery: pg.BeginByKey}, func(tx pgx.Tx) error {
		q := db.New()
		if p := k.signalParams(calls); len(p.EndpointIDs) > 0 {
			if err := q.SlowEndpoints(ctx, tx, p); err != nil {
				return fmt.Errorf("noting %d slow endpoints: %w", len(p.EndpointIDs), err)
			}
		}

		jobIDs, attempts, endpointIDs := runsOf(calls)
		if len(jobIDs) == 0 {
			return nil
		}

		ids, err := q.SetAsideJobs(ctx, tx, jobIDs, attempts, endpointIDs)
		if err != nil {
			return fmt.Errorf("setting %d jobs aside: %w", len(jobIDs), err)
		}
		for _, id := range ids {
			moved[id] = true
		}

		return notifyLanes(ctx, tx, endpointIDs)
	})
	if err != nil {
		return nil, err
	}

	out := make([]bool, len(calls))
	for i, c := range calls {
		out[i] = moved[c.jobID]
	}
	return out, nil
}

// signalParams holds each endpoint once, with the most that its signals say, in the order in which everybody locks
// endpoints.
func (k *Keeper) signalParams(calls []call) db.SlowEndpointsParams {
	p := db.SlowEndpointsParams{
		MaxLanes: int32(k.cfg.MaxLanes),             //nolint:gosec // validated
		ProveMS:  int32(k.cfg.Prove.Milliseconds()), //nolint:gosec // validated
	}

	signs := make(map[uuid.UUID]Signal)
	for _, c := range calls {
		if c.signal == nil {
			continue
		}

		s := signs[c.endpointID]
		if s.Reason == "" || c.signal.throttled {
			s.Reason = c.signal.Reason
		}
		s.hold, s.throttled = max(s.hold, c.signal.hold), s.throttled || c.signal.throttled
		signs[c.endpointID] = s
	}

	for id := range signs {
		p.EndpointIDs = append(p.EndpointIDs, id)
	}
	slices.SortFunc(p.EndpointIDs, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })

	for _, id := range p.EndpointIDs {
		s := signs[id]
		p.Reasons = append(p.Reasons, s.Reason)
		p.HoldSeconds = append(p.HoldSeconds, s.hold.Seconds())
		p.Throttled = append(p.Throttled, s.throttled)
	}

	return p
}

func runsOf(calls []call) (jobIDs []int64, attempts []int32, endpointIDs []uuid.UUID) {
	for _, c := range calls {
		if c.attempt > 0 {
			jobIDs = append(jobIDs, c.jobID)
			attempts = append(attempts, c.attempt)
			endpointIDs = append(endpointIDs, c.endpointID)
		}
	}
	return jobIDs, attempts, endpointIDs
}

// notifyLanes tells the pacer that jobs wait in these endpoints' queues.
func notifyLanes(ctx context.Context, tx pgx.Tx, endpointIDs []uuid.UUID) error {
	told := make(map[uuid.UUID]bool)
	for _, id := range endpointIDs {
		if !told[id] {
			told[id] = true
			if err := ledger.Notify(ctx, tx, ledger.EndpointQueuePrefix+id.String()); err != nil {
				return err
			}
		}
	}
	return nil
}
