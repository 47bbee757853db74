package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// How many of each one key has under way, all at the same time; of what costs us less than who sends it, how many a
// second.
const (
	hostileBodies     = 20 // half-sent, of 200 KB each
	hostileNested     = 8  // payloads of 240 KB that nest 500 levels deep
	hostileStats      = 100
	hostileOperations = 300 // recoveries, of an endpoint each

	hostileConflicts = 120 // a second: batches with an idempotency key that is taken
	hostileGuesses   = 200 // a second: with wrong keys
)

// hostile measures what a tenant notices while one key of another does what costs most, all at once.
func (p *play) hostile(ctx context.Context) error {
	if err := p.startWorkers(ctx, p.cfg.Workers); err != nil {
		return err
	}
	if err := p.endpoint(ctx, "other", behaveQuick, groupHealthy, ""); err != nil {
		return err
	}
	enemy, err := p.newEnemy(ctx)
	if err != nil {
		return err
	}

	alone, _, err := p.accepting(ctx)
	if err != nil {
		return err
	}
	if err := p.receiver.reset(ctx); err != nil {
		return err
	}

	attacked, cancel := context.WithCancel(ctx)
	var running errgroup.Group
	enemy.attack(attacked, &running)
	beside, refused, err := p.accepting(ctx)
	cancel()
	if err := errors.Join(err, running.Wait()); err != nil {
		return err
	}

	counts, err := p.receiver.awaitGroup(ctx, groupHealthy, int64(lonelyRate*p.cfg.Duration.Seconds()))
	if err != nil {
		return err
	}
	p.r.atMost("accept p99 ms", beside.P99, 100)
	p.r.atMost("receipt p99 ms", counts[groupHealthy].ReceiptMS.P99, 1000)
	p.r.atMost("requests that were refused", float64(refused), 0)
	p.r.atMost("peak memory of api MiB", peakMiB(p.parts["api"][0].pid()), 512)
	p.r.figure("accept p99 ms alone", alone.P99)
	p.r.figure("accept p50 ms", beside.P50)
	p.r.figure("requests of the other key that were answered", float64(enemy.answered.Load()))
	p.r.figure("and of them refused", float64(enemy.refused.Load()))
	return nil
}

// enemy is who attacks, with a key that is bound to a tenant.
type enemy struct {
	*play

	key       string
	endpoints []string // ids

	answered, refused atomic.Int64
}

func (p *play) newEnemy(ctx context.Context) (*enemy, error) {
	a, err := p.client(1)
	if err != nil {
		return nil, err
	}
	answer, err := a.post(ctx, "/api/keys", []byte(`{"name":"enemy","scope":"tenant","tenant_id":"enemy"}`))
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	var made struct{ Key string }
	if err := json.Unmarshal(answer, &made); err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}

	e := &enemy{play: p, key: made.Key}
	for range hostileOperations {
		answer, err := a.post(ctx, "/api/endpoints", fmt.Appendf(nil,
			`{"tenant_id":"enemy","event_types":["none"],"url":%q}`, p.receiver.url+"/"+behaveQuick+"/enemy"))
		if err != nil {
			return nil, fmt.Errorf("creating an endpoint: %w", err)
		}
		var endpoint struct{ ID string }
		if err := json.Unmarshal(answer, &endpoint); err != nil {
			return nil, fmt.Errorf("reading an endpoint: %w", err)
		}
		e.endpoints = append(e.endpoints, endpoint.ID)
	}

	taken := []byte(`{"tenant_id":"enemy","type":"a","payload":1,"idempotency_key":"taken"}`)
	_, err = a.post(ctx, "/api/events", taken)
	return e, err
}

// attack begins everything. It ends with ctx.
func (e *enemy) attack(ctx context.Context, running *errgroup.Group) {
	chain := strings.Repeat("[", 500) + strings.Repeat("]", 500)
	nested := `{"tenant_id":"enemy","type":"a","payload":[` + strings.Repeat(chain+",", 239) + chain + `]}`
	conflict := `{"events":[{"tenant_id":"enemy","type":"a","payload":1},` +
		`{"tenant_id":"enemy","type":"b","payload":1,"idempotency_key":"taken"}]}`

	e.repeat(ctx, running, hostileNested, 0, e.key, http.MethodPost, "/api/events", nested)
	e.repeat(ctx, running, hostileStats, 0, e.key, http.MethodGet, "/api/stats", "")
	e.repeat(ctx, running, 8, hostileConflicts, e.key, http.MethodPost, "/api/events/batch", conflict)
	e.repeat(ctx, running, 8, hostileGuesses, "a wrong key of no length", http.MethodGet, "/api/events", "")
	for range hostileBodies {
		running.Go(func() error { e.halfSend(ctx); return nil })
	}
	running.Go(func() error {
		a, err := newAPI(e.url, e.key, 1)
		if err != nil {
			return err
		}
		for _, id := range e.endpoints {
			e.send(ctx, a, http.MethodPost, "/api/endpoints/"+id+"/recover", `{"since":"2026-01-02T03:04:05Z"}`)
		}
		return nil
	})
}

// repeat sends a request over and over on so many connections, each when the one before is answered, or so many a
// second in all if rate is not 0.
func (e *enemy) repeat(
	ctx context.Context, running *errgroup.Group, conns int, rate float64, key, method, path, body string,
) {
	pause := time.Duration(0)
	if rate > 0 {
		pause = time.Duration(float64(conns) / rate * float64(time.Second))
	}

	for range conns {
		running.Go(func() error {
			a, err := newAPI(e.url, key, 1)
			for due := time.Now(); err == nil && ctx.Err() == nil; due = due.Add(pause) {
				if sleepUntil(ctx, due) == nil {
					e.send(ctx, a, method, path, body)
				}
			}
			return err
		})
	}
}

func (e *enemy) send(ctx context.Context, a *api, method, path, body string) {
	if _, err := a.call(ctx, method, path, []byte(body)); err != nil {
		e.refused.Add(1)
	}
	e.answered.Add(1)
}

// halfSend begins bodies, sends a byte of them now and then, and begins anew when the server has enough of it.
func (e *enemy) halfSend(ctx context.Context) {
	u, err := url.Parse(e.url)
	if err != nil {
		return
	}

	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return
		}

		_, err = fmt.Fprintf(conn, "POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: 200000\r\n\r\n{", e.key)
		for err == nil && sleepUntil(ctx, time.Now().Add(time.Second)) == nil {
			_, err = conn.Write([]byte(" "))
		}
		_ = conn.Close()
	}
}
