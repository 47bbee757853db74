package lane

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// startWidth is how many requests of an endpoint that this process knows nothing of may be under way: each answer that
	// is not slow allows one more, up to the endpoint's max_in_flight. So an endpoint that hangs from the
	// start takes few slots.
	startWidth = 8

	// slowAfter is how long a request takes that is slow. While an endpoint has a lane it must answer in half of that
	// to get out of it again.
	slowAfter = time.Second

	// slowCount is how many requests must be slow, in a row or at the same time, before the endpoint gets a lane.
	slowCount = 4

	// Patience is how long a run keeps its slot while it waits for its endpoint's other requests. One with
	// quick answers works off thousands in that time, and a machine that stands still for a moment is not
	// taken for a slow endpoint.
	Patience = time.Second

	// maxIdleFlows bounds the endpoints that are remembered although nothing of theirs is under way.
	maxIdleFlows = 10_000
	flowLife     = time.Minute
)

// Verdicts of gate.enter.
var (
	ErrBusy = errors.New("busy: more deliveries than it takes")
	ErrSlow = errors.New("slow: requests take longer than 1 s")
)

// Gate bounds how many requests of one endpoint are under way in this process from the shared queues, and tells which
// endpoints are slow. It is what keeps the slots of a process from being taken by one endpoint.
type Gate struct {
	mu    sync.Mutex
	flows map[uuid.UUID]*flow
	bound int // how many there may be before some are forgotten, if that is more than maxIdleFlows
}

// flow is the requests of one endpoint.
type flow struct {
	limit   int              // the endpoint's max_in_flight
	width   int              // how many may be under way, from startWidth to limit
	started []time.Time      // those that are under way, the oldest first
	waiting []chan time.Time // get the time when it is their turn; first in, first out
	movedAt time.Time        // when one ended, or width was reached
	slow    int              // how many in a row were slow
	quick   bool             // the last one was not
}

// NewGate returns a Gate that knows no endpoint.
func NewGate() *Gate { return &Gate{flows: make(map[uuid.UUID]*flow)} }

// Enter waits until one more request of the endpoint may start, and returns the time, for leave. Returns errBusy
// if that would take longer than patience or nothing has ended for that long, errSlow if the endpoint is slow
// already, or ctx's error.
func (g *Gate) Enter(ctx context.Context, endpointID uuid.UUID, limit int, patience time.Duration) (time.Time, error) {
	g.mu.Lock()
	f, now := g.flow(endpointID), time.Now()
	f.limit, f.width = limit, min(max(f.width, startWidth), limit)

	switch {
	case len(f.started) >= slowCount && now.Sub(f.started[slowCount-1]) > slowAfter:
		g.mu.Unlock()
		return now, ErrSlow
	case len(f.started) < f.width:
		f.start(now)
		g.mu.Unlock()
		return now, nil
	case now.Sub(f.movedAt) >= patience:
		g.mu.Unlock()
		return now, ErrBusy
	}

	turn := make(chan time.Time, 1)
	f.waiting = append(f.waiting, turn)
	g.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()

	err := ErrBusy
	select {
	case started := <-turn:
		return started, nil
	case <-timer.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case started := <-turn: // at this very moment
		return started, nil
	default:
	}

	f.waiting = slices.DeleteFunc(f.waiting, func(c chan time.Time) bool { return c == turn })
	return now, err
}

// Leave ends a request that entered, and took d of the endpoint's time. It returns how many in a row were slow.
func (g *Gate) Leave(endpointID uuid.UUID, started time.Time, d time.Duration) int {
	g.mu.Lock()
	defer g.mu.Unlock()

	f := g.flow(endpointID)
	f.count(d)
	f.end(started, time.Now())
	return f.slow
}

// Forgo ends a request that entered and was not made.
func (g *Gate) Forgo(endpointID uuid.UUID, started time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flow(endpointID).end(started, time.Now())
}

// Quick tells whether the endpoint's last answer came within a second, as far as this process knows.
func (g *Gate) Quick(endpointID uuid.UUID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.flows[endpointID]
	return f != nil && f.quick
}

// end takes out a request that was under way, and gives its turn to those that wait.
func (f *flow) end(started, now time.Time) {
	if i := slices.Index(f.started, started); i >= 0 {
		f.started = slices.Delete(f.started, i, i+1)
	}
	f.movedAt = now

	for len(f.waiting) > 0 && len(f.started) < f.width {
		f.start(now)
		f.waiting[0] <- now
		f.waiting = f.waiting[1:]
	}
}

// Pass counts a request that the pacer had released, and so did not enter.
func (g *Gate) Pass(endpointID uuid.UUID, d time.Duration) int {
	g.mu.Lock()
	defer g.mu.Unlock()

	f := g.flow(endpointID)
	f.count(d)
	return f.slow
}

func (f *flow) count(d time.Duration) {
	if f.quick = d < slowAfter; f.quick {
		f.slow, f.width = 0, min(f.width+1, f.limit)
		return
	}
	f.slow, f.width = f.slow+1, min(max(f.width/2, startWidth), f.limit)
}

func (f *flow) start(now time.Time) {
	f.started = append(f.started, now)
	if len(f.started) == f.width {
		f.movedAt = now
	}
}

func (g *Gate) flow(endpointID uuid.UUID) *flow {
	if f := g.flows[endpointID]; f != nil {
		return f
	}

	if len(g.flows) >= max(g.bound, maxIdleFlows) {
		g.forget()
	}

	f := &flow{movedAt: time.Now()}
	g.flows[endpointID] = f
	return f
}

// forget forgets endpoints of which nothing is under way: those that were idle for a while, and if that leaves
// more than half of what may be remembered, any. What is left may double before the next time, so that looking
// through them all stays rare.
func (g *Gate) forget() {
	for _, life := range []time.Duration{flowLife, 0} {
		for id, f := range g.flows {
			if life == 0 && len(g.flows) <= maxIdleFlows/2 {
				break
			}
			if len(f.started)+len(f.waiting) == 0 && (life == 0 || time.Since(f.movedAt) > life) {
				delete(g.flows, id)
			}
		}
	}

	g.bound = 2 * len(g.flows)
}
