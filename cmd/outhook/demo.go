package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/outhook/outhook/cmd/outhook/internal/demo"
	"github.com/outhook/outhook/internal/signature"
)

// demoConns is how many connections dev --demo enqueues by.
const demoConns = 2

// demoRun is what dev --demo does beside serving.
type demoRun struct {
	api      apiFlags
	database string          // its URL
	secret   string          // of the endpoints
	link     string          // that opens the console, as dev prints it; "": there is none
	stopped  <-chan struct{} // closed once nobody delivers any more
}

// demo runs the demo until ctx ends. The server goes on without it.
func (d *devCmd) demo(ctx context.Context, c *command, address devAddress, run demoRun) {
	run.api = apiFlags{URL: address.URL, APIKey: address.APIKey, Timeout: 30 * time.Second}
	if d.Console {
		run.link = d.consoleLink(c, address.URL)
	}

	if err := run.run(ctx, c); err != nil {
		_, _ = fmt.Fprintln(c.stderr, "outhook: the demo:", explained(ctx, err))
		run.tellLink(c)
	}
}

// run lives in a world of its own until ctx ends, and keeps its receivers until those who deliver have stopped.
func (d demoRun) run(ctx context.Context, c *command) error {
	secret, err := signature.ParseSecret(d.secret)
	if err != nil {
		return fmt.Errorf("reading the kept secret: %w", err)
	}
	first, err := newReceiver(&listenCmd{Secret: d.secret, Status: http.StatusNoContent}, c)
	if err != nil {
		return err
	}

	api, err := d.api.client()
	if err != nil {
		return err
	}
	pool, err := openPool(ctx, d.database, "outhook demo", demoConns)
	if err != nil {
		return err
	}
	defer pool.Close()

	world, err := demo.New(ctx, demo.Config{API: api, Pool: pool, Secret: secret, First: first})
	if err != nil {
		return err
	}
	defer world.Close()

	c.printf("\nThe demo's endpoints are inside this process. The first webhook that arrives:\n\n")
	err = world.Run(ctx, func() { d.guide(c) })
	if ctx.Err() == nil {
		return err
	}
	<-d.stopped
	return nil
}

// guide says what is worth a look, and ends with where.
func (d demoRun) guide(c *command) {
	c.printf(`
northwind (a shop), globex (subscriptions) and initech (an office) have %d events a second from now on:

  Live         each request as it is answered
  Endpoints    northwind's warehouse is slow and its analytics limited, globex's crm fails and its old-crm is gone,
               initech's staging is paused
  Events       a cart.abandoned, a customer.updated, a session.started: why each endpoint got it, or did not
  Operations   what initech's reports missed while they were down, delivered again

Ctrl-C stops everything.
`, demo.EventsPerSecond)
	d.tellLink(c)
}

func (d demoRun) tellLink(c *command) {
	if d.link != "" {
		c.printf("\nConsole    %s\n", d.link)
	}
}
