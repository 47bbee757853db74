package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/egress"
)

// Lanes, as in endpoints.lane. The API documents them.
const (
	LaneNone    = ""        // in the shared queues
	LaneSlow    = "slow"    // jobs wait in the endpoint's own queue; the pacer releases them to deliver_slow
	LaneLimited = "limited" // the same for an endpoint with a rate limit, to deliver_limited
	LaneBulk    = "bulk"    // slow, but there are as many lanes as there may be: in the queue of bursts
)

// signInterval is how often a process tells the database that an endpoint is slow.
const signInterval = time.Second

// sign says that an endpoint is slow.
type sign struct {
	reason    string
	hold      time.Duration // nothing may leave for so long
	throttled bool          // 429, 502 or 504: its width is halved
}

// laneCall is a sign, a run that is to be set aside, or both.
type laneCall struct {
	endpointID uuid.UUID
	sign       *sign
	jobID      int64
	attempt    int32 // 0: there is no run
}

// laneKeeper notes which endpoints are slow and moves their jobs out of the shared queues, many in one transaction.
type laneKeeper struct {
	cfg   Config
	gate  *gate
	group *batch.Group[laneCall, bool]

	mu   sync.Mutex
	last map[uuid.UUID]time.Time // until when an endpoint's signs are known to the database
}

func newLaneKeeper(cfg Config) *laneKeeper {
	k := &laneKeeper{cfg: cfg, gate: newGate(), last: make(map[uuid.UUID]time.Time)}
	k.group = batch.New(batch.Config{MaxItems: loadItems, Parallel: 1}, func(laneCall) int { return 0 }, k.run)
	return k
}

// setAside gives a run back and moves its job to its endpoint's queue, after it has noted the sign, if any. It returns
// false if the endpoint has no lane and is not paused (any more), or the run is over.
func (k *laneKeeper) setAside(ctx context.Context, r *run, s *sign) (bool, error) {
	return k.group.Do(context.WithoutCancel(ctx), laneCall{
		endpointID: r.EndpointID, sign: s, jobID: r.job.ID, attempt: r.JobAttempt,
	})
}

// judge looks at a request that has ended for a sign that its endpoint is slow, and notes it. inARow is how
// many in a row were slow.
func (k *laneKeeper) judge(ctx context.Context, r *run, res egress.Result, now time.Time, inARow int) {
	s := &sign{}
	var throttled bool
	s.hold, throttled = throttle(res, now, k.cfg.MaxRetryAfter)

	switch {
	case throttled:
		s.throttled, s.reason = true, "it answered "+strconv.Itoa(res.StatusCode)
	case res.Outcome == egress.Unknown:
		return
	case inARow >= slowCount, (r.Lane == LaneSlow || r.Lane == LaneBulk) && res.Duration > slowAfter/2:
		s.reason = errSlow.Error()
	default:
		return
	}

	if !k.fresh(r.EndpointID, s) {
		return
	}

	_, err := k.group.Do(context.WithoutCancel(ctx), laneCall{endpointID: r.EndpointID, sign: s})
	if err != nil {
		k.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "noting that an endpoint is slow", r.attrs(slog.Any("error", err))...)
	}
}

// fresh tells whether a sign says more than the endpoint's last one.
func (k *laneKeeper) fresh(endpointID uuid.UUID, s *sign) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	now := time.Now()
	if until := now.Add(s.hold); until.After(k.last[endpointID].Add(signInterval)) {
		if len(k.last) >= maxIdleFlows {
			clear(k.last) // signs are said once more, no harm
		}
		k.last[endpointID] = until
		return true
	}

	return false
}

func (k *laneKeeper) run(ctx context.Context, calls []laneCall) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()

	moved := make(map[int64]bool)
	err := pgx.BeginTxFunc(ctx, k.cfg.Pool, pgx.TxOptions{BeginQuery: beginByKey}, func(tx pgx.Tx) error {
		q := db.New()
		if p := k.signParams(calls); len(p.EndpointIDs) > 0 {
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

// signParams holds each endpoint once, with the most that its signs say, in the order in which everybody locks
// endpoints.
func (k *laneKeeper) signParams(calls []laneCall) db.SlowEndpointsParams {
	p := db.SlowEndpointsParams{
		MaxLanes: int32(k.cfg.MaxLanes),                 //nolint:gosec // validated
		ProveMS:  int32(k.cfg.LaneProve.Milliseconds()), //nolint:gosec // validated
	}

	signs := make(map[uuid.UUID]sign)
	for _, c := range calls {
		if c.sign == nil {
			continue
		}

		s := signs[c.endpointID]
		if s.reason == "" || c.sign.throttled {
			s.reason = c.sign.reason
		}
		s.hold, s.throttled = max(s.hold, c.sign.hold), s.throttled || c.sign.throttled
		signs[c.endpointID] = s
	}

	for id := range signs {
		p.EndpointIDs = append(p.EndpointIDs, id)
	}
	slices.SortFunc(p.EndpointIDs, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })

	for _, id := range p.EndpointIDs {
		s := signs[id]
		p.Reasons = append(p.Reasons, s.reason)
		p.HoldSeconds = append(p.HoldSeconds, s.hold.Seconds())
		p.Throttled = append(p.Throttled, s.throttled)
	}

	return p
}

func runsOf(calls []laneCall) (jobIDs []int64, attempts []int32, endpointIDs []uuid.UUID) {
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
			if err := notify(ctx, tx, laneQueuePrefix+id.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// released tells whether the pacer has released this very run: a retry, or a run in place of a dead worker's, needs a
// release of its own.
func (r *run) released() bool {
	if r.job.Queue != queueDeliverSlow && r.job.Queue != queueDeliverLimited {
		return false
	}

	var metadata struct {
		Release int `json:"release"`
	}
	return json.Unmarshal(r.job.Metadata, &metadata) == nil && metadata.Release == r.job.Attempt
}

// home tells whether the run's job is where its endpoint's jobs wait or are worked. If not, it was enqueued or fetched
// before the lane was opened.
func (r *run) home() bool {
	switch r.Lane {
	case LaneSlow, LaneLimited:
		return r.released()
	case LaneBulk:
		return r.job.Queue != QueueDeliver
	}
	return true
}
