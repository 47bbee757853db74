package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// stuck is how long toxiproxy may take to change what is on a wire. It can hang for ever: while it changes a
// connection whose reader has just died, which no longer takes what the change waits for.
const stuck = 10 * time.Second

// wire is the network between one process (or the clients) and Postgres.
type wire struct {
	name     string
	listen   string
	upstream string
	fault    sync.Mutex // held while a fault acts on it

	mu    sync.Mutex
	proxy *toxiproxy.Proxy
}

func newWire(name, upstream string) (*wire, error) {
	w := &wire{name: name, listen: "127.0.0.1:0", upstream: upstream}
	return w, w.lay()
}

// lay makes the proxy, in place of the one that there was, whose connections are closed.
func (w *wire) lay() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.proxy != nil {
		go w.proxy.Stop()
	}

	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) { // until the port is free
		proxy := toxiproxy.NewProxy(server, w.name, w.listen, w.upstream)
		err := proxy.Start()
		if err == nil {
			w.proxy, w.listen = proxy, proxy.Listen
			return nil
		}
		if time.Since(began) > stuck {
			return fmt.Errorf("starting the proxy of %s: %w", w.name, err)
		}
	}
}

// current returns the proxy.
func (w *wire) current() *toxiproxy.Proxy {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.proxy
}

// change changes what is on the wire, or lays it anew if that hangs.
func (w *wire) change(run func(*toxiproxy.Proxy) error) error {
	done, proxy := make(chan error, 1), w.current()
	go func() { done <- run(proxy) }()

	select {
	case err := <-done:
		return err
	case <-time.After(stuck):
		return w.lay()
	}
}

// through returns a database's URL by way of this wire.
func (w *wire) through(database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", fmt.Errorf("parsing the database's URL: %w", err)
	}

	u.Host = w.listen
	return u.String(), nil
}

// toxic is one of toxiproxy's, on the direction "upstream" (to Postgres) or "downstream" (from it).
type toxic struct {
	Name       string           `json:"name"`
	Type       string           `json:"type"`
	Stream     string           `json:"stream"`
	Attributes map[string]int64 `json:"attributes"`
}

// cut closes all connections and refuses new ones for a time.
func (w *wire) cut(ctx context.Context, length time.Duration) error {
	if err := w.change(func(p *toxiproxy.Proxy) error { p.Stop(); return nil }); err != nil {
		return err
	}
	wait(ctx, length)

	if err := w.current().Start(); err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		return fmt.Errorf("mending the wire of %s: %w", w.name, err)
	}
	return nil
}

// poison adds toxics.
func (w *wire) poison(toxics ...toxic) error {
	for _, t := range toxics {
		body, err := json.Marshal(t)

		if err == nil {
			err = w.change(func(p *toxiproxy.Proxy) error {
				_, err := p.Toxics.AddToxicJson(bytes.NewReader(body))
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("poisoning the wire of %s: %w", w.name, err)
		}
	}
	return nil
}

// heal removes toxics.
func (w *wire) heal(ctx context.Context, toxics ...toxic) error {
	for _, t := range toxics {
		err := w.change(func(p *toxiproxy.Proxy) error {
			if p.Toxics.GetToxic(t.Name) == nil {
				return nil
			}
			return p.Toxics.RemoveToxic(ctx, t.Name)
		})
		if err != nil {
			return fmt.Errorf("healing the wire of %s: %w", w.name, err)
		}
	}
	return nil
}
