package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/internal/bench/punctual"
)

// Faults leave a worker process alone for faultGap at least and twice that at most. A freeze is as long as one of
// frozenLeast to frozenMost.
const (
	faultGap    = 4 * time.Second
	frozenLeast = 5 * time.Second
	frozenMost  = 20 * time.Second
)

// cast is the worker processes of a scenario, and what was done to them.
type cast struct {
	*stage

	rand    *rand.Rand
	workers []actor
	faults  []punctual.Fault
}

// actor is a worker process, which was not there before from and served at to.
type actor struct {
	*process

	from, to time.Time
}

func (st *stage) newCast(ctx context.Context, n int) (*cast, error) {
	c := &cast{stage: st, workers: make([]actor, n)}
	c.rand = rand.New(rand.NewPCG(st.cfg.Seed, 0)) //nolint:gosec // to be repeated

	for i := range c.workers {
		if err := c.enter(ctx, i); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// enter starts a worker process in the place of one that was killed.
func (c *cast) enter(ctx context.Context, i int) error {
	from := time.Now()
	worker, _, err := c.serve(ctx, c.database, "worker")
	if err != nil {
		return err
	}
	c.add("worker", worker)
	c.workers[i] = actor{worker, from, time.Now()}
	return nil
}

// sabotage breaks one process after another until ctx ends, so that the others live.
func (c *cast) sabotage(ctx context.Context) (err error) {
	for ctx.Err() == nil && err == nil {
		gap := faultGap + time.Duration(c.rand.Int64N(int64(faultGap)))
		if sleepUntil(ctx, time.Now().Add(gap)) == nil {
			err = c.strike(ctx)
		}
	}

	if ctx.Err() != nil { // in the middle of a fault
		return nil //nolint:nilerr // that is how it ends
	}
	return err
}

// strike kills or freezes one: any of them, the one that paces, or River's leader.
func (c *cast) strike(ctx context.Context) error {
	pacer, err := c.holder(ctx, "SELECT holder FROM outhook.leases WHERE name = 'pacer'")
	if err != nil {
		return err
	}
	leader, err := c.holder(ctx, "SELECT leader_id FROM outhook.river_leader")
	if err != nil {
		return err
	}

	i := c.rand.IntN(len(c.workers))
	if n := c.rand.IntN(3); n < 2 && []int{pacer, leader}[n] >= 0 {
		i = []int{pacer, leader}[n]
	}

	f := punctual.Fault{At: time.Now(), Freeze: c.rand.IntN(2) == 0, Pacer: i == pacer || pacer < 0}
	c.faults = append(c.faults, f)
	if f.Freeze {
		return c.workers[i].standStill(ctx, frozenLeast+time.Duration(c.rand.Int64N(int64(frozenMost-frozenLeast))))
	}
	if err := c.workers[i].kill(); err != nil {
		return fmt.Errorf("killing a worker: %w", err)
	}
	return c.enter(ctx, i)
}

// holder returns which of the processes has the River client id that a query returns, −1 if none.
func (c *cast) holder(ctx context.Context, query string) (int, error) {
	var id string
	if err := c.pool.QueryRow(ctx, query).Scan(&id); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return -1, fmt.Errorf("looking for who holds what: %w", err)
	}

	at, ok := clientStart(id)
	return slices.IndexFunc(c.workers, func(w actor) bool { return ok && at.After(w.from) && at.Before(w.to) }), nil
}

// clientStart returns the time in a client's id, which River makes of the machine's name and that.
func clientStart(id string) (time.Time, bool) {
	const layout = "2006_01_02T15_04_05.000000"
	if len(id) < len(layout) {
		return time.Time{}, false
	}

	text := []byte(id[len(id)-len(layout):])
	text[len(text)-len("_000000")] = '.'
	at, err := time.Parse(layout, string(text))
	return at, err == nil
}

// standStill freezes a process for a time, or until ctx ends.
func (p *process) standStill(ctx context.Context, d time.Duration) error {
	if err := p.freeze(); err != nil {
		return fmt.Errorf("freezing a worker: %w", err)
	}
	_ = sleepUntil(ctx, time.Now().Add(d))
	return p.thaw()
}
