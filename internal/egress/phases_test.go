package egress_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

// A first request tells what the name, the connection, TLS and the receiver took, one on the same connection of the
// receiver alone; and the parts are not longer than the whole.
func TestPhases(t *testing.T) {
	t.Parallel()
	const think = 30 * time.Millisecond
	a := newAuthority(t)
	slow := func(http.ResponseWriter, *http.Request) { <-time.After(think) }
	whole := func(res egress.Result) time.Duration {
		return res.Phases.LookUp + res.Phases.Connect + res.Phases.Handshake + res.Phases.FirstByte
	}
	for name, protocols := range map[string][]string{"HTTP1": nil, "HTTP2": {"h2"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := setup(t, egress.Config{RootCAs: a.pool, IdleTimeout: time.Minute, Resolver: serveDNS(t, always("127.0.0.1"))})
			server := serveTLS(t, a.config(t, "receiver.example", time.Now().Add(time.Hour), protocols...), slow)
			url := byName(t, server.Listener.Addr().String(), "https", "receiver.example")

			first := post(t, client, url)
			require.Equal(t, egress.Succeeded, first.Outcome, first.Error)
			require.Positive(t, first.Phases.LookUp)
			require.Positive(t, first.Phases.Connect)
			require.Positive(t, first.Phases.Handshake)
			require.GreaterOrEqual(t, first.Phases.FirstByte, think)
			require.LessOrEqual(t, whole(first), first.Duration)

			again := post(t, client, url)
			require.GreaterOrEqual(t, again.Phases.FirstByte, think)
			require.Equal(t, egress.Phases{FirstByte: again.Phases.FirstByte}, again.Phases, "the connection was there")
		})
	}

	t.Run("AnAddressIsNotLookedUp", func(t *testing.T) {
		t.Parallel()
		res := post(t, setup(t, egress.Config{}), serve(t, slow).URL)
		require.Positive(t, res.Phases.Connect)
		require.Zero(t, res.Phases.LookUp)
		require.Zero(t, res.Phases.Handshake)
	})

	t.Run("WhatDidNotEndHasNoTime", func(t *testing.T) {
		t.Parallel()
		client := setup(t, egress.Config{Resolver: serveDNS(t, always("127.0.0.1"))})
		silent := serveRaw(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		res := postRequest(t, client, egress.Request{
			URL: byName(t, silent.address, "https", "receiver.example"), Body: []byte("1"), Timeout: 300 * time.Millisecond,
		})
		require.Equal(t, "timeout: in the TLS handshake", res.Error)
		require.Positive(t, res.Phases.LookUp)
		require.Positive(t, res.Phases.Connect)
		require.Zero(t, res.Phases.Handshake)
		require.Zero(t, res.Phases.FirstByte)
	})
}
