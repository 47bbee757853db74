// Package batch turns many concurrent calls into few runs: the calls that
// arrive while a group is in flight make up the next group. This is group
// commit: one transaction, or one query, for all calls that waited for the one
// before it.
//
// There is no timer and no fixed delay. A call that finds a free slot runs at
// once as a group of one; groups grow only as fast as run falls behind. An idle
// Group holds no goroutine, so one that is dropped without Close leaks nothing.
package batch

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// Stats are counters of a Group since New.
type Stats struct {
	// Groups counts the groups started. One that is split counts once.
	Groups int64

	// Items counts the items in those groups.
	Items int64

	// Largest is the number of items in the largest group.
	Largest int

	// Waiting is the number of calls that wait at this moment.
	Waiting int
}

// Group collects concurrent calls of Do and runs them together. Create one with
// New. All methods are safe for concurrent use.
type Group[In, Out any] struct {
	cfg    Config
	size   func(In) int
	turn   func(In) string
	run    func([]In) ([]Out, error)
	cancel context.CancelFunc // ends the context of run
	idle   chan struct{}      // closed once closed and running is 0
	calls  sync.Pool          // of *call[In, Out]

	// running is the slots that are taken, starting those of them whose group is not formed yet: it will take up to
	// MaxItems of the calls that wait. Calls wait longer only while running is cfg.Parallel.
	mu       sync.Mutex
	waiting  turns[In, Out]
	running  int
	starting int
	closed   bool
	stats    Stats
}

// New returns a Group that runs its groups with run.
//
// The outputs of run are aligned with its inputs. An error, or a panic, is for
// the whole group (but see Config.Split), as is a wrong number of outputs, which
// is never split. run keeps the order of calls, may be called Config.Parallel
// times at once, and owns its slice, except that it must not change the elements
// if Split is set. Its context belongs to no caller: it carries no values and
// ends only by Close. run must not call Do or Close of its own Group.
//
// size returns the size of one item in bytes, never negative. It is called once
// per item, in the caller's goroutine.
func New[In, Out any](cfg Config, size func(In) int, run func(context.Context, []In) ([]Out, error)) *Group[In, Out] {
	return NewInTurns(cfg, size, func(In) string { return "" }, run)
}

// NewInTurns is New for calls that take turns: those with one turn are first in, first out, and those of several
// turns alternate, however many of each wait: at most half of Config.MaxWaiting of one that is not "". turn is called
// once per item, in the caller's goroutine.
func NewInTurns[In, Out any](
	cfg Config, size func(In) int, turn func(In) string, run func(context.Context, []In) ([]Out, error),
) *Group[In, Out] {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // G118: Close calls cancel
	return &Group[In, Out]{
		cfg:    cfg.withDefaults(),
		size:   size,
		turn:   turn,
		run:    func(in []In) ([]Out, error) { return run(ctx, in) },
		cancel: cancel,
		idle:   make(chan struct{}),
	}
}

// Do runs in with whatever else waits and returns its own output, or its error.
//
// If ctx ends while the call waits, the call is withdrawn and never runs: Do
// returns ctx.Err(). If ctx ends while its group runs, the group goes on without
// the caller: Do returns at once an error that is both ErrInFlight and
// ctx.Err(). A caller that must know the outcome passes context.WithoutCancel.
// Returns ErrFull or ErrClosed if the call was not taken.
func (g *Group[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	if err := ctx.Err(); err != nil {
		return *new(Out), err
	}

	c := g.newCall(in)
	if err := g.enter(c); err != nil {
		g.recycle(c)
		return *new(Out), err
	}

	select {
	case <-c.done:
		return g.collect(c)
	case <-ctx.Done():
		return g.leave(ctx, c)
	}
}

// Close stops taking calls, finishes those that wait and those that run, and
// returns nil. If ctx ends first, the calls that wait get ErrClosed, the context
// of run is cancelled, and Close returns ctx.Err() as soon as every run has
// returned. Calling Close again, or from several goroutines, is fine.
func (g *Group[In, Out]) Close(ctx context.Context) error {
	g.mu.Lock()
	if !g.closed && g.running == 0 {
		close(g.idle)
	}
	g.closed = true
	g.mu.Unlock()

	defer g.cancel()
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
	}

	if !g.abort() {
		return nil
	}
	<-g.idle
	return ctx.Err()
}

// Stats returns the counters. It costs one mutex.
func (g *Group[In, Out]) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.Waiting = g.waiting.n
	return s
}

// newCall returns a call that was recycled, if there is one.
func (g *Group[In, Out]) newCall(in In) *call[In, Out] {
	c, ok := g.calls.Get().(*call[In, Out])
	if !ok {
		c = &call[In, Out]{done: make(chan struct{}, 1)}
	}
	c.in, c.size, c.turn = in, g.size(in), g.turn(in)
	return c
}

// enter lets c wait, and starts a group if a slot is free.
func (g *Group[In, Out]) enter(c *call[In, Out]) error {
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.closed {
		return ErrClosed
	}
	if g.cfg.MaxWaiting > 0 && g.running == g.cfg.Parallel {
		starting := g.starting * g.cfg.MaxItems // so many of those that wait are about to run
		if g.waiting.n >= g.cfg.MaxWaiting+starting ||
			c.turn != "" && g.waiting.of(c.turn) >= (g.cfg.MaxWaiting+1)/2+starting {
			return ErrFull
		}
	}

	c.waiting = true
	g.waiting.push(c)
	if g.running < g.cfg.Parallel {
		g.running++
		g.start()
	}
	return nil
}

// leave gives up on c after the end of ctx, unless its answer is there already.
func (g *Group[In, Out]) leave(ctx context.Context, c *call[In, Out]) (Out, error) {
	if g.withdraw(c) {
		g.recycle(c)
		return *new(Out), ctx.Err()
	}

	select {
	case <-c.done:
		return g.collect(c)
	default: // c is not recycled: its group will still answer it
		return *new(Out), inFlight(ctx.Err())
	}
}

// withdraw takes c out of the queue and reports whether it was still there.
func (g *Group[In, Out]) withdraw(c *call[In, Out]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.waiting {
		return false
	}
	g.waiting.remove(c)
	return true
}

// collect returns the answer of c, which must have been received from c.done.
func (g *Group[In, Out]) collect(c *call[In, Out]) (Out, error) {
	out, err := c.out, c.err
	g.recycle(c)
	return out, err
}

// recycle keeps c for a later Do, without what it held.
func (g *Group[In, Out]) recycle(c *call[In, Out]) {
	*c = call[In, Out]{done: c.done}
	g.calls.Put(c)
}

// start runs a group in the slot that the caller holds. g.mu is held.
func (g *Group[In, Out]) start() {
	g.starting++
	go g.work()
}

// take moves the calls that fit, in turns, into a group. It is empty if all of them were withdrawn.
func (g *Group[In, Out]) take() (group queue[In, Out]) {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.starting--
	room := g.cfg.MaxBytes
	for c := g.waiting.first(); c != nil; c = g.waiting.first() {
		if group.n == g.cfg.MaxItems || group.n > 0 && c.size > room {
			break
		}
		room -= c.size // negative after an item bigger than MaxBytes: nothing joins it
		c.waiting = false
		group.push(g.waiting.pop())
	}

	if group.n > 0 {
		g.stats.Groups++
		g.stats.Items += int64(group.n)
		g.stats.Largest = max(g.stats.Largest, group.n)
	}
	return group
}

// next passes the slot of a finished group on to the calls that wait, or frees
// it.
func (g *Group[In, Out]) next() {
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.waiting.n > 0 {
		g.start()
		return
	}
	g.running--
	if g.closed && g.running == 0 {
		close(g.idle)
	}
}

// abort sends those that wait away and cancels those that run. It reports
// whether there were any.
func (g *Group[In, Out]) abort() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == 0 {
		return false
	}

	g.cancel()
	for c := g.waiting.pop(); c != nil; c = g.waiting.pop() {
		c.waiting = false
		c.answer(*new(Out), ErrClosed)
	}
	return true
}

// work runs one group in a goroutine of its own, in the slot that its starter has taken. What must follow is deferred,
// so that a run that calls runtime.Goexit loses neither calls nor the slot.
func (g *Group[In, Out]) work() {
	defer g.next()

	// Whoever is about to call, and could if only it had the processor, comes into this group: the goroutines that one
	// event woke together (a fetch of jobs, a poll of the network) would otherwise make a group of one and then a second.
	runtime.Gosched()

	group := g.take()
	if group.n == 0 {
		return
	}
	defer func() { group.answer(group.n, nil, errExited) }()

	in := make([]In, 0, group.n)
	for c := group.head; c != nil; c = c.next {
		in = append(in, c.in)
	}

	g.settle(&group, in)
}

// settle runs in, the inputs of the first calls of group, and answers those
// calls, so that at any time group holds just the calls without an answer.
func (g *Group[In, Out]) settle(group *queue[In, Out], in []In) {
	out, err := g.attempt(in)
	if err != nil && len(in) > 1 && g.cfg.Split(err) {
		half := len(in) / 2
		g.settle(group, in[:half:half])
		g.settle(group, in[half:])
		return
	}

	if err == nil && len(out) != len(in) {
		err = fmt.Errorf("batch: run returned %d outputs for %d inputs", len(out), len(in))
	}
	group.answer(len(in), out, inFlight(err))
}

// attempt calls run and turns a panic into an error.
func (g *Group[In, Out]) attempt(in []In) (out []Out, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return g.run(in)
}
