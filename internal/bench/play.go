package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook"
)

const (
	crowdSize     = 20 // endpoints, each of a tenant of its own
	crowdHanging  = 4
	crowdRefusing = 2

	crowdRate   = 500 // events a second to all of them, unless --rate says otherwise
	lonelyRate  = 10  // events a second of the tenant beside a burst
	limitedRate = 50

	// callEvents is how many events one call of a burst enqueues.
	callEvents = 1000

	groupHealthy = "healthy"
	groupSlow    = "slow"
	groupAgain   = "again"
)

// play is a scenario that is being run.
type play struct {
	*stage

	url string // of the API
	r   *ScenarioReport
}

// client returns a client of the API for one group of goroutines: its connections end with the context that made them.
func (p *play) client(conns int) (*api, error) { return newAPI(p.url, p.key, conns) }

// DefaultEvents is how many events the mode drain or a scenario is about, unless --events says otherwise.
func DefaultEvents(mode, way string) int {
	if mode == ScenarioBurst && (way == WayLoop || way == WayTrigger) {
		return 30_000
	}

	switch mode {
	case ScenarioBurst:
		return 200_000
	case ScenarioBacklog, ScenarioSteer:
		return 100_000
	case ScenarioSpread, ScenarioLimited:
		return 10_000
	case ScenarioOrder:
		return 20_000
	case ScenarioSchedule:
		return 1000
	}
	return 50_000
}

// endpoint creates one at a behaviour and in a group. more: further members of its JSON, with a comma in front.
func (p *play) endpoint(ctx context.Context, tenant, behaviour, group, more string) error {
	return p.endpointAt(ctx, tenant, p.receiver.url+"/"+behaviour+"/"+group, more)
}

func (p *play) endpointAt(ctx context.Context, tenant, url, more string) error {
	a, err := p.client(1)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes its connection
	return addEndpoint(ctx, a, tenant, url, more)
}

func addEndpoint(ctx context.Context, a *api, tenant, url, more string) error {
	_, err := a.post(ctx, "/api/endpoints", fmt.Appendf(nil, `{"tenant_id":%q,"url":%q%s}`, tenant, url, more))
	if err != nil {
		return fmt.Errorf("creating an endpoint: %w", err)
	}
	return nil
}

// pulse enqueues at a rate over REST, for the tenants in turn, and returns how many were for each.
func (p *play) pulse(ctx context.Context, tenants []string, rate float64) ([]int64, error) {
	var next atomic.Int64
	counts := make([]atomic.Int64, len(tenants))
	cfg := p.cfg
	cfg.Rate = rate

	a, err := p.client(cfg.Conns)
	if err != nil {
		return nil, err
	}

	_, err = generate(ctx, cfg, func(ctx context.Context, _ int, due time.Time) ([]uuid.UUID, error) {
		i := int(next.Add(1)-1) % len(tenants)
		body := fmt.Appendf(nil, `{"tenant_id":%q,"type":%q,"payload":%s}`,
			tenants[i], eventType, payload(due, p.cfg.PayloadBytes))
		if _, err := a.post(ctx, "/api/events", body); err != nil {
			return nil, err
		}
		counts[i].Add(1)
		return []uuid.UUID{{}}, nil
	}, func(int64) {})

	accepted := make([]int64, len(tenants))
	for i := range counts {
		accepted[i] = counts[i].Load()
	}
	return accepted, err
}

// measureGroup pulses and returns what a group of the receiver got of it. Of the tenants the first n have their
// endpoints in that group.
func (p *play) measureGroup(
	ctx context.Context, tenants []string, n int, rate float64, group string,
) (GroupCounts, error) {
	if err := p.receiver.reset(ctx); err != nil {
		return GroupCounts{}, err
	}

	counts, err := p.pulse(ctx, tenants, rate)
	if err != nil {
		return GroupCounts{}, err
	}

	var want int64
	for _, c := range counts[:n] {
		want += c
	}
	got, err := p.receiver.awaitGroup(ctx, group, want)
	if err != nil {
		return GroupCounts{}, err
	}

	if got[group].Count < want {
		return got[group], fmt.Errorf("%d of %d deliveries to %s endpoints did not arrive",
			want-got[group].Count, want, group)
	}
	return got[group], nil
}

// warm sends a moment's events so that connections and plans exist, and waits for them: none may count later.
func (p *play) warm(ctx context.Context, tenants []string, rate float64, group string) error {
	_, err := p.lasting(time.Second).measureGroup(ctx, tenants, len(tenants), rate, group)
	return err
}

// lasting returns a play that pulses for another time.
func (p *play) lasting(d time.Duration) *play {
	other, stage, system := *p, *p.stage, *p.system
	system.cfg.Duration = d
	stage.system, other.stage = &system, &stage
	return &other
}

func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = prefix + strconv.Itoa(i)
	}
	return list
}

// hangTimeout is how long a hanging endpoint may take: the default, or less in a short run.
func (p *play) hangTimeout() string {
	timeout := min(max(p.cfg.Duration/2, time.Second), 15*time.Second)
	return fmt.Sprintf(`,"timeout_ms":%d`, timeout.Milliseconds())
}

func (p *play) rate() float64 {
	if p.cfg.Rate > 0 {
		return p.cfg.Rate
	}
	return crowdRate
}

// healthy makes the endpoints that behave, starts the workers and measures them alone.
func (p *play) healthy(ctx context.Context, tenants []string, rate float64) (GroupCounts, error) {
	for _, tenant := range tenants {
		if err := p.endpoint(ctx, tenant, behaveQuick, groupHealthy, ""); err != nil {
			return GroupCounts{}, err
		}
	}

	if err := p.startWorkers(ctx, p.cfg.Workers); err != nil {
		return GroupCounts{}, err
	}
	if err := p.warm(ctx, tenants, rate, groupHealthy); err != nil {
		return GroupCounts{}, err
	}

	return p.measureGroup(ctx, tenants, len(tenants), rate, groupHealthy)
}

// compare holds what the healthy endpoints got beside bad ones against what they got alone.
func (p *play) compare(alone, beside GroupCounts) {
	p.r.atMost("healthy receipt p99 ms", beside.ReceiptMS.P99, max(1.5*alone.ReceiptMS.P99, 20))
	p.compareRest(alone, beside)
}

// compareRest is what compare does but for the p99.
func (p *play) compareRest(alone, beside GroupCounts) {
	throughput := func(g GroupCounts) float64 { return float64(g.Count) / max(g.seconds(), p.cfg.Duration.Seconds()) }
	p.r.atLeast("healthy deliveries/s", throughput(beside), 0.9*throughput(alone))

	p.r.figure("healthy receipt p50 ms alone", alone.ReceiptMS.P50)
	p.r.figure("healthy receipt p99 ms alone", alone.ReceiptMS.P99)
	p.r.figure("healthy receipt p50 ms", beside.ReceiptMS.P50)
	p.r.figure("healthy receipt max ms", beside.ReceiptMS.Max)
	p.r.figure("healthy deliveries", float64(beside.Count))
}

// dead measures endpoints beside others that hang or refuse.
func (p *play) dead(ctx context.Context) error {
	const bad = crowdHanging + crowdRefusing
	tenants := names("crowd", crowdSize)
	good := crowdSize - bad
	alone, err := p.healthy(ctx, tenants[:good], p.rate()*float64(good)/crowdSize)
	if err != nil {
		return err
	}

	nobody, err := refusing(ctx)
	if err != nil {
		return err
	}
	for i, tenant := range tenants[good:] {
		if i < crowdHanging {
			err = p.endpoint(ctx, tenant, behaveHang, "hanging", p.hangTimeout())
		} else {
			err = p.endpointAt(ctx, tenant, nobody, "")
		}
		if err != nil {
			return err
		}
	}

	beside, err := p.measureGroup(ctx, tenants, good, p.rate(), groupHealthy)
	if err != nil {
		return err
	}

	p.compare(alone, beside)
	return p.lanes(ctx)
}

// lanes reports how many endpoints ended in a lane.
func (p *play) lanes(ctx context.Context) error {
	var n float64
	if err := p.pool.QueryRow(ctx, "SELECT count(*) FROM outhook.endpoints WHERE lane <> ''").Scan(&n); err != nil {
		return fmt.Errorf("counting lanes: %w", err)
	}
	p.r.figure("endpoints with a lane", n)
	return nil
}

// Ways to enqueue a burst in one transaction.
const (
	WayCall    = "call"    // calls of many events each
	WayLoop    = "loop"    // a call for each event
	WayTrigger = "trigger" // a trigger for each row that one statement inserts
)

// enqueueBurst enqueues the scenario's events for a tenant in one transaction, in calls of many each.
func (p *play) enqueueBurst(ctx context.Context, tenant string) error {
	return p.enqueueCalls(ctx, tenant, callEvents)
}

func (p *play) enqueueCalls(ctx context.Context, tenant string, size int) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		for rest := p.cfg.Count; rest > 0; rest -= size {
			events := make([]outhook.Event, min(rest, size))
			body := payload(time.Now(), p.cfg.PayloadBytes)
			for i := range events {
				events[i] = outhook.Event{TenantID: tenant, Type: eventType, Payload: json.RawMessage(body)}
			}

			if _, err := outhook.EnqueueMany(ctx, tx, events); err != nil {
				return fmt.Errorf("enqueueing a burst: %w", err)
			}
		}
		return nil
	})
}

// enqueueRows inserts as many rows into a table with the trigger that docs/languages.md shows.
func (p *play) enqueueRows(ctx context.Context, tenant string) error {
	const trigger = `CREATE FUNCTION business_sent() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM outhook.enqueue(NEW.customer, 'bench.sent', %s);
			RETURN NEW;
		END
		$$;
		CREATE TRIGGER business_sent AFTER INSERT ON business FOR EACH ROW EXECUTE FUNCTION business_sent()`
	body := string(payload(time.Now(), p.cfg.PayloadBytes)) // needs no escapes
	if _, err := p.pool.Exec(ctx, fmt.Sprintf(trigger, "'"+body+"'::text")); err != nil {
		return fmt.Errorf("creating a trigger: %w", err)
	}

	const insert = "INSERT INTO business (customer, amount) SELECT $1, n FROM generate_series(1, $2::integer) AS n"
	_, err := p.pool.Exec(ctx, insert, tenant, p.cfg.Count)
	if err != nil {
		return fmt.Errorf("enqueueing a burst: %w", err)
	}
	return nil
}

// enqueueAnyWay does it as --way says.
func (p *play) enqueueAnyWay(ctx context.Context, tenant string) error {
	switch p.cfg.Way {
	case WayLoop:
		return p.enqueueCalls(ctx, tenant, 1)
	case WayTrigger:
		return p.enqueueRows(ctx, tenant)
	}
	return p.enqueueBurst(ctx, tenant)
}

// burst measures a tenant beside another's burst.
func (p *play) burst(ctx context.Context) error {
	const group = "other"
	tenants := []string{"other"}
	err := errors.Join(
		p.endpoint(ctx, tenants[0], behaveQuick, group, ""),
		p.endpoint(ctx, "burst", behaveQuick, "burst", ""))
	if err != nil {
		return err
	}

	if err := p.startWorkers(ctx, p.cfg.Workers); err != nil {
		return err
	}
	if err := p.warm(ctx, tenants, 100, group); err != nil {
		return err
	}

	alone, err := p.measureGroup(ctx, tenants, 1, lonelyRate, group)
	if err != nil {
		return err
	}

	// A burst harms others when it is committed, too.
	var stored time.Duration
	beside, err := p.measureBeside(ctx, tenants, func(ctx context.Context) error {
		began := time.Now()
		if err := p.enqueueAnyWay(ctx, "burst"); err != nil {
			return err
		}
		stored = time.Since(began)
		return sleepUntil(ctx, time.Now().Add(p.cfg.Duration))
	})
	if err != nil {
		return err
	}

	counts, err := p.receiver.groups(ctx)
	if err != nil {
		return err
	}

	p.beside("other tenant's receipt", alone, beside)
	p.r.figure("other tenant's events", float64(beside.Count))
	p.r.figure("burst committed after s", stored.Seconds())
	p.r.figure("burst delivered meanwhile", float64(counts["burst"].Count))
	return nil
}

// measureBeside pulses for a tenant, whose group has its name, for as long as something is done.
func (p *play) measureBeside(
	ctx context.Context, tenants []string, do func(context.Context) error,
) (GroupCounts, error) {
	if err := p.receiver.reset(ctx); err != nil {
		return GroupCounts{}, err
	}

	var sent int64
	done := make(chan struct{})
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(done)
		return do(gctx)
	})
	g.Go(func() (err error) {
		sent, err = p.pulseUntil(gctx, tenants, done)
		return err
	})
	if err := g.Wait(); err != nil {
		return GroupCounts{}, err
	}

	counts, err := p.receiver.awaitGroup(ctx, tenants[0], sent)
	p.r.atMost("other tenant's deliveries that did not arrive", float64(sent-counts[tenants[0]].Count), 0)
	return counts[tenants[0]], err
}

// pulseUntil pulses for a tenant until done is closed, and returns how many events that were.
func (p *play) pulseUntil(ctx context.Context, tenants []string, done <-chan struct{}) (sent int64, err error) {
	for {
		counts, err := p.lasting(time.Second).pulse(ctx, tenants, lonelyRate)
		if err != nil {
			return sent, err
		}
		sent += counts[0]

		select {
		case <-done:
			return sent, nil
		default:
		}
	}
}

// beside holds the p99 of a tenant against what it was alone.
func (p *play) beside(name string, alone, beside GroupCounts) {
	p.r.atMost(name+" p99 ms", beside.ReceiptMS.P99, max(3*alone.ReceiptMS.P99, 50))
	p.r.figure(name+" p99 ms alone", alone.ReceiptMS.P99)
	p.r.figure(name+" p50 ms alone", alone.ReceiptMS.P50)
	p.r.figure(name+" p50 ms", beside.ReceiptMS.P50)
	p.r.figure(name+" max ms", beside.ReceiptMS.Max)
}

// backlogged measures endpoints beside one that is slow and has a long backlog.
func (p *play) backlogged(ctx context.Context) error {
	tenants := names("crowd", crowdSize-crowdHanging-crowdRefusing)
	alone, err := p.healthy(ctx, tenants, p.rate())
	if err != nil {
		return err
	}

	if err := p.endpoint(ctx, groupSlow, behaveSlow, groupSlow, ""); err != nil {
		return err
	}
	if err := p.enqueueBurst(ctx, groupSlow); err != nil {
		return err
	}

	beside, err := p.measureGroup(ctx, tenants, len(tenants), p.rate(), groupHealthy)
	if err != nil {
		return err
	}
	counts, err := p.receiver.groups(ctx)
	if err != nil {
		return err
	}

	p.compare(alone, beside)
	p.r.figure("slow endpoint's requests at once", float64(counts[groupSlow].MaxAtOnce))
	return p.lanes(ctx)
}

// replayed measures endpoints beside an operation that replays what another one got.
func (p *play) replayed(ctx context.Context) error {
	tenants := names("crowd", crowdSize-crowdHanging-crowdRefusing)
	alone, err := p.healthy(ctx, tenants, p.rate())
	if err != nil {
		return err
	}

	if err := p.endpoint(ctx, groupAgain, behaveQuick, groupAgain, ""); err != nil {
		return err
	}
	if err := p.enqueueBurst(ctx, groupAgain); err != nil {
		return err
	}

	if _, err := p.receiver.awaitGroup(ctx, groupAgain, int64(p.cfg.Count)); err != nil {
		return err
	}
	if err := p.awaitSettled(ctx); err != nil {
		return err
	}

	a, err := p.client(1)
	if err != nil {
		return err
	}
	order := fmt.Appendf(nil, `{"tenant_id":%q,"since":%q,"states":["succeeded"]}`,
		groupAgain, time.Now().Add(-time.Hour).Format(time.RFC3339))
	if _, err := a.post(ctx, "/api/operations", order); err != nil {
		return fmt.Errorf("ordering a replay: %w", err)
	}

	beside, err := p.measureGroup(ctx, tenants, len(tenants), p.rate(), groupHealthy)
	if err != nil {
		return err
	}
	counts, err := p.receiver.groups(ctx)
	if err != nil {
		return err
	}

	p.r.atMost("healthy receipt p99 ms", beside.ReceiptMS.P99, min(3*alone.ReceiptMS.P99, 250))
	p.compareRest(alone, beside)
	p.r.figure("replayed deliveries", float64(counts[groupAgain].Count))
	p.r.figure("replayed in s", counts[groupAgain].seconds())
	return nil
}
