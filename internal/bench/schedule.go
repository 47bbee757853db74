package bench

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook/internal/bench/punctual"
)

const (
	// scheduleEndpoints of each kind get deliveries, of which scheduleRate a second are enqueued unless --rate says
	// otherwise: less than what a rate limit of scheduleLimit or 32 requests of 1.2 s at the same time let through.
	scheduleEndpoints = 4
	scheduleRate      = 36
	scheduleLimit     = 20
	scheduleWidth     = 32

	// What is promised, in seconds. clockError is how far off the log's times may be, which come from several processes'
	// measures of the database's clock.
	mostLate       = 2
	mostAfterDeath = 120
	clockError     = .05

	// deathPatience is how long nothing may be settled before what is pending counts as stuck.
	deathPatience = mostAfterDeath * time.Second
)

// Kinds of the endpoints, and the groups in which they are counted: the kind and a number.
const (
	kindShared  = "shared"
	kindLimited = "limited"
	kindSlow    = "slow"
)

// scheduled measures when attempts leave whose receivers always refuse, while worker processes die and stand still.
func (p *play) scheduled(ctx context.Context) error {
	tenants, err := p.refused(ctx)
	if err != nil {
		return err
	}

	c, err := p.newCast(ctx, max(p.cfg.Workers, 3))
	if err != nil {
		return err
	}
	if err := p.enqueueAndBreak(ctx, c, tenants); err != nil {
		return err
	}

	stuck, err := p.awaitNone(ctx, deathPatience)
	if err != nil {
		return err
	}
	p.r.atMost("deliveries that are not settled", float64(stuck), 0)
	return p.reportSchedule(ctx, c)
}

// refused makes the endpoints, each of a tenant of its own with the name of its group, which it returns.
func (p *play) refused(ctx context.Context) (tenants []string, err error) {
	delays := make([]string, len(p.cfg.Schedule))
	for i, d := range p.cfg.Schedule {
		delays[i] = strconv.Quote(d.String())
	}

	for _, kind := range []string{kindShared, kindLimited, kindSlow} {
		more, behaviour := `,"retry_schedule":[`+strings.Join(delays, ",")+`]`, behaveRefuse
		switch kind {
		case kindLimited:
			more += fmt.Sprintf(`,"rate_limit":{"requests":%d}`, scheduleLimit)
		case kindSlow:
			behaviour = behaveSlowRefuse
		}

		for _, tenant := range names(kind, scheduleEndpoints) {
			if err := p.endpoint(ctx, tenant, behaviour, tenant, more); err != nil {
				return nil, err
			}
			tenants = append(tenants, tenant)
		}
	}
	return tenants, nil
}

// enqueueAndBreak enqueues, and breaks processes until the last retries are due if nothing held them up.
func (p *play) enqueueAndBreak(ctx context.Context, c *cast, tenants []string) error {
	rate := p.cfg.Rate
	if rate == 0 {
		rate = scheduleRate
	}

	lasts := time.Duration(float64(p.cfg.Count) / rate * float64(time.Second))
	until := lasts
	for _, d := range p.cfg.Schedule {
		until += d
	}

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := p.lasting(lasts).pulse(gctx, tenants, rate)
		return err
	})
	g.Go(func() error {
		if !p.cfg.Faults {
			return nil
		}
		faultCtx, cancel := context.WithTimeout(gctx, until)
		defer cancel()
		return c.sabotage(faultCtx)
	})
	return g.Wait()
}

// awaitNone waits until no delivery is pending, and returns how many are when none was settled for the time of
// patience.
func (st *stage) awaitNone(ctx context.Context, patience time.Duration) (pending int64, err error) {
	before, since := int64(-1), time.Now()
	for {
		err := st.pool.QueryRow(ctx, "SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'").Scan(&pending)
		if err != nil {
			return 0, fmt.Errorf("counting pending deliveries: %w", err)
		}

		if pending != before {
			before, since = pending, time.Now()
		}
		if pending == 0 || time.Since(since) > patience {
			return pending, nil
		}
		if err := sleepUntil(ctx, time.Now().Add(200*time.Millisecond)); err != nil {
			return 0, err
		}
	}
}

// reportSchedule compares the logs, ours and the receiver's, with the schedule.
func (p *play) reportSchedule(ctx context.Context, c *cast) error {
	requests, err := p.receiver.requests(ctx)
	if err != nil {
		return err
	}
	chains, err := p.chains(ctx, requests)
	if err != nil {
		return err
	}
	lanes, err := p.scheduleLanes(ctx)
	if err != nil {
		return err
	}

	result := punctual.Judge(chains, p.cfg.Schedule, lanes, c.faults)
	if math.IsInf(result.Least, 1) {
		return fmt.Errorf("no delivery of %d has two attempts", len(chains))
	}

	p.r.atLeast("shortest wait less its delay, s, by the receiver", result.LeastReceived, 0)
	p.r.atLeast("shortest wait less its delay, s, by the log", result.Least, -clockError)
	p.reportLate(result, lanes)

	for _, f := range c.faults {
		p.r.count("faults", 1)
		if f.Freeze {
			p.r.count("of them freezes", 1)
		}
		if f.Pacer {
			p.r.count("of them of the process that paces", 1)
		}
	}
	p.r.figure("seed", float64(p.cfg.Seed))
	return nil
}

// reportLate checks how late attempts were, by the kind of their endpoint.
func (p *play) reportLate(result punctual.Result, lanes map[string]punctual.Lane) {
	endpoints := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		kind := strings.TrimRight(name, "0123456789")
		if kind == kindShared && lanes[name].Paced {
			kind = "shared, since slowed,"
		}
		endpoints[kind] = append(endpoints[kind], name)
	}
	for _, kind := range []string{punctual.WaitUnknown, punctual.WaitHeld} {
		endpoints[kind] = []string{kind}
	}

	for _, kind := range slices.Sorted(maps.Keys(endpoints)) {
		late, bound := result.Of(endpoints[kind]...), float64(mostLate)
		if kind == punctual.WaitUnknown || kind == punctual.WaitHeld {
			bound = mostAfterDeath
		}

		most, p99 := punctual.Worst(late)
		p.r.atMost("retries "+kind+" late by s", most, bound)
		p.r.figure("retries "+kind+", p99 late by s", p99)
		p.r.figure("retries "+kind, float64(len(late)))
	}
}

// scheduleLanes returns how fast each endpoint may be asked.
func (p *play) scheduleLanes(ctx context.Context) (map[string]punctual.Lane, error) {
	const query = `SELECT n.tenant_id, n.rate_limit IS NOT NULL, l.endpoint_id IS NOT NULL
		FROM outhook.endpoints AS n LEFT JOIN outhook.lanes AS l ON l.endpoint_id = n.id`
	rows, err := p.pool.Query(ctx, query) //nolint:rowserrcheck // ForEachRow checks it
	if err != nil {
		return nil, fmt.Errorf("reading lanes: %w", err)
	}

	lanes := map[string]punctual.Lane{}
	var name string
	var limited, paced bool
	_, err = pgx.ForEachRow(rows, []any{&name, &limited, &paced}, func() error {
		l := punctual.Lane{Paced: paced, Width: scheduleWidth}
		if limited {
			l.Interval = time.Second / scheduleLimit
		}
		lanes[name] = l
		return nil
	})
	return lanes, err
}

// attemptKey is an attempt of the scenario's, by its endpoint's group.
type attemptKey struct {
	event  uuid.UUID
	group  string
	number int
}

// chains returns what the log has of each delivery, and holds it against what the receiver has got.
func (p *play) chains(ctx context.Context, requests []Request) ([]punctual.Chain, error) {
	received := map[attemptKey]time.Time{}
	for _, r := range requests {
		received[attemptKey{r.EventID, r.Group, r.Number}] = time.Unix(0, r.Nanos)
	}

	const query = `SELECT e.id, e.created_at, n.tenant_id, a.number, a.started_at, coalesce(a.duration_ms, 0),
			a.outcome <> 'unknown', a.outcome = 'rejected'
		FROM outhook.delivery_attempts AS a JOIN outhook.events AS e ON e.id = a.event_id
		JOIN outhook.endpoints AS n ON n.id = a.endpoint_id ORDER BY e.id, a.number`
	rows, err := p.pool.Query(ctx, query) //nolint:rowserrcheck // ForEachRow checks it
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}

	var list []punctual.Chain
	var key attemptKey
	var created time.Time
	var r punctual.Run
	var ms, unsent int64
	var answered bool
	fields := []any{&key.event, &created, &key.group, &key.number, &r.At, &ms, &r.Known, &answered}
	_, err = pgx.ForEachRow(rows, fields, func() error {
		at, arrived := received[key]
		delete(received, key)
		if answered && !arrived {
			unsent++
		}

		if key.number == 1 || len(list) == 0 {
			list = append(list, punctual.Chain{Endpoint: key.group, Due: created})
		}
		r.End, r.Received = r.At.Add(time.Duration(ms)*time.Millisecond), at
		last := &list[len(list)-1]
		last.Runs = append(last.Runs, r)
		return nil
	})

	p.r.atMost("requests without a row", float64(len(received)), 0)
	p.r.atMost("rows of answers without a request", float64(unsent), 0)
	return list, err
}
