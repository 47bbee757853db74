package batch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/internal/batch"
)

// fault is what a run does if one of its items has it. The greatest decides.
type fault int

const (
	good    fault = iota
	short         // commits, but returns an output too few
	exits         // runtime.Goexit
	panics        // panic(errDown)
	downs         // returns errDown, for which the group is not split
	badItem       // returns an itemError, for which it is
)

var errDown = errors.New("database is down")

type itemError struct{ id int }

func (e *itemError) Error() string { return fmt.Sprintf("item %d is bad", e.id) }

// planItem is one call: when it comes after the one before it, and after what
// time its caller gives up (0: never).
type planItem struct {
	id       int
	size     int
	fault    fault
	gap      time.Duration
	patience time.Duration
}

// plan is a sequence of calls and the Close after them, cut short if closeAfter
// is positive. Each run takes a millisecond of the bubble's time.
type plan struct {
	cfg        batch.Config
	items      []planItem
	closeAfter time.Duration
}

// play is what happened to a plan. Its rules hold for every plan; what breaks
// one is in violations.
type play struct {
	plan

	mu         sync.Mutex
	runs       int
	inFlight   int
	commits    []int
	lastID     int // of the runs that were not split
	results    []result
	violations []string
	stats      batch.Stats
}

func (p plan) play(t *testing.T) *play {
	t.Helper()
	r := &play{plan: p, commits: make([]int, len(p.items)), results: make([]result, len(p.items)), lastID: -1}
	synctest.Test(t, func(t *testing.T) { r.perform(t.Context()) })
	r.judge()
	return r
}

func (r *play) perform(ctx context.Context) {
	r.cfg.Split = func(err error) bool { return errors.As(err, new(*itemError)) }
	g := batch.New(r.cfg, func(it planItem) int { return it.size }, r.run)
	var callers sync.WaitGroup
	for _, it := range r.items {
		if it.gap > 0 {
			<-time.After(it.gap)
		}
		callers.Go(func() { r.results[it.id] = r.do(ctx, g, it) })
		synctest.Wait()
		r.mu.Lock()
		r.check(g.Stats().Waiting == 0 || r.inFlight == r.cfg.Parallel, "calls wait beside a free slot: %d in flight", r.inFlight)
		r.mu.Unlock()
	}
	closing, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.closeAfter > 0 {
		closing, cancel = context.WithTimeout(ctx, r.closeAfter)
		defer cancel()
	}
	if err := g.Close(closing); err != nil {
		r.check(r.closeAfter > 0 && errors.Is(err, context.DeadlineExceeded), "closing: %v", err)
	}
	r.check(r.inFlight == 0, "%d in flight after Close", r.inFlight)
	callers.Wait()
	r.stats = g.Stats()
}

func (r *play) do(ctx context.Context, g *batch.Group[planItem, int], it planItem) result {
	if it.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, it.patience)
		defer cancel()
	}
	out, err := g.Do(ctx, it)
	return result{out, err}
}

func (r *play) run(ctx context.Context, in []planItem) ([]int, error) {
	r.begin(in)
	defer r.end()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Millisecond):
	}
	worst := in[0]
	for _, it := range in {
		if it.fault > worst.fault {
			worst = it
		}
	}
	if worst.fault != badItem || len(in) == 1 {
		r.finish(in)
	}
	switch worst.fault {
	case badItem:
		return nil, &itemError{worst.id}
	case downs:
		return nil, errDown
	case panics:
		panic(errDown)
	case exits:
		runtime.Goexit()
	case short:
		return r.commit(in)[1:], nil
	case good:
	}
	return r.commit(in), nil
}

func (r *play) begin(in []planItem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bytes := 0
	for _, it := range in {
		bytes += it.size
	}
	r.runs++
	r.inFlight++
	r.check(r.inFlight <= r.cfg.Parallel, "%d groups in flight", r.inFlight)
	r.check(len(in) >= 1 && len(in) <= r.cfg.MaxItems, "%d items in a run", len(in))
	r.check(len(in) == 1 || bytes <= r.cfg.MaxBytes, "%d bytes in a run of %d", bytes, len(in))
}

func (r *play) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
}

// finish checks the order of the items of a run that decides about them.
func (r *play) finish(in []planItem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, it := range in {
		r.check(r.cfg.Parallel > 1 || it.id > r.lastID, "item %d after item %d", it.id, r.lastID)
		r.lastID = it.id
	}
}

func (r *play) commit(in []planItem) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []int
	for _, it := range in {
		r.commits[it.id]++
		out = append(out, it.id*10)
	}
	return out
}

// check notes what went wrong unless ok. r.mu is held, or all runs have ended.
func (r *play) check(ok bool, format string, args ...any) {
	if !ok {
		r.violations = append(r.violations, fmt.Sprintf(format, args...))
	}
}

// judge checks each call's result against what was committed for it.
func (r *play) judge() {
	present := map[fault]bool{}
	for _, it := range r.items {
		present[it.fault] = true
	}
	for _, it := range r.items {
		got, commits := r.results[it.id], r.commits[it.id]
		r.check(r.allowed(it, got, commits, present), "item %+v got %+v after %d commits", it, got, commits)
	}
	limit := int(2*r.stats.Items - r.stats.Groups)
	r.check(r.runs <= limit, "%d runs for %d items in %d groups", r.runs, r.stats.Items, r.stats.Groups)
}

func (r *play) allowed(it planItem, got result, commits int, present map[fault]bool) bool {
	err := got.err
	var bad *itemError
	var panicked *batch.PanicError
	switch {
	case err == nil:
		return it.fault == good && got.out == it.id*10 && commits == 1
	case errors.As(err, &bad):
		return it.fault == badItem && bad.id == it.id && commits == 0
	case errors.Is(err, batch.ErrInFlight):
		return commits <= 1 && (it.patience > 0 || r.closeAfter > 0)
	case errors.Is(err, context.DeadlineExceeded):
		return commits == 0 && it.patience > 0
	case errors.Is(err, batch.ErrFull):
		return commits == 0 && r.cfg.MaxWaiting > 0
	case errors.Is(err, batch.ErrClosed):
		return commits == 0 && r.closeAfter > 0
	case errors.Is(err, errDown):
		return commits == 0 && present[downs]
	case errors.As(err, &panicked):
		return commits == 0 && present[panics]
	case err.Error() == "batch: run ended its goroutine":
		return commits == 0 && present[exits]
	default: // the wrong number of outputs
		return commits == 1 && present[short]
	}
}

// TestSplitFindsExactlyTheBadItems has no callers who give up and no errors but
// those of bad items, so every call has just one right result.
func TestSplitFindsExactlyTheBadItems(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := plan{cfg: batch.Config{
			MaxItems: rapid.IntRange(1, 40).Draw(rt, "max_items"),
			MaxBytes: rapid.IntRange(1, 200).Draw(rt, "max_bytes"),
			Parallel: rapid.IntRange(1, 4).Draw(rt, "parallel"),
		}}
		badOf := rapid.SampledFrom([]int{1, 2, 5, 20}).Draw(rt, "one_bad_of")
		for id := range rapid.IntRange(1, 80).Draw(rt, "items") {
			it := planItem{id: id, size: rapid.IntRange(0, 30).Draw(rt, "size")}
			it.gap = time.Duration(rapid.SampledFrom([]int{0, 0, 0, 300}).Draw(rt, "gap_us")) * time.Microsecond
			if rapid.IntRange(1, badOf).Draw(rt, "bad") == 1 {
				it.fault = badItem
			}
			p.items = append(p.items, it)
		}
		r := p.play(t)
		require.Empty(rt, r.violations)
		for _, it := range p.items {
			if it.fault == badItem {
				require.Equal(rt, result{err: &itemError{it.id}}, r.results[it.id])
				require.Zero(rt, r.commits[it.id])
			} else {
				require.Equal(rt, result{out: it.id * 10}, r.results[it.id])
				require.Equal(rt, 1, r.commits[it.id])
			}
		}
	})
}

// FuzzGroup plays any mix of limits, faults, impatient callers and closing.
func FuzzGroup(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 7 || len(data) > 400 {
			t.Skip("no calls, or more than a run needs")
		}
		r := planOf(data).play(t)
		require.Empty(t, r.violations)
	})
}

// planOf reads a plan: five bytes for the limits and the closing, then two for
// each call, most of them good. Patience is no multiple of a run's millisecond.
func planOf(data []byte) plan {
	p := plan{cfg: batch.Config{
		MaxItems:   1 + int(data[0]%16),
		MaxBytes:   1 + int(data[1]%64),
		Parallel:   1 + int(data[2]%4),
		MaxWaiting: int(data[3] % 16),
	}}
	p.closeAfter = time.Duration(data[4]%8) * 1700 * time.Microsecond
	for rest := data[5:]; len(rest) >= 2; rest = rest[2:] {
		p.items = append(p.items, planItem{
			id:       len(p.items),
			size:     int(rest[1] % 32),
			fault:    fault(max(0, int(rest[0]%16)-10)),
			gap:      time.Duration(rest[0]>>4%4) * 300 * time.Microsecond,
			patience: time.Duration(rest[1]>>5) * 700 * time.Microsecond,
		})
	}
	return p
}
