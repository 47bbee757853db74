package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/procfs"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook"
)

// spread measures one endpoint with many events, many endpoints of one tenant with one event, and many tenants with one
// endpoint and one event each.
func (p *play) spread(ctx context.Context) error {
	n := p.cfg.Count
	if err := p.startWorkers(ctx, p.cfg.Workers); err != nil {
		return err
	}

	if err := p.endpoint(ctx, "one", behaveQuick, "one", ""); err != nil {
		return err
	}
	err := p.spreadPart(ctx, "1 endpoint × N events", "one", n, func() error {
		return p.enqueueBurst(ctx, "one")
	})
	if err != nil {
		return err
	}

	wide, many := make([]string, n), names("tenant", n)
	for i := range wide {
		wide[i] = "wide"
	}
	if err := p.endpoints(ctx, wide, "wide"); err != nil {
		return err
	}
	err = p.spreadPart(ctx, "N endpoints × 1 event", "wide", n, func() error {
		return p.enqueueCall(ctx, []outhook.Event{{
			TenantID: "wide", Type: eventType, Payload: payload(time.Now(), p.cfg.PayloadBytes),
		}})
	})
	if err != nil {
		return err
	}

	if err := p.endpoints(ctx, many, "many"); err != nil {
		return err
	}
	return p.spreadPart(ctx, "N tenants × 1 event", "many", n, func() error {
		for part := range chunks(many, callEvents) {
			events := make([]outhook.Event, len(part))
			for i, tenant := range part {
				events[i] = outhook.Event{TenantID: tenant, Type: eventType, Payload: payload(time.Now(), p.cfg.PayloadBytes)}
			}

			if err := p.enqueueCall(ctx, events); err != nil {
				return err
			}
		}
		return nil
	})
}

// enqueueCall enqueues by one call.
func (p *play) enqueueCall(ctx context.Context, events []outhook.Event) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		_, err := outhook.EnqueueMany(ctx, tx, events)
		return err
	})
}

// endpoints makes one for each of the tenants, which may repeat.
func (p *play) endpoints(ctx context.Context, tenants []string, group string) error {
	return p.endpointsAt(ctx, tenants, behaveQuick+"/"+group, "")
}

// endpointsAt makes them at a path of the receiver. more: as in endpoint.
func (p *play) endpointsAt(ctx context.Context, tenants []string, path, more string) error {
	const conns = 8
	a, err := p.client(conns)
	if err != nil {
		return err
	}

	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(conns)
	for _, tenant := range tenants {
		g.Go(func() error { return addEndpoint(ctx, a, tenant, p.receiver.url+"/"+path, more) })
	}
	return g.Wait()
}

// spreadPart enqueues, and waits until n deliveries of a group have arrived and are in the log.
func (p *play) spreadPart(ctx context.Context, name, group string, n int, enqueue func() error) error {
	if err := p.receiver.reset(ctx); err != nil {
		return err
	}

	began := time.Now()
	if err := enqueue(); err != nil {
		return fmt.Errorf("enqueueing: %w", err)
	}
	p.r.figure(name+": enqueued after s", time.Since(began).Seconds())

	counts, err := p.receiver.awaitGroup(ctx, group, int64(n))
	if err != nil {
		return err
	}
	if err := p.awaitSettled(ctx); err != nil {
		return err
	}

	p.r.atLeast(name+": delivered", float64(counts[group].Count), float64(n))
	p.r.figure(name+": delivered and logged after s", time.Since(began).Seconds())
	for _, part := range []string{"api", "worker"} {
		peak := 0.0
		for _, c := range p.parts[part] {
			peak = max(peak, peakMiB(c.pid()))
		}
		p.r.figure(name+": peak memory of "+part+" MiB", peak)
	}
	return nil
}

// peakMiB returns the largest resident size of a process so far, 0 where the system does not tell.
func peakMiB(pid int) float64 {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	status, err := proc.NewStatus()
	if err != nil {
		return 0
	}
	return float64(status.VmHWM) / (1 << 20)
}

// limited measures the rate that an endpoint with a rate limit and a long backlog gets from several workers.
func (p *play) limited(ctx context.Context) error {
	limit := fmt.Sprintf(`,"rate_limit":{"requests":%d}`, limitedRate)
	if err := p.endpoint(ctx, "limited", behaveQuick, "limited", limit); err != nil {
		return err
	}
	if err := p.enqueueBurst(ctx, "limited"); err != nil {
		return err
	}

	if err := p.startWorkers(ctx, max(p.cfg.Workers, 3)); err != nil {
		return err
	}
	if _, err := p.receiver.awaitGroup(ctx, "limited", limitedRate/2); err != nil { // it has begun
		return err
	}

	m, err := p.begin(ctx)
	if err != nil {
		return err
	}
	if err := p.receiver.reset(ctx); err != nil {
		return err
	}
	if err := sleepUntil(ctx, time.Now().Add(p.cfg.Duration)); err != nil {
		return err
	}

	counts, err := p.receiver.groups(ctx)
	if err != nil {
		return err
	}
	wal, err := p.walPosition(ctx)
	if err != nil {
		return fmt.Errorf("reading the WAL position: %w", err)
	}

	cpu := p.cpu()
	got := counts["limited"]
	rate := float64(got.Count-1) / got.seconds()
	p.r.atLeast("requests/s", rate, 0.9*limitedRate)
	p.r.atMost("requests/s", rate, 1.1*limitedRate)

	var again float64
	count := "SELECT count(*) FROM outhook.delivery_attempts WHERE number > 1"
	if err := p.pool.QueryRow(ctx, count).Scan(&again); err != nil {
		return fmt.Errorf("counting attempts: %w", err)
	}

	p.r.atMost("attempts beyond the first", again, 0)
	p.r.figure("deliveries", float64(got.Count))
	p.r.figure("WAL bytes per delivery", perEvent(float64(wal-m.wal), int(got.Count)))
	for _, part := range []string{"worker", "postgres"} {
		p.r.figure("CPU of "+part+", share of a core", (cpu[part]-m.cpu[part])/p.cfg.Duration.Seconds())
	}
	return nil
}
