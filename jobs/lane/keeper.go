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

	// callTimeout bounds one transaction of the keeper, and callItems is how many signals it takes.
	callTimeout = 10 * time.Second
	callItems   = 200
)

// Signal says that an endpoint is slow.
type Signal struct {
	Reason    string        // for people, as lanes.reason has it
	hold      time.Duration // nothing may leave for so long
	throttled bool          // 429, 502 or 504: its width is halved
}

// call is a signal of an endpoint.
type call struct {
	endpointID uuid.UUID
	signal     *Signal
}

// Keeper notes which endpoints are slow, many in one transaction.
type Keeper struct {
	cfg   Config
	pool  *pgxpool.Pool
	Gate  *Gate  // in front of the endpoints' requests
	Hosts *Hosts // behind it, in front of those of a tenant to a host
	group *batch.Group[call, struct{}]

	mu   sync.Mutex
	last map[uuid.UUID]time.Time // until when an endpoint's signals are known to the database
}

// NewKeeper returns a Keeper that knows nothing of any endpoint.
func NewKeeper(cfg Config, pool *pgxpool.Pool) *Keeper {
	k := &Keeper{
		cfg: cfg, pool: pool, last: make(map[uuid.UUID]time.Time),
		Gate: NewGate(), Hosts: NewHosts(cfg.MaxPerHost, cfg.HostRate),
	}
	k.group = batch.New(batch.Config{MaxItems: callItems, Parallel: 1}, func(call) int { return 0 }, k.run)
	return k
}

// NoteBusy notes that an endpoint has more deliveries than it takes, or is slow, for the reason that the gate gave.
func (k *Keeper) NoteBusy(ctx context.Context, endpointID uuid.UUID, reason string) error {
	return k.note(ctx, endpointID, &Signal{Reason: reason})
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

	return k.note(ctx, endpointID, s)
}

func (k *Keeper) note(ctx context.Context, endpointID uuid.UUID, s *Signal) error {
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

func (k *Keeper) run(ctx context.Context, calls []call) ([]struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()

	err := pgx.BeginTxFunc(ctx, k.pool, pgx.TxOptions{BeginQuery: pg.BeginByKey}, func(tx pgx.Tx) error {
		return db.New().SlowEndpoints(ctx, tx, k.signalParams(calls))
	})
	if err != nil {
		return nil, fmt.Errorf("noting %d slow endpoints: %w", len(calls), err)
	}
	return make([]struct{}, len(calls)), nil
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
