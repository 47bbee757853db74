package main

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/stretchr/testify/require"
)

// The server hears what was asked, the one that asked hears nothing any more, and another's answer comes.
func TestOneAnswerIsLost(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 10)
	server, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go answer(conn, heard)
		}
	}()

	toxics.Register(toxicLostAnswer, new(lostAnswer))
	w, err := newWire("test", server.Addr().String())
	require.NoError(t, err)
	t.Cleanup(w.current().Stop)
	require.NoError(t, w.poison(toxic{
		Name: toxicLostAnswer, Type: toxicLostAnswer, Stream: "downstream", Attributes: map[string]int64{"of": 1},
	}))
	ask := func(tag string) string {
		conn, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "tcp", w.current().Listen)
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte(tag))
		require.NoError(t, err)
		got := make([]byte, len(tag))
		n, _ := io.ReadFull(conn, got)
		require.Equal(t, tag, <-heard)
		return string(got[:n])
	}

	require.Equal(t, "SELECT 1\x00", ask("SELECT 1\x00"), "not what is to be lost")
	require.Equal(t, "UPDATE 0\x00", ask("UPDATE 0\x00"), "nothing was changed")
	require.Empty(t, ask("UPDATE 1\x00"))
	require.Equal(t, "UPDATE 2\x00", ask("UPDATE 2\x00"), "one is lost, not two")
	added, ok := w.current().Toxics.GetToxic(toxicLostAnswer).Toxic.(*lostAnswer)
	require.True(t, ok)
	require.True(t, added.await(t.Context()))
}

// answer repeats what it hears, as a server that carries it out.
func answer(conn net.Conn, heard chan<- string) {
	defer conn.Close()
	buffer := make([]byte, 100)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		heard <- string(buffer[:n])
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}
