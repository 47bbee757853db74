package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsPatience is how long a name server may be silent before it is asked once more, without EDNS: servers and firewalls
// that know no EDNS may drop such questions. The answer to the first question is still waited for, and a packet that
// was lost is asked again by this too.
const dnsPatience = time.Second

// newResolver returns a resolver that asks the system's name servers through dial, which returns connections of package
// net as they are. Go's own resolver puts an OPT record (EDNS, RFC 6891) into every question, and takes what a server
// that knows none has to say about it for the answer; this one asks such a server once more without.
func newResolver(dial func(ctx context.Context, network, address string) (net.Conn, error)) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}

		switch conn := conn.(type) {
		case *net.UDPConn:
			return &dnsConn{UDPConn: conn}, nil
		case *net.TCPConn:
			return dnsStream{conn}, nil
		}
		return conn, nil
	}}
}

// dnsConn is a resolver's connection for one question over UDP.
type dnsConn struct {
	*net.UDPConn

	deadline time.Time // the resolver's
	id       uint16
	plain    []byte // the question without OPT; nil when it has been asked, or if there is none
	refusals int    // of the question with OPT that may still come when the plain one has been asked
}

// SetDeadline keeps the deadline, which Read puts an earlier one before.
func (c *dnsConn) SetDeadline(t time.Time) error {
	c.deadline = t
	return c.UDPConn.SetDeadline(t)
}

// Write sends the question.
func (c *dnsConn) Write(b []byte) (int, error) {
	c.id, c.plain = withoutOPT(b)
	return c.UDPConn.Write(b)
}

// Read returns the next packet that does not refuse EDNS.
func (c *dnsConn) Read(b []byte) (int, error) {
	for {
		n, err := c.readPatiently(b)
		silent := c.plain != nil && errors.Is(err, os.ErrDeadlineExceeded)
		refused := err == nil && refusesEDNS(c.id, b[:n])

		switch {
		case silent:
			c.refusals++
		case refused && c.plain != nil:
		case refused && c.refusals > 0:
			c.refusals--
			continue
		default:
			return n, err
		}

		if _, err := c.UDPConn.Write(c.plain); err != nil {
			return 0, err
		}
		c.plain = nil
	}
}

// readPatiently waits for the deadline if there is nothing left to ask, and else not as long.
func (c *dnsConn) readPatiently(b []byte) (int, error) {
	until := c.deadline
	if c.plain != nil {
		until = time.Now().Add(dnsPatience)
		if !c.deadline.IsZero() {
			until = time.Now().Add(min(dnsPatience, time.Until(c.deadline)/2))
		}
	}

	if err := c.SetReadDeadline(until); err != nil {
		return 0, err
	}
	return c.UDPConn.Read(b)
}

// dnsStream is a resolver's connection over TCP, where an answer may have any length, and OPT has nothing to say: the
// question goes without.
type dnsStream struct{ *net.TCPConn }

// Write sends the question, which has its length before it (RFC 1035, section 4.2.2).
func (c dnsStream) Write(b []byte) (int, error) {
	const lengthBytes = 2
	_, plain := withoutOPT(b[min(lengthBytes, len(b)):])
	if plain == nil {
		return c.TCPConn.Write(b)
	}

	question := binary.BigEndian.AppendUint16(nil, uint16(len(plain))) //nolint:gosec // it fits
	if _, err := c.TCPConn.Write(append(question, plain...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// withoutOPT returns a question's id, and the question without its OPT record; nil if it has none.
func withoutOPT(question []byte) (id uint16, plain []byte) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return 0, nil
	}

	had := len(m.Additionals)
	m.Additionals = slices.DeleteFunc(m.Additionals, func(r dnsmessage.Resource) bool {
		return r.Header.Type == dnsmessage.TypeOPT
	})
	if len(m.Additionals) == had {
		return m.ID, nil
	}

	plain, err := m.Pack()
	if err != nil {
		return m.ID, nil
	}
	return m.ID, plain
}

// refusesEDNS tells whether an answer is what servers without EDNS say to a question with it (RFC 6891, section 7).
// Some of them send no more than a header, which Go's resolver does not even take for an answer.
func refusesEDNS(id uint16, packet []byte) bool {
	var p dnsmessage.Parser
	h, err := p.Start(packet)
	return err == nil && h.Response && h.ID == id &&
		(h.RCode == dnsmessage.RCodeFormatError || h.RCode == dnsmessage.RCodeNotImplemented)
}
