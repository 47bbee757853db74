package egress

import (
	"context"
	"net"
	"time"
)

// Control is what the dialer asks right before it connects.
func (c *Client) Control(network, address string) error {
	return c.guard.control(context.Background(), network, address, nil)
}

// Unreached makes the last host that was reached an old one.
func (c *Client) Unreached() {
	c.outage.reached.Store(time.Now().Add(-outageAfter).UnixNano())
}

// MaxSilence makes HTTP/2 connections that say nothing get no new requests sooner.
func (c *Client) MaxSilence(d time.Duration) { c.pool.SetMaxSilence(d) }

// Ours returns what this machine is in want of, after a host failed with err.
func (c *Client) Ours(host string, err error) string { return c.ours(traced{host: host}, err) }

// NewResolver is newResolver.
func NewResolver(dial func(ctx context.Context, network, address string) (net.Conn, error)) *net.Resolver {
	return newResolver(dial)
}

// NewIdentityConn is newIdentityConn; begin is to be called with the connection when a request gets it.
func NewIdentityConn(conn net.Conn) net.Conn { return newIdentityConn(conn) }

// BeginIdentity says that a request is about to be written to conn.
func BeginIdentity(conn net.Conn) {
	if c, ok := conn.(*identityConn); ok {
		c.begin()
	}
}

// Hosts returns how many hosts the client's pool knows.
func (c *Client) Hosts() int { return c.pool.Hosts() }
