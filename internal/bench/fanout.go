package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

const (
	fanOutEndpoints = 1000
	fanOutConns     = 8

	// fanOutEvents of fanOutEndpoints each are as many deliveries as the API takes in a request.
	fanOutEvents = 10
)

// fanOut measures what a tenant notices that sends 10 events a second while another, with many endpoints, sends batches
// as fast as it can.
func (p *play) fanOut(ctx context.Context) error {
	if err := p.startWorkers(ctx, p.cfg.Workers); err != nil {
		return err
	}
	if err := p.endpoint(ctx, "other", behaveQuick, groupHealthy, ""); err != nil {
		return err
	}

	many := make([]string, fanOutEndpoints)
	for i := range many {
		many[i] = "many"
	}
	if err := p.endpoints(ctx, many, "many"); err != nil {
		return err
	}

	alone, _, err := p.accepting(ctx)
	if err != nil {
		return err
	}

	var batches atomic.Int64
	crowded, cancel := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(crowded)
	for range fanOutConns {
		g.Go(func() error { return p.sendBatches(gctx, "many", &batches) })
	}

	beside, refused, err := p.accepting(ctx)
	cancel()
	if err := errors.Join(err, g.Wait()); err != nil {
		return err
	}

	p.r.atMost("accept p99 ms beside a fan-out", beside.P99, max(3*alone.P99, 100))
	p.r.atMost("requests that were refused", float64(refused), 0)
	p.r.figure("accept p99 ms alone", alone.P99)
	p.r.figure("accept p50 ms beside a fan-out", beside.P50)
	p.r.figure(fmt.Sprintf("batches of %d deliveries accepted", fanOutEvents*fanOutEndpoints), float64(batches.Load()))
	return nil
}

// accepting sends events of the tenant other at 10 a second for the run's duration, and returns how long their
// requests took and how many of them were refused.
func (p *play) accepting(ctx context.Context) (Latency, int64, error) {
	var refused atomic.Int64
	cfg := p.cfg
	cfg.Rate, cfg.Conns = lonelyRate, fanOutConns
	a, err := p.client(cfg.Conns)
	if err != nil {
		return Latency{}, 0, err
	}

	l, err := generate(ctx, cfg, func(ctx context.Context, _ int, due time.Time) ([]uuid.UUID, error) {
		body := fmt.Appendf(nil, `{"tenant_id":"other","type":%q,"payload":%s}`, eventType, payload(due, p.cfg.PayloadBytes))
		if _, err := a.post(ctx, "/api/events", body); err != nil {
			refused.Add(1)
		}
		return nil, ctx.Err()
	}, func(int64) {})
	if err != nil {
		return Latency{}, 0, err
	}
	return newLatency(l.latency), refused.Load(), nil
}

// sendBatches sends one batch after the other until ctx ends. What is refused is sent again.
func (p *play) sendBatches(ctx context.Context, tenant string, accepted *atomic.Int64) error {
	a, err := p.client(1)
	if err != nil {
		return err
	}

	event := fmt.Sprintf(`{"tenant_id":%q,"type":%q,"payload":1}`, tenant, eventType)
	body := []byte(`{"events":[` + strings.Repeat(event+",", fanOutEvents-1) + event + `]}`)
	for ctx.Err() == nil {
		if _, err := a.post(ctx, "/api/events/batch", body); err == nil {
			accepted.Add(1)
		}
	}
	return nil
}
