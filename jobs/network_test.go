package jobs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/jobs"
)

// While this machine has no local port left nothing is counted against the receiver: no attempt, no delay. The process
// says so, and goes on when there are ports again.
func TestLackOfLocalPortsCountsForNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, once(), withURL(strings.Replace(b.receiver.URL, "127.0.0.1", "receiver.example", 1)))
	eventID := b.enqueue(t, `{}`)

	var lacking atomic.Bool
	lacking.Store(true)
	cfg := b.config(t)
	var err error
	cfg.Deliver.Egress, err = egress.New(egress.Config{
		Allow:    []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Resolver: resolver(&lacking),
	})
	require.NoError(t, err)
	client := b.start(t, cfg)

	eventually(t, func() bool { return errors.Is(client.Ready(b.ctx), jobs.ErrNoNetwork) },
		func() any { return client.Ready(b.ctx) })
	require.ErrorContains(t, client.Ready(b.ctx), syscall.EADDRNOTAVAIL.Error())
	require.Empty(t, b.attempts(t, eventID))
	require.Zero(t, b.delivery(t, eventID, endpointID).TryCount)

	lacking.Store(false)
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Len(t, b.attempts(t, eventID), 1)
	require.NoError(t, client.Ready(b.ctx))
}

// resolver answers 127.0.0.1, unless this machine lacks what it needs to ask.
func resolver(lacking *atomic.Bool) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		if lacking.Load() {
			return nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}
		}
		ours, theirs := net.Pipe()
		go answerLoopback(theirs)
		return ours, ours.SetDeadline(time.Now().Add(time.Minute))
	}}
}

// answerLoopback answers one question: IPv4 addresses are 127.0.0.1, there are no others. Its form is that of DNS over TCP.
func answerLoopback(conn net.Conn) {
	defer conn.Close()
	var length uint16
	if binary.Read(conn, binary.BigEndian, &length) != nil {
		return
	}
	packet := make([]byte, length)
	if _, err := io.ReadFull(conn, packet); err != nil {
		return
	}
	var m dnsmessage.Message
	if m.Unpack(packet) != nil {
		return
	}

	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	packed, err := m.Pack()
	if err != nil {
		return
	}
	_, _ = conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(packed))))
	_, _ = conn.Write(packed)
}
