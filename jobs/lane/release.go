package lane

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// catchUp is how far a limiter may fall behind and still make up for it, if its requests come more often than once a
// second: the pacer does not look at every lane all the time.
const catchUp = 200 * time.Millisecond

// lanes is what the pacer remembers from one look to the next. Nothing is lost with it.
type lanes struct {
	cfg     Config
	logger  *slog.Logger
	conn    *pgx.Conn
	byID    map[uuid.UUID]*lane
	allAt   time.Time // when to look at all lanes
	sweepAt time.Time
}

// lane is one endpoint's.
type lane struct {
	db.LookAtLanesRow
	lookAt time.Time     // when to look again; zero: with all the others
	pause  time.Duration // between two looks
}

// next returns when something is due.
func (l *lanes) next() time.Time {
	at := l.allAt
	if l.sweepAt.Before(at) {
		at = l.sweepAt
	}

	for _, n := range l.byID {
		if !n.lookAt.IsZero() && n.lookAt.Before(at) {
			at = n.lookAt
		}
	}
	return at
}

// wake makes a lane due because somebody enqueued into it.
func (l *lanes) wake(id string) {
	endpointID, err := uuid.Parse(id)
	if err != nil {
		return
	}

	n := l.byID[endpointID]
	if n == nil { // it was opened just now
		n = &lane{}
		l.byID[endpointID] = n
		l.sweepAt = time.Now()
	}

	if n.lookAt.IsZero() {
		n.lookAt = time.Now()
	}
}

// step does what is due.
func (l *lanes) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()

	now := time.Now()
	if !now.Before(l.sweepAt) {
		more, err := l.sweep(ctx)
		if err != nil {
			return err
		}
		l.sweepAt = time.Now().Add(sweepInterval)
		if more {
			l.sweepAt = time.Now().Add(sweepBudget)
		}
	}

	if !now.Before(l.allAt) {
		l.allAt = now.Add(paceAll)
		return l.look(ctx, true, nil)
	}

	var due []uuid.UUID
	for id, n := range l.byID {
		if !n.lookAt.IsZero() && !now.Before(n.lookAt) {
			due = append(due, id)
		}
	}

	if len(due) == 0 {
		return nil
	}
	return l.look(ctx, false, due)
}

// look reads lanes, releases what may leave, and decides when to look again. With all of them it
// also closes and widens.
func (l *lanes) look(ctx context.Context, everyone bool, ids []uuid.UUID) error {
	if ids == nil {
		ids = []uuid.UUID{}
	}

	rows, err := db.New().LookAtLanes(ctx, l.conn, everyone, ids)
	if err != nil {
		return fmt.Errorf("looking at lanes: %w", err)
	}

	before := l.byID
	if everyone {
		l.byID = make(map[uuid.UUID]*lane, len(rows))
	} else {
		for _, id := range ids {
			delete(l.byID, id) // those that have no lane any more
		}
	}

	looked := make([]*lane, len(rows))
	for i, row := range rows {
		n := &lane{LookAtLanesRow: row, pause: paceFast}
		if old := before[row.ID]; old != nil && old.InFlight == row.InFlight && old.Waiting == row.Waiting && old.pause > 0 {
			n.pause = min(2*old.pause, paceSlow)
		}
		l.byID[row.ID], looked[i] = n, n
	}

	if err := l.release(ctx, looked); err != nil {
		return err
	}

	if !everyone {
		return nil
	}
	return l.change(ctx, looked)
}

// release lets the lanes' jobs go, those first of which the least is under way. Of the slow ones together only
// Config.MaxSlowWorkers may be, which all share alike.
func (l *lanes) release(ctx context.Context, looked []*lane) error {
	room, active := map[string]int{ledger.LaneSlow: l.cfg.MaxSlowWorkers, ledger.LaneLimited: l.cfg.MaxLimitedWorkers}, 0
	for _, n := range l.byID {
		room[n.Lane] -= int(n.InFlight)
		if n.Lane == ledger.LaneSlow && n.InFlight+n.Waiting > 0 {
			active++
		}
	}

	share := max(l.cfg.MaxSlowWorkers/max(active, 1), 1)
	slices.SortFunc(looked, func(a, b *lane) int { return cmp.Compare(a.InFlight, b.InFlight) })

	var p db.ReleaseJobsParams
	var queues []string
	for _, n := range looked {
		most := room[n.Lane]
		if n.Lane == ledger.LaneSlow {
			most = min(most, share-int(n.InFlight))
		}

		count, nextAt, wait := n.allowance(most)
		n.schedule(wait)
		if count == 0 {
			continue
		}

		room[n.Lane] -= count
		n.InFlight += int32(count) //nolint:gosec // at most 1000
		n.Waiting -= int32(count)  //nolint:gosec // at most 1000
		n.NextAt = nextAt

		queue := ledger.QueueDeliverSlow
		if n.Lane == ledger.LaneLimited {
			queue = ledger.QueueDeliverLimited
		}
		p.EndpointIDs, p.Counts = append(p.EndpointIDs, n.ID), append(p.Counts, int32(count)) //nolint:gosec // at most 1000
		p.Queues, p.NextAts = append(p.Queues, queue), append(p.NextAts, nextAt)
		if !slices.Contains(queues, queue) {
			queues = append(queues, queue)
		}
	}

	if len(p.Counts) == 0 {
		return nil
	}

	return pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		if _, err := db.New().ReleaseJobs(ctx, tx, p); err != nil {
			return fmt.Errorf("releasing jobs: %w", err)
		}

		for _, queue := range queues {
			if err := ledger.Notify(ctx, tx, queue); err != nil {
				return err
			}
		}
		return nil
	})
}

// allowance returns how many jobs may leave now, when the one after them may by the rate limit, and how long nothing
// can change (0: that is not known). most is how many there is room for.
func (n *lane) allowance(most int) (count int, nextAt time.Time, wait time.Duration) {
	now := n.DatabaseTime
	count, nextAt = min(int(min(n.MaxInFlight, n.Width)-n.InFlight), int(n.Waiting), most), n.NextAt

	switch {
	case !n.Enabled || n.Lane == ledger.LaneBulk:
		return 0, nextAt, paceAll
	case n.Waiting == 0:
		return 0, nextAt, 0
	case n.Lane == ledger.LaneSlow && n.HeldUntil.After(now):
		return 0, nextAt, n.HeldUntil.Sub(now)
	case n.RateLimit == 0:
		return max(count, 0), nextAt, 0
	}

	every := n.every()
	slack := time.Duration(n.RateBurst-1) * every
	if every < time.Second {
		slack = max(slack, catchUp)
	}

	if earliest := now.Add(-slack); nextAt.Before(earliest) {
		nextAt = earliest
	}
	if nextAt.After(now) {
		return 0, n.NextAt, nextAt.Sub(now)
	}

	// What the workers have not fetched yet would leave all at once when they do.
	behind := max(int(catchUp/every), int(n.RateBurst)) - int(n.Unstarted)
	count = max(min(count, int(now.Sub(nextAt)/every)+1, behind), 0)
	if count == 0 {
		return 0, n.NextAt, 0
	}

	return count, nextAt.Add(time.Duration(count) * every), 0
}

// every is the time from one request to the next by the rate limit.
func (n *lane) every() time.Duration {
	per := time.Second
	if n.RatePer == "minute" {
		per = time.Minute
	}
	return per / time.Duration(n.RateLimit)
}

// schedule decides when to look at the lane again. If nothing waits, whoever enqueues says so.
func (n *lane) schedule(wait time.Duration) {
	switch {
	case wait > 0:
		n.lookAt = time.Now().Add(max(wait, time.Millisecond))
	case n.Waiting > 0:
		n.lookAt = time.Now().Add(n.pause)
	default:
		n.lookAt = time.Time{}
	}
}

// change closes the lanes of those that have proved quick, and widens throttled ones.
func (l *lanes) change(ctx context.Context, looked []*lane) error {
	var proved, narrow []uuid.UUID
	shared := false
	for _, n := range looked {
		now := n.DatabaseTime
		if n.Lane != ledger.LaneLimited && n.Waiting == 0 && now.Sub(n.SlowAt) > time.Duration(n.ProveMS)*time.Millisecond {
			proved = append(proved, n.ID)
		}
		if n.Width < n.MaxInFlight && now.Sub(n.WidthAt) > 10*time.Second {
			narrow = append(narrow, n.ID)
		}
		shared = shared || n.Lane == ledger.LaneBulk
	}

	if len(narrow) > 0 {
		if err := db.New().WidenLanes(ctx, l.conn, narrow); err != nil {
			return fmt.Errorf("widening lanes: %w", err)
		}
	}

	if shared {
		if err := db.New().PromoteLanes(ctx, l.conn, int32(l.cfg.MaxLanes)); err != nil { //nolint:gosec // validated
			return fmt.Errorf("promoting lanes: %w", err)
		}
	}

	if len(proved) == 0 {
		return nil
	}
	closed, err := db.New().CloseLanes(ctx, l.conn, proved)
	if err != nil {
		return fmt.Errorf("closing lanes: %w", err)
	}

	for _, id := range closed {
		l.logger.InfoContext(ctx, "an endpoint is quick again", slog.String("endpoint_id", id.String()))
	}
	return nil
}

// sweep brings jobs out of the queues of endpoints that have no lane any more, and into those of endpoints that have
// one. It returns true if it had no time for all of them.
func (l *lanes) sweep(ctx context.Context) (more bool, err error) {
	end, q := time.Now().Add(sweepBudget), db.New()
	stranded, err := q.ListStrandedQueues(ctx, l.conn)
	if err != nil {
		return false, fmt.Errorf("listing stranded queues: %w", err)
	}

	var moved int64
	for _, queue := range stranded {
		n, err := chunks(end, func() (int64, error) { return q.MoveStrandedJobs(ctx, l.conn, queue, sweepChunk) })
		if err != nil {
			return false, fmt.Errorf("moving stranded jobs: %w", err)
		}
		moved += n
	}
	if moved > 0 {
		l.logger.DebugContext(ctx, "moved jobs out of closed lanes", slog.Int64("count", moved))
	}

	if len(l.byID) == 0 {
		return time.Now().After(end), nil
	}

	for _, queue := range ledger.SharedQueues() {
		if err := l.sweepShared(ctx, queue, end); err != nil {
			return false, fmt.Errorf("moving jobs to lanes: %w", err)
		}
	}
	return time.Now().After(end), nil
}

// sweepShared moves jobs out of the head of a shared queue until few there are of endpoints that have
// a lane, or until a time.
func (l *lanes) sweepShared(ctx context.Context, queue string, end time.Time) error {
	for q := db.New(); time.Now().Before(end); {
		ids, err := q.ListJobsForLanes(ctx, l.conn, queue, sweepHead)
		if err != nil {
			return err
		}

		for chunk := range slices.Chunk(ids, sweepChunk) {
			if _, err := q.MoveJobsToLanes(ctx, l.conn, chunk, queue); err != nil || time.Now().After(end) {
				return err
			}
		}

		if len(ids) < sweepChunk/2 {
			return nil
		}
	}
	return nil
}

// chunks moves jobs in chunks until few are left, or until a time. Some of a chunk may be fetched by workers meanwhile.
func chunks(end time.Time, move func() (int64, error)) (moved int64, err error) {
	for n := int64(sweepChunk); n > sweepChunk/2 && time.Now().Before(end); moved += n {
		if n, err = move(); err != nil {
			return moved, err
		}
	}
	return moved, nil
}
