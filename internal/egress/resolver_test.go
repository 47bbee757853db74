package egress_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/outhook/outhook/internal/egress"
)

// nameServer is a name server on loopback that gives every name one address, over UDP and over TCP.
type nameServer struct {
	udp net.PacketConn
	tcp *rawReceiver

	// refuse answers a question with OPT over UDP; nil is no answer.
	refuse func(query dnsmessage.Message) []byte
	// truncated cuts each answer over UDP.
	truncated bool

	withOPT, without, overTCP atomic.Int64
}

func serveNames(t *testing.T, s *nameServer) *net.Resolver {
	t.Helper()
	var err error
	s.udp, err = (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	s.tcp = serveRaw(t, s.serveTCP)
	var running sync.WaitGroup
	running.Go(s.serveUDP)
	t.Cleanup(func() {
		require.NoError(t, s.udp.Close())
		running.Wait()
	})
	return egress.NewResolver(func(ctx context.Context, network, _ string) (net.Conn, error) {
		address := s.udp.LocalAddr().String()
		if network == "tcp" {
			address = s.tcp.address
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	})
}

func (s *nameServer) serveUDP() {
	packet := make([]byte, 1500)
	for {
		n, from, err := s.udp.ReadFrom(packet)
		if err != nil {
			return
		}
		if answer := s.answer(packet[:n]); answer != nil {
			_, _ = s.udp.WriteTo(answer, from)
		}
	}
}

func (s *nameServer) answer(packet []byte) []byte {
	var query dnsmessage.Message
	if query.Unpack(packet) != nil || len(query.Questions) != 1 {
		return nil
	}
	if hasOPT(query) {
		s.withOPT.Add(1)
		if s.refuse != nil {
			return s.refuse(query)
		}
	} else {
		s.without.Add(1)
	}
	reply := dnsReply(query.ID, query.Questions[0], []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	if reply.Truncated = s.truncated; s.truncated {
		reply.Answers = nil
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// serveTCP answers questions without OPT only, as an old server does.
func (s *nameServer) serveTCP(conn net.Conn) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil {
		return
	}
	packet := make([]byte, binary.BigEndian.Uint16(head))
	var query dnsmessage.Message
	if _, err := io.ReadFull(conn, packet); err != nil || query.Unpack(packet) != nil || len(query.Questions) != 1 {
		return
	}
	s.overTCP.Add(1)
	answer := refuseWith(dnsmessage.RCodeFormatError, true)(query)
	if !hasOPT(query) {
		reply := dnsReply(query.ID, query.Questions[0], []netip.Addr{netip.MustParseAddr("127.0.0.1")})
		answer, _ = reply.Pack()
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
}

func hasOPT(m dnsmessage.Message) bool {
	return slices.ContainsFunc(m.Additionals, func(r dnsmessage.Resource) bool { return r.Header.Type == dnsmessage.TypeOPT })
}

// refuseWith answers with an error, and with the question or with a header alone.
func refuseWith(code dnsmessage.RCode, question bool) func(dnsmessage.Message) []byte {
	return func(query dnsmessage.Message) []byte {
		reply := dnsmessage.Message{Header: dnsmessage.Header{ID: query.ID, Response: true, RCode: code}}
		if question {
			reply.Questions = query.Questions
		}
		packed, err := reply.Pack()
		if err != nil {
			return nil
		}
		return packed
	}
}

// A name server that knows no EDNS refuses the question in one of several ways, or does not answer it at all.
func TestNameServerWithoutEDNS(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		server *nameServer
		asks   bool // without OPT, over UDP
	}{
		"WithEDNS":              {&nameServer{}, false},
		"FormatError":           {&nameServer{refuse: refuseWith(dnsmessage.RCodeFormatError, true)}, true},
		"FormatErrorHeaderOnly": {&nameServer{refuse: refuseWith(dnsmessage.RCodeFormatError, false)}, true},
		"NotImplemented":        {&nameServer{refuse: refuseWith(dnsmessage.RCodeNotImplemented, true)}, true},
		"Dropped":               {&nameServer{refuse: func(dnsmessage.Message) []byte { return nil }}, true},
		"Truncated":             {&nameServer{truncated: true}, false},
		"TruncatedWithoutEDNS": {
			&nameServer{truncated: true, refuse: refuseWith(dnsmessage.RCodeFormatError, true)}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := setup(t, egress.Config{Resolver: serveNames(t, c.server)})
			res := postRequest(t, client, egress.Request{
				URL: byName(t, receiver.Listener.Addr().String(), "http", "receiver.example"), Body: []byte("{}"), Timeout: 4 * time.Second,
			})
			require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
			require.EqualValues(t, 2, c.server.withOPT.Load(), "A and AAAA, each once")
			if c.asks {
				require.Positive(t, c.server.without.Load())
			}
			require.Equal(t, c.server.truncated, c.server.overTCP.Load() > 0)
		})
	}
}

// A refusal that comes when the question was asked again already is not the answer to that.
func TestLateRefusalOfEDNSIsPassedOver(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		s := &nameServer{}
		first := map[dnsmessage.Type]dnsmessage.Message{}
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			var query dnsmessage.Message
			if err != nil || query.Unpack(packet[:n]) != nil {
				return
			}
			if hasOPT(query) {
				first[query.Questions[0].Type] = query
				continue
			}
			_, _ = conn.WriteTo(refuseWith(dnsmessage.RCodeFormatError, true)(first[query.Questions[0].Type]), from)
			_, _ = conn.WriteTo(s.answer(packet[:n]), from)
		}
	})
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		running.Wait()
	})
	resolver := egress.NewResolver(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	})
	client := setup(t, egress.Config{Resolver: resolver})
	res := postRequest(t, client, egress.Request{
		URL: byName(t, receiver.Listener.Addr().String(), "http", "receiver.example"), Body: []byte("{}"), Timeout: 4 * time.Second,
	})
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
}
