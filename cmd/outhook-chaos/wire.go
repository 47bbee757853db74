package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// wire is the network between one process (or the clients) and Postgres.
type wire struct {
	name  string
	proxy *toxiproxy.Proxy
	fault sync.Mutex // held while a fault acts on it
}

func newWire(name, upstream string) (*wire, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &wire{name: name, proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}

	if err := w.proxy.Start(); err != nil {
		return nil, fmt.Errorf("starting the proxy of %s: %w", name, err)
	}

	return w, nil
}

// through returns a database's URL by way of this wire.
func (w *wire) through(database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", fmt.Errorf("parsing the database's URL: %w", err)
	}

	u.Host = w.proxy.Listen
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
	w.proxy.Stop()
	wait(ctx, length)

	if err := w.proxy.Start(); err != nil {
		return fmt.Errorf("mending the wire of %s: %w", w.name, err)
	}
	return nil
}

// poison adds toxics.
func (w *wire) poison(toxics ...toxic) error {
	for _, t := range toxics {
		body, err := json.Marshal(t)
		if err == nil {
			_, err = w.proxy.Toxics.AddToxicJson(bytes.NewReader(body))
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
		if w.proxy.Toxics.GetToxic(t.Name) == nil {
			continue
		}
		if err := w.proxy.Toxics.RemoveToxic(ctx, t.Name); err != nil {
			return fmt.Errorf("healing the wire of %s: %w", w.name, err)
		}
	}
	return nil
}
