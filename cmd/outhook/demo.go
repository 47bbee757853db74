package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// demoTenant is the tenant of dev --demo.
const demoTenant = "demo"

// demo is what dev --demo does beside serving: it receives, creates an endpoint for that, and sends it an event.
type demo struct {
	base   string // of the API
	apiKey string
	secret string // of the endpoint
}

// run receives until ctx ends.
func (d demo) run(c *command) error {
	receiver, err := newReceiver(&listenCmd{Secret: d.secret, Status: http.StatusNoContent}, c)
	if err != nil {
		return err
	}

	listener, err := (&net.ListenConfig{}).Listen(c.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the demo: %w", err)
	}

	server := &http.Server{
		Handler: receiver, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return c.ctx },
	}

	stopped := context.AfterFunc(c.ctx, func() { _ = server.Close() })
	defer stopped()

	sent := make(chan error, 1)
	go func() { sent <- d.send(c, "http://"+listener.Addr().String()+"/") }()

	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("receiving for the demo: %w", err)
	}

	if err := <-sent; err != nil && c.ctx.Err() == nil {
		return err
	}
	return nil
}

// send points the demo's endpoint at the receiver, whose port is another at each start, and sends an event.
func (d demo) send(c *command, receiver string) error {
	api, err := apiFlags{URL: d.base, APIKey: d.apiKey, Timeout: 30 * time.Second}.client()
	if err != nil {
		return err
	}

	query := url.Values{"tenant_id": {demoTenant}}
	_, page, err := get[struct{ Items []endpointAnswer }](c.ctx, api, "/api/endpoints", query)
	if err != nil {
		return fmt.Errorf("looking for the demo's endpoint: %w", err)
	}

	method, path := http.MethodPost, "/api/endpoints"
	body := map[string]string{"tenant_id": demoTenant, "url": receiver, "secret": d.secret}
	if len(page.Items) > 0 {
		method, path = http.MethodPatch, path+"/"+page.Items[0].ID.String()
		body = map[string]string{"url": receiver}
	}

	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the demo's endpoint: %w", err)
	}
	if _, err := api.call(c.ctx, method, path, nil, data); err != nil {
		return fmt.Errorf("making the demo's endpoint: %w", err)
	}

	c.printf("\nThe demo receives on %s and sends an event of the tenant %s:\n\n", receiver, demoTenant)

	event := []byte(`{"tenant_id": "` + demoTenant + `", "type": "invoice.paid", "payload": {"id": 17, "amount": 4200}}`)
	if _, err := api.call(c.ctx, http.MethodPost, "/api/events", nil, event); err != nil {
		return fmt.Errorf("sending the demo's event: %w", err)
	}
	return nil
}
