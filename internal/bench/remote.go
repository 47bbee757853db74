package bench

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

// runRemote measures a running server from outside: what it accepts and what arrives here.
func runRemote(ctx context.Context, cfg Config) (*Report, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.ReceiverAddress)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w (choose another with --receiver-address)", cfg.ReceiverAddress, err)
	}

	receiverCtx, stop := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(receiverCtx)
	g.Go(func() error { return NewReceiver(cfg.AnswerBytes, cfg.FailFirst).Serve(gctx, l) })

	r := newReport(cfg)
	f, err := measureRemote(ctx, cfg, "http://"+l.Addr().String())
	stop()
	if serveErr := g.Wait(); err == nil {
		err = serveErr
	}
	if err != nil {
		return nil, err
	}

	r.add("", f)
	r.finish()
	return r, nil
}

func measureRemote(ctx context.Context, cfg Config, receiverURL string) (*Figures, error) {
	receiver := newRemote(receiverURL)
	a, err := newAPI(cfg.URL, cfg.Key, cfg.Conns)
	if err != nil {
		return nil, err
	}

	// A tenant of this run's own, or the endpoints of the run before would get its events too.
	cfg.Tenant = fmt.Sprintf("bench-%d", time.Now().UnixMilli())
	if err := a.addEndpoints(ctx, cfg, receiverURL); err != nil {
		return nil, err
	}

	began, progress := time.Now(), func(int64) {}
	l, err := generate(ctx, cfg, enqueueREST([]*api{a}, cfg), progress)
	if err != nil {
		return nil, err
	}
	if err := receiver.await(ctx, int64(len(l.ids)*cfg.Endpoints), patience, progress); err != nil {
		return nil, err
	}

	got, err := receiver.receipts(ctx, "/receipts")
	if err != nil {
		return nil, err
	}

	f := &Figures{
		Accepted:      int64(len(l.ids)),
		Delivered:     got.Count,
		AcceptedPerS:  perSecond(int64(len(l.ids)), l.ended.Sub(began)),
		DeliveredPerS: perSecond(got.Count, time.Unix(0, got.LastNanos).Sub(began)),
		AcceptMS:      newLatency(l.latency),
		ReceiptMS:     got.latency(),
	}
	f.Lost, f.Duplicates, err = receiver.compare(ctx, l.ids, cfg.Endpoints)
	return f, err
}
