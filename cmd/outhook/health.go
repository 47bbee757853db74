package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

type healthCmd struct {
	Listen  string        `env:"OUTHOOK_LISTEN" default:"${listen}" help:"The address that the server listens on."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Run asks /readyz: for a container's health check, where there is no shell and no curl. That is no operation of the
// API, needs no key, and is asked once, of this machine: so not by package client.
func (h healthCmd) Run(c *command) error {
	host, port, err := net.SplitHostPort(h.Listen)
	if err != nil {
		return fmt.Errorf("OUTHOOK_LISTEN must look like host:port or :port: %w", err)
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}

	ctx, cancel := context.WithTimeout(c.ctx, h.Timeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}

	client := &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	defer res.Body.Close()

	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: status %d", res.StatusCode)
	}
	c.printf("ready\n")
	return nil
}
