package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/outhook/outhook/api/client"
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

	found, err := api.ListEndpoints(c.ctx, client.ListEndpointsParams{TenantID: demoTenant})
	if err != nil {
		return fmt.Errorf("looking for the demo's endpoint: %w", explained(c.ctx, err))
	}

	if len(found.Items) > 0 {
		change := client.EndpointChange{URL: client.Set(receiver)}
		_, err = api.UpdateEndpoint(c.ctx, found.Items[0].ID, change, client.UpdateEndpointParams{})
	} else {
		endpoint := client.NewEndpoint{TenantID: demoTenant, URL: receiver, Secret: &d.secret}
		_, err = api.CreateEndpoint(c.ctx, endpoint, client.CreateEndpointParams{})
	}
	if err != nil {
		return fmt.Errorf("making the demo's endpoint: %w", explained(c.ctx, err))
	}

	c.printf("\nThe demo receives on %s and sends an event of the tenant %s:\n\n", receiver, demoTenant)

	event := client.NewEvent{
		TenantID: demoTenant, Type: "invoice.paid", Payload: json.RawMessage(`{"id": 17, "amount": 4200}`),
	}
	if _, err := api.CreateEvent(c.ctx, event, client.CreateEventParams{}); err != nil {
		return fmt.Errorf("sending the demo's event: %w", explained(c.ctx, err))
	}
	return nil
}
