package main

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// watchEvery is how often the watch looks, and watchLimit how long one look may take.
	watchEvery = 500 * time.Millisecond
	watchLimit = 5 * time.Second

	// leaseLife is how long the pacer's lease holds after each renewal, which come once a second; from leaseMissed on, one
	// did not come.
	leaseLife   = 10 * time.Second
	leaseMissed = 2500 * time.Millisecond

	// slowLook is how long a look takes, which waits for nobody's lock, if the machine has other work.
	slowLook = 400 * time.Millisecond
)

// hold is a time in which a delivery could not be attempted by anybody else: a run of it was in somebody's hands and
// not recorded, or it had been given back and waited.
type hold struct {
	span

	number int    // of the run; 0: it waits
	holder string // River's name of the process
}

// laneState is what the watch has seen of an endpoint.
type laneState struct {
	at   time.Time
	lane string
	shut bool // it holds everything back, because it was asked to
}

// watch looks into the database while everything runs, past all faults: who had which run in hand, which endpoints had
// a lane, and whether somebody paced them. The tables at the end do not tell that any more.
type watch struct {
	pool    *pgxpool.Pool
	journal *journal

	mu      sync.Mutex
	holds   map[deliveryKey][]hold
	lanes   map[uuid.UUID][]laneState
	unpaced []span // the pacer's lease was free, or not renewed
}

func newWatch(pool *pgxpool.Pool, j *journal) *watch {
	return &watch{pool: pool, journal: j, holds: map[deliveryKey][]hold{}, lanes: map[uuid.UUID][]laneState{}}
}

// run looks until ctx ends. While the database is away there is nothing to see.
func (w *watch) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		w.look(ctx)
		if took := time.Since(began); took > slowLook {
			w.journal.note(subjectMachine, began, time.Now().Add(stalled))
		}
		wait(ctx, watchEvery-time.Since(began))
	}
}

func (w *watch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchLimit)
	defer cancel()
	now := time.Now()

	var key deliveryKey
	var h hold
	_ = each(ctx, w.pool, watchJobs, []any{&key.eventID, &key.endpointID, &h.number, &h.holder}, func() error {
		h.span = span{now, now.Add(watchEvery)}
		w.note(key, h)
		return nil
	})

	var id uuid.UUID
	var lane string
	var shut bool
	_ = each(ctx, w.pool, watchLanes, []any{&id, &lane, &shut}, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lanes[id] = append(w.lanes[id], laneState{now, lane, shut})
		return nil
	})

	var seconds float64
	_ = each(ctx, w.pool, watchPacer, []any{&seconds}, func() error {
		w.notePacer(now, leaseLife-time.Duration(seconds*float64(time.Second)))
		return nil
	})
}

// notePacer notes how long ago the process that paces has renewed its lease.
func (w *watch) notePacer(now time.Time, ago time.Duration) {
	if ago >= leaseMissed {
		w.unpaced = append(w.unpaced, span{now.Add(-ago), now.Add(watchEvery)})
	}
}

// note adds what was seen to what was seen of the same run before.
func (w *watch) note(key deliveryKey, h hold) {
	w.mu.Lock()
	defer w.mu.Unlock()

	list := w.holds[key]
	if last := len(list) - 1; last >= 0 && list[last].number == h.number && list[last].holder == h.holder &&
		!h.from.After(list[last].to.Add(watchEvery)) {
		list[last].to = h.to
		return
	}
	w.holds[key] = append(list, h)
}

// watchJobs lists the runs that are under way for a second and not recorded, as few are, and the deliveries that are
// due by their schedule and whose jobs wait for a short time all the same, since a run gave them back.
const watchJobs = `
	WITH j AS (
		SELECT j.args, coalesce((j.args ->> 'base')::integer, 0) + j.attempt AS number,
			coalesce(j.attempted_by[array_upper(j.attempted_by, 1)], '') AS holder
		FROM outhook.river_job AS j
		WHERE j.state = 'running' AND j.kind = 'deliver' AND j.attempted_at < now() - interval '1 s'
		UNION ALL
		SELECT j.args, 0, '' FROM outhook.river_job AS j
		WHERE j.state IN ('available', 'scheduled', 'retryable') AND j.kind = 'deliver' AND j.priority = 1
			AND (j.queue IN ('deliver', 'deliver_bulk', 'deliver_slow', 'deliver_limited') OR j.queue LIKE 'bulk-%')
			AND j.scheduled_at > now() AND j.scheduled_at < now() + interval '5 s'
	)
	SELECT d.event_id, d.endpoint_id, j.number, j.holder
	FROM j CROSS JOIN LATERAL (SELECT v.event_id, v.endpoint_id, v.attempt_count, v.next_attempt_at
		FROM outhook.deliveries AS v WHERE v.event_id = (j.args ->> 'event_id')::uuid
			AND v.endpoint_id = (j.args ->> 'endpoint_id')::uuid OFFSET 0) AS d
	WHERE CASE WHEN j.number > 0 THEN j.number > d.attempt_count ELSE d.next_attempt_at < now() - interval '200 ms' END`

// watchLanes lists the endpoints. One that answered 429 gets nothing for a while.
const watchLanes = `
	SELECT n.id, n.lane, coalesce(l.held_until > now(), false)
	FROM outhook.endpoints AS n LEFT JOIN outhook.lanes AS l ON l.endpoint_id = n.id
	WHERE n.deleted_at IS NULL`

// watchPacer is how many seconds the pacer's lease holds, 0 if it is free.
const watchPacer = `
	SELECT coalesce((SELECT greatest(extract(epoch FROM until - clock_timestamp()), 0)
		FROM outhook.leases WHERE name = 'pacer'), 0)::float8`
